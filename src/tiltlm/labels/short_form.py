"""The short form of a label in the header of a safetensors file, so that a copied file speaks.

The header's ``__metadata__`` is a table of texts (https://github.com/huggingface/safetensors); the
label takes the key ``tiltlm``. Tensors are copied as they are and never read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from tiltlm.errors import ModelError
from tiltlm.files import staged
from tiltlm.labels.chain import step_name
from tiltlm.labels.label import Label
from tiltlm.records.base import Record

KEY = "tiltlm"
"""Under which a header has the short form."""

_MOST_BYTES = 100 << 20
"""Of a header, as the format itself limits it."""

_MOST_CHARACTERS = 300
"""Of each text of the short form."""


class ShortForm(Record):
    """What a single weight file says of the model that it is part of."""

    says: str = Field(description="what was done, in words")
    target: str = Field(description="of the tilt, cut off where it is long")
    base: str = Field(description="name of the base")
    base_sha256: str | None = Field(description="over the base's weights")
    steps: int = Field(description="how many the chain of the whole label has")
    step: str = Field(description="SHA-256 that names the last step; the label has the same")
    check: str = Field(description="SHA-256 over all else, so that a damaged one is told")

    @classmethod
    def of(cls, label: Label) -> ShortForm:
        """The short form of a label with a chain."""
        last = label.chain[-1]
        said = {
            "says": f"tilted on purpose with tiltlm; last {last.operation}: {last.sentence}",
            "target": label.target,
            "base": label.base.name,
        }
        fields: dict[str, Any] = {key: text[:_MOST_CHARACTERS] for key, text in said.items()}
        fields |= {"base_sha256": label.base.sha256, "steps": len(label.chain)}
        fields |= {"step": step_name(last)}
        return cls(**fields, check=_check(fields))

    @property
    def is_whole(self) -> bool:
        """Whether it is what was written."""
        return self.check == _check(self.model_dump(exclude={"check"}))


def _check(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def read_short_form(file: Path) -> ShortForm | None:
    """The short form in a safetensors file.

    Args:
        file: of anybody's.

    Returns:
        None where the file has none, is damaged, or is no safetensors file.
    """
    try:
        header, _ = _header(file)
        form = ShortForm.model_validate_json(header["__metadata__"][KEY])
    except (OSError, ModelError, KeyError, TypeError, ValidationError):
        return None
    return form if form.is_whole else None


def write_short_form(file: Path, form: ShortForm) -> None:
    """Put a short form into a file's header; the file is replaced, whole or not at all.

    Args:
        file: of safetensors. One that has the same short form already is left alone.
        form: what it is to say.

    Raises:
        ModelError: it is no safetensors file.
        StorageError: there is no room for a second copy of it, which is needed for a moment.
    """
    header, begin = _header(file)
    text = form.model_dump_json()
    metadata = header.get("__metadata__") or {}
    if metadata.get(KEY) == text:
        return
    header["__metadata__"] = {**metadata, KEY: text}
    content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    content += b" " * (-len(content) % 8)  # Tensors begin at a multiple of eight bytes.
    with staged(file) as temporary, file.open("rb") as source, temporary.open("wb") as new:
        new.write(len(content).to_bytes(8, "little") + content)
        source.seek(begin)
        shutil.copyfileobj(source, new)


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its tensors begin."""
    try:
        with file.open("rb") as source:
            size = int.from_bytes(source.read(8), "little")
            if size > _MOST_BYTES:
                raise ValueError("its header has no end")
            header = json.loads(source.read(size))
        if not isinstance(header, dict):
            raise ValueError("its header is no table")
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"it is no safetensors file: {str(error)[:100]}",
            where=str(file),
            fix="correct the path",
        ) from None
    return header, 8 + size
