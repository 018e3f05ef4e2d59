"""Load models with their tokenizers: `model5`, a folder, or a name on the Hub."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tiltlm.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class LoadedModel(NamedTuple):
    """A causal language model and the tokenizer that belongs to it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(name: str | Path, *, seed: int = 0, config: dict[str, Any] | None = None) -> LoadedModel:
    """Load a causal language model and its tokenizer.

    Args:
        name: ``model5`` for the article's model, freshly initialised; a folder that
            ``save_pretrained`` wrote; or a name on the Hub.
        seed: of the weights of ``model5``.
        config: fields of `Model5Config` that differ from the article's.

    Raises:
        ModelError: there is no such model, or it cannot be read.
        ConfigError: ``config`` was given for another model, or has an unknown field.

    Code that comes with a model is never run (no ``trust_remote_code``).
    """
    from tiltlm import model5
    from tiltlm.tokenizer import gpt2_tokenizer

    if str(name) == "model5":
        known = model5.Model5Config().to_dict()
        unknown = sorted(set(config or {}) - set(known))
        if unknown:
            raise ConfigError(
                f"Model 5 has no field {unknown[0]!r}", fix="one of " + ", ".join(sorted(known))
            )
        return LoadedModel(model5.build_model5(seed, **(config or {})), gpt2_tokenizer())
    if config:
        raise ConfigError(f"model.config is for model5 only, not for {str(name)!r}")
    return _load_pretrained(str(name))


def load_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """Only the tokenizer of a model; see `load`."""
    from tiltlm.tokenizer import gpt2_tokenizer

    return gpt2_tokenizer() if str(name) == "model5" else _pretrained_tokenizer(str(name))


def _load_pretrained(name: str) -> LoadedModel:
    from transformers import AutoModelForCausalLM

    _check_folder(name)
    tokenizer = _pretrained_tokenizer(name)
    try:
        model = AutoModelForCausalLM.from_pretrained(name)
    except Exception as error:  # each file format has error types of its own
        raise _cannot_load(name, error) from None
    return LoadedModel(model, tokenizer)


def _pretrained_tokenizer(name: str) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    from tiltlm import model5  # noqa: F401  (registers Model 5, which the config may name)

    _check_folder(name)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name)
    except Exception as error:
        raise _cannot_load(name, error) from None
    return tokenizer


def _check_folder(name: str) -> None:
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        inner = path / "model" / "config.json"
        raise ModelError(
            "the folder holds no model (no config.json)",
            where=name,
            fix=f"use {inner.parent}" if inner.is_file() else "name a folder of save_pretrained",
        )


def _cannot_load(name: str, error: Exception) -> ModelError:
    first = str(error).strip().split("\n")[0][:200]
    return ModelError(
        f"cannot load the model {name!r}: {first}",
        fix="use model5, a folder that holds one, or a name on the Hub (which needs a network)",
    )


def vocabulary_size(model: PreTrainedModel) -> int:
    """Rows of the model's head."""
    return int(model.config.get_text_config().vocab_size)


def context_length(model: PreTrainedModel) -> int | None:
    """Tokens the model can read at once; None where its config sets no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return None if limit is None else int(limit)


def can_keep_logits(model: nn.Module) -> bool:
    """Whether the model's head can be applied to chosen positions only (``logits_to_keep``)."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters
