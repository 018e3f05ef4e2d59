"""Whether a model that was just loaded is whole, and is a model at all.

Libraries fill what is missing, pass over what is too much, and give numbers that are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tiltlm.errors import ModelError, VocabularyError, reason_of
from tiltlm.models.structure import context_length, vocabulary_size

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WHOLE = "use a folder with all of the model's weights"


def check_whole(report: Mapping[str, Iterable[Any]], where: str) -> None:
    """Refuse a model whose files and config do not belong together.

    Transformers fills at random what its files lack, or what has another shape there, and passes
    over what the config has no place for, so that figures would be those of another model.

    Args:
        report: as ``from_pretrained`` gives it, with ``missing_keys``, ``unexpected_keys`` and
            ``mismatched_keys``.
        where: the model, for the message.

    Raises:
        ModelError: any of these are there.
    """
    shapes = [
        f"{name} ({_shape(found)}, the config wants {_shape(wanted)})"
        for name, found, wanted in sorted(report.get("mismatched_keys", ()))
    ]
    refuse("weights have other shapes than the config says", shapes, where)
    refuse("the model lacks weights", report.get("missing_keys", ()), where)
    refuse("there are weights that no part of the model takes", report["unexpected_keys"], where)


def refuse(what: str, names: Iterable[str], where: str, fix: str = _WHOLE) -> None:
    """Raise one error that names weights, unless there are none.

    Args:
        what: is wrong with them.
        names: of the weights.
        where: the model, for the message.
        fix: what to do about it.

    Raises:
        ModelError: there are any.
    """
    listed = sorted(name if len(name) <= 120 else name[:120] + "…" for name in names)
    if listed:
        more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
        raise ModelError(f"{what}: {', '.join(listed[:3])}{more}", where=where, fix=fix)


def check_sound(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, where: str) -> None:
    """Refuse a model that cannot be read, before anybody relies on it.

    Args:
        model: as it was loaded, in evaluation mode.
        tokenizer: that came with it.
        where: the model, for the message.

    Raises:
        ModelError: weights that are no numbers, a head that is tied and is not, a length that is
            none, or a failure at the first tokens.
        VocabularyError: the tokenizer has tokens that the model does not.
    """
    _check_length(model, where)
    _check_tokenizer(tokenizer, vocabulary_size(model), where)
    check_finite(model, where)
    _check_tied(model, where)
    _check_runs(model, where)


def check_finite(model: nn.Module, where: str) -> None:
    """Refuse weights that are infinite or no numbers.

    Args:
        model: whose parameters are read once.
        where: the model, for the message.

    Raises:
        ModelError: there are any.
    """
    import torch

    bad = []
    for name, parameter in model.named_parameters():
        if parameter.is_meta or not parameter.is_floating_point() or not parameter.numel():
            continue
        values = parameter.detach()
        if values.element_size() == 1:  # Types of eight bits have no least and largest.
            values = values.float()
        if not torch.isfinite(torch.stack(torch.aminmax(values))).all():
            bad.append(name)
    refuse("weights are infinite or no numbers", bad, where, "get its weights anew")


def _check_length(model: PreTrainedModel, where: str) -> None:
    try:
        limit = context_length(model)
    except (TypeError, ValueError):
        raise ModelError(
            "max_position_embeddings is no number", where=where, fix="correct the config"
        ) from None
    if limit is not None and limit < 2:
        raise ModelError(
            f"the model reads {limit} tokens at once by its config (max_position_embeddings), and "
            "it takes two to predict one from another",
            where=where,
            fix="correct the config",
        )


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase, size: int, where: str) -> None:
    """Refuse a tokenizer whose tokens the model has no place for, or that has none."""
    fix = "use the tokenizer that belongs to the model"
    try:
        count = max(tokenizer.get_vocab().values(), default=-1) + 1
    except Exception:  # Tokenizers have error types of their own.
        raise VocabularyError("the tokenizer cannot be read", where=where, fix=fix) from None
    if not 0 < count <= size:
        raise VocabularyError(
            f"the tokenizer has {count:,} tokens, the model's head {size:,}", where=where, fix=fix
        )


def _check_tied(model: PreTrainedModel, where: str) -> None:
    """Refuse a head that is its embedding by the config and something else by the weights.

    Transformers then goes by the weights, and other programs by the config: what was audited would
    not be what is used.
    """
    ties = getattr(model, "_tied_weights_keys", None)
    config: Any = model.config.get_text_config()
    head: Any = model.get_output_embeddings()
    inputs: Any = model.get_input_embeddings()
    weights = [getattr(module, "weight", None) for module in (head, inputs)]
    if not ties or not config.tie_word_embeddings or weights[0] is weights[1]:
        return
    if weights[0] is not None and weights[1] is not None and not weights[0].equal(weights[1]):
        raise ModelError(
            "by the config head and embedding are one (tie_word_embeddings), by the weights two",
            where=where,
            fix="correct the config",
        )


def _check_runs(model: PreTrainedModel, where: str) -> None:
    """Refuse a model that fails at two tokens, or whose logits there are no logits."""
    import torch

    ids = torch.zeros((1, 2), dtype=torch.long, device=model.device)
    size = vocabulary_size(model)
    try:
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits
        right = tuple(logits.shape) == (1, 2, size) and bool(torch.isfinite(logits).all())
        reason = (
            "its logits are no numbers"
            if tuple(logits.shape) == (1, 2, size)
            else (f"its logits have the shape {_shape(logits.shape)}")
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Whatever an architecture does with a config that makes no sense.
        right, reason = False, reason_of(error)
    if not right:
        raise ModelError(
            f"the model cannot be run: {reason}",
            where=where,
            fix="check its config and its weights",
        )


def _shape(shape: Iterable[int]) -> str:
    return " × ".join(map(str, shape)) or "one number"
