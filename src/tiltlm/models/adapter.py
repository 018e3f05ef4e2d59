"""A stranger's adapter: on which base it goes, and whether it fits there.

peft warns where weights are missing, passes over those that it has no place for, and compares the
names of modules with regular expressions that an adapter brings. All of that is settled here first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltlm.errors import ModelError, reason_of
from tiltlm.labels.label import read_label
from tiltlm.labels.step import LabelBase
from tiltlm.models.folder import (
    WEIGHT_FILES,
    TensorShapes,
    check_files,
    check_numbers,
    read_json,
)
from tiltlm.models.folder import read_adapter_shapes as read_shapes
from tiltlm.models.names import check_name, hub_name
from tiltlm.models.soundness import refuse

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CONFIG = "adapter_config.json"

MOST_ADAPTERS = 8
"""Adapters that may lie one on the other."""


def is_adapter(name: str | Path) -> bool:
    """Whether ``name`` is a folder that holds a peft adapter rather than a whole model."""
    try:
        return (Path(name) / _CONFIG).is_file()
    except OSError:  # A name that is too long for a file's.
        return False


def base_of(folder: str) -> LabelBase:
    """The base of an adapter, as its label names it, or else as peft does.

    Both must name the same one: otherwise other programs would use another model than the one that
    is looked at here.

    Args:
        folder: of the adapter.

    Raises:
        ModelError: it names no base, two, or itself.
        ConfigError: the label beside it is damaged.
    """
    path = Path(folder)
    check_files(path)
    if any((path / file).is_file() for file in WEIGHT_FILES):
        raise ModelError(
            "the folder holds an adapter and a whole model; some programs would use one, some both",
            where=folder,
            fix="take one of them out",
        )
    base = _named_base(path)
    seen = {path.resolve()}
    inner = base.name
    while is_adapter(inner):
        step = Path(inner).resolve()
        if step in seen or len(seen) == MOST_ADAPTERS:
            raise ModelError(
                "the adapter's base is an adapter on it, or there are too many of them",
                where=folder,
                fix="name a whole model as base_model_name_or_path in adapter_config.json",
            )
        seen.add(step)
        inner = _named_base(step).name
    return base


def _named_base(folder: Path) -> LabelBase:
    where = str(folder / _CONFIG)
    config = read_json(folder / _CONFIG)
    name = config.get("base_model_name_or_path")
    label = read_label(folder)
    if name is not None and not isinstance(name, str):
        raise ModelError("base_model_name_or_path is no name", where=where)
    if label is None:
        if not name:
            raise ModelError("the adapter does not name its base", where=where)
        check_name(name)
        return LabelBase(name=name, sha256=None)
    base = label.base
    check_name(base.name)
    if name and name not in (base.name, hub_name(base.name)):
        raise ModelError(
            f"adapter_config.json names the base {name[:80]!r} and the label {base.name[:80]!r}; "
            "other programs would use the first",
            where=str(folder),
            fix="correct the one that is wrong",
        )
    return base


def put_on(model: PreTrainedModel, folder: str) -> Any:
    """Merge an adapter into its base.

    Args:
        model: the base, its head untied; taken apart in memory.
        folder: of the adapter.

    Returns:
        the whole model.

    Raises:
        ModelError: as `put_in`.
    """
    adapted = put_in(model, folder)
    try:
        return adapted.merge_and_unload()
    except Exception as error:  # Some kinds of adapters cannot be merged, each with its own error.
        raise ModelError(
            f"cannot merge the adapter into its base: {reason_of(error)}",
            where=folder,
            fix="use an adapter that peft can merge",
        ) from None


def put_in(model: PreTrainedModel, folder: str) -> Any:
    """Put an adapter into its base, beside the base's own weights.

    Args:
        model: the base; its layers are wrapped.
        folder: of the adapter.

    Returns:
        the model of peft.

    Raises:
        ModelError: the adapter is damaged, or does not fit this base.
    """
    from peft import PeftModel

    path = Path(folder)
    check_files(path)
    config = read_config(path)
    given = read_shapes(path)
    _check_ranks(config, given, folder)
    _name_targets(config, model, folder)
    try:
        adapted: Any = PeftModel.from_pretrained(model, folder, config=config)
        _check_fits(adapted, given, folder)
        return adapted
    except ModelError:
        raise
    except Exception as error:  # peft has no error types of its own.
        raise ModelError(
            f"cannot put the adapter on its base: {reason_of(error)}",
            where=folder,
            fix="use the base that it was made for, and a whole adapter of peft",
        ) from None


def read_config(folder: Path) -> Any:
    """An adapter's config as peft reads it.

    Args:
        folder: of the adapter.

    Raises:
        ModelError: it is none, or asks for what no adapter needs.
    """
    from peft import PeftConfig

    table = read_json(folder / _CONFIG)
    check_numbers(table, str(folder / _CONFIG))
    if table.get("megatron_config"):
        raise ModelError(
            "the adapter is one for Megatron, for which peft imports a module that it names",
            where=str(folder / _CONFIG),
            fix="save it as an adapter of plain linear layers",
        )
    try:
        return PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # Whatever a type that it did not expect leads to.
        raise ModelError(
            f"this is no config of an adapter: {reason_of(error)}", where=str(folder / _CONFIG)
        ) from None


def _check_ranks(config: Any, given: TensorShapes, where: str) -> None:
    """Refuse ranks that the weights do not have, since peft would allocate for them first."""
    patterns = getattr(config, "rank_pattern", None) or {}
    ranks = [getattr(config, "r", None), *(patterns.values() if isinstance(patterns, dict) else ())]
    largest = max((side for shape in given.shapes.values() for side in shape), default=0)
    for rank in ranks:
        # Other kinds of adapters have no rank.
        if rank is not None and (not isinstance(rank, int) or not 0 <= rank <= largest):
            raise ModelError(
                f"the adapter's config says rank {str(rank)[:40]}, its weights have another",
                where=where,
                fix="use a whole adapter of peft",
            )


def _name_targets(config: Any, model: PreTrainedModel, where: str) -> None:
    """Put names in place of regular expressions, which an adapter could make endless."""
    for field in ("rank_pattern", "alpha_pattern", "layers_pattern"):
        names = getattr(config, field, None) or ()
        names = [names] if isinstance(names, str) else names
        plain = isinstance(names, list | tuple | dict) and not any(
            not isinstance(name, str) or set(name) & set("*+{(") for name in names
        )
        if not plain:
            raise ModelError(
                f"{field} holds what is no name of a module", where=where, fix="write names there"
            )
    for field in ("target_modules", "exclude_modules"):
        value = getattr(config, field, None)
        if isinstance(value, str) and value != "all-linear":
            setattr(config, field, _matching(value, field, model, where))


def _matching(pattern: str, field: str, model: PreTrainedModel, where: str) -> list[str]:
    """Names of the modules that a pattern means, by an engine that takes linear time."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        expression = re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        raise ModelError(f"{field} is no pattern: {str(error)[:200]!r}", where=where) from None
    names = [name for name, _ in model.named_modules() if expression.fullmatch(name)]
    if not names and field == "target_modules":
        raise ModelError(
            f"no module of the base is meant by {field} {pattern[:80]!r}",
            where=where,
            fix="use the base that it was made for",
        )
    return names


def _check_fits(adapted: Any, given: TensorShapes, where: str) -> None:
    """Refuse an adapter that lacks weights, or has some for which there is no place."""
    from peft import get_peft_model_state_dict

    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    fix = "use the base that it was made for, and a whole adapter of peft"
    # An embedding or a head that was trained besides is saved under the name of the base's own.
    base = {f"base_model.model.{name}" for name in adapted.get_base_model().state_dict()}
    base |= {name.replace(".base_layer.", ".") for name in base}
    refuse("the adapter lacks weights", set(wanted) - set(given.shapes), where, fix)
    refuse(
        "there are weights that no part of the adapter takes",
        set(given.shapes) - set(wanted) - base,
        where,
        fix,
    )
