"""A suspect that is an adapter of its reference: two models, and one copy of the weights.

The adapter is put into a second tree of modules whose weights are the base's own tensors. Either
tree is a model like any other, and the base has no adapter in it, so nothing has to be switched.
An adapter that could write into these weights when it is loaded gets a copy of its own instead.
"""

from __future__ import annotations

import copy
import re
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from tiltlm.errors import TiltError
from tiltlm.labels.step import LabelBase
from tiltlm.models.adapter import base_of, is_adapter, put_in, read_config
from tiltlm.models.fingerprints import stored_fingerprint
from tiltlm.models.folder import check_files, read_adapter_shapes
from tiltlm.models.loading import LoadedModel, source_folder
from tiltlm.models.soundness import check_sound

_PLAIN_OPTIONS = (
    {"peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode"}
    | {"auto_mapping", "peft_version", "r", "lora_alpha", "lora_dropout", "use_rslora"}
    | {"fan_in_fan_out", "target_modules", "exclude_modules", "layers_to_transform"}
    | {"layers_pattern", "rank_pattern", "alpha_pattern", "init_lora_weights"}
)
"""Options of a LoRA that change nothing but what its two factors are; any other must be as peft has
it by default."""

_PLAIN_KEY = re.compile(r".+\.lora_[AB]\.weight")
"""Names of the tensors of a plain LoRA; any other would be written into the base's weights."""


def can_share(name: str, base: LabelBase) -> bool:
    """Whether a model is an adapter that needs no other weights than a base's.

    Args:
        name: of the model, as for `load`.
        base: what it would be loaded beside. Whatever the adapter says of it, it is by its name or
            by what lies there that it is known.
    """
    return is_adapter(name) and _is_plain(Path(name)) and _is_base_of(name, base)


def shared_view(model: PreTrainedModel) -> PreTrainedModel:
    """A second tree of modules over the same weights: what is put into one is not in the other.

    Args:
        model: left as it is. Writing into a weight in place changes it in both.
    """
    memo: dict[int, Any] = {id(buffer): buffer for buffer in model.buffers()}
    for parameter in model.parameters():
        same: Any = parameter
        if type(parameter) is nn.Parameter:  # Quantised weights are of other types.
            same = nn.Parameter(parameter.detach(), requires_grad=False)
        memo[id(parameter)] = same
    view: PreTrainedModel = copy.deepcopy(model, memo)
    return view


def same_body(base: PreTrainedModel, model: PreTrainedModel) -> bool:
    """Whether all weights but the head's are the base's, to the bit, and mean the same.

    Args:
        base: with a head.
        model: the other; its head may have an adapter.
    """
    from tiltlm.models.structure import head_of

    if type(base) is not type(model) or _meaning(base) != _meaning(model):
        return False
    head_name, _ = head_of(base)
    first, second = (
        {
            name: tensor
            for name, tensor in (*m.named_parameters(), *m.named_buffers())
            if not name.startswith(f"{head_name}.")
        }
        for m in (base, model)
    )
    return first.keys() == second.keys() and all(
        tensor.shape == second[name].shape and bool(tensor.equal(second[name]))
        for name, tensor in first.items()
    )


def _meaning(model: PreTrainedModel) -> dict[str, Any]:
    """What a model's config says of how it computes."""
    said = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")
    config = model.config.get_text_config().to_dict()
    return {k: v for k, v in config.items() if k not in (*said, "tie_word_embeddings")}


def _is_base_of(adapter: str, base: LabelBase) -> bool:
    """Whether an adapter's base has the weights of another model, whatever is said of it.

    The same name is loaded to the same weights; other names are compared by what lies there.
    """
    named = base_of(adapter)
    if named.name == base.name:
        return (named.seed or 0, named.config or {}) == (base.seed or 0, base.config or {})
    if "model5" in (named.name, base.name) or is_adapter(named.name) or is_adapter(base.name):
        return False
    prints = [stored_fingerprint(source_folder(name)) for name in (named.name, base.name)]
    return prints[0] is not None and prints[0] == prints[1]


def _is_plain(folder: Path) -> bool:
    """Whether a folder's adapter adds a product of two factors to linear layers, and no more."""
    from peft import LoraConfig

    try:
        check_files(folder)
        config = read_config(folder)
        keys = read_adapter_shapes(folder).shapes
    except TiltError:
        return False  # `load` says what is wrong with it.
    if type(config) is not LoraConfig or config.init_lora_weights not in (True, False, "gaussian"):
        return False
    usual = LoraConfig()
    others = [f.name for f in fields(config) if f.name not in _PLAIN_OPTIONS]
    if any(getattr(config, name) != getattr(usual, name) for name in others):
        return False
    return all(_PLAIN_KEY.fullmatch(key) for key in keys)


def share(folder: str, base: LoadedModel) -> LoadedModel:
    """The base with an adapter in it, over the base's own weights.

    Args:
        folder: of an adapter that `can_share` the base's weights.
        base: left as it is.

    Raises:
        ModelError: the adapter is damaged, or does not fit this base.
    """
    with warnings.catch_warnings():
        # peft warns that head and embedding share a weight, which does no harm: the adapter
        # adds to the head's output only.
        warnings.simplefilter("ignore")
        adapted = put_in(shared_view(base.model), folder)
    model: Any = adapted.get_base_model()
    check_sound(model, base.tokenizer, folder)
    return LoadedModel(model.eval(), base.tokenizer, folder)
