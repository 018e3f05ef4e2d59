"""A GGUF file copied tensor by tensor, byte for byte, with another head.

Where the base's head is its embedding the file has no ``output.weight``; then it is added, and
llama.cpp uses it in place of the embedding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiltlm.errors import ModelError, TiltError, reason_of
from tiltlm.files import require_free
from tiltlm.models.gguf_header import check_gguf
from tiltlm.serving.export.engines import check_gguf_head
from tiltlm.serving.export.gguf_head import HeadType

HEAD = "output.weight"
"""The head's name in GGUF files."""

_ALIGNMENT, _ARCHITECTURE = "general.alignment", "general.architecture"


@dataclass(frozen=True)
class GgufBase:
    """A GGUF file that was looked through.

    Attributes:
        file: where it lies.
        reader: of the package gguf.
        architecture: as the file names it.
    """

    file: Path
    reader: Any
    architecture: str


def open_gguf(file: Path) -> GgufBase:
    """Read the head of a GGUF file, and see that all its tensors are in it.

    Args:
        file: of the base.

    Raises:
        ModelError: it is damaged or cut off, or has a type of numbers that is not known.
        ConfigError: llama.cpp would not read a head of its own from it.
    """
    from gguf import GGUFReader

    check_gguf(file)
    try:
        reader = GGUFReader(file)
        architecture = str(reader.fields[_ARCHITECTURE].contents())
        names = [tensor.name for tensor in reader.tensors]
        if len(set(names)) < len(names):
            raise ValueError("a tensor comes twice")
    except TiltError:
        raise
    except Exception as error:  # The package has no error types of its own.
        raise ModelError(
            f"this GGUF file cannot be copied: {reason_of(error)}",
            where=str(file),
            fix="get the file anew; a type of numbers that is not known needs a newer gguf package",
        ) from None
    check_gguf_head(architecture, str(file))
    return GgufBase(file, reader, architecture)


def copy_with_head(
    base: GgufBase, out: Path, head: np.ndarray, kind: HeadType, values: Mapping[str, str]
) -> int:
    """Write a copy with another head, then read it again and compare.

    Args:
        base: what is copied.
        out: the new file.
        head: the rounded head, as the file holds it.
        kind: how it is rounded.
        values: that the copy has besides the base's.

    Returns:
        how many tensors are the base's, byte for byte.

    Raises:
        ModelError: the copy is not what it should be.
        StorageError: there is no room for it.
    """
    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

    require_free(out, base.file.stat().st_size + head.nbytes, "a GGUF file")
    reader = base.reader
    writer = GGUFWriter(out, base.architecture, endianess=reader.endianess)
    _copy_values(writer, reader, values)
    head_type = GGMLQuantizationType[kind.upper()]
    tensors = {t.name: (t.data, t.tensor_type) for t in reader.tensors}
    replaced = HEAD in tensors
    tensors[HEAD] = head, head_type
    for name, (data, tensor_type) in tensors.items():
        writer.add_tensor_info(name, data.shape, data.dtype, data.nbytes, tensor_type)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for data, _ in tensors.values():
            writer.write_tensor_data(data)
    finally:
        writer.close()
    written = {t.name: _digest(t) for t in GGUFReader(out).tensors}
    own = {t.name: _digest(t) for t in reader.tensors if t.name != HEAD}
    if {name: written.get(name) for name in own} != own or len(written) != len(own) + 1:
        raise ModelError(
            "the copy is not the base with another head", where=str(base.file), fix="try again"
        )
    assert replaced or len(written) == len(reader.tensors) + 1
    return len(own)


def _copy_values(writer: Any, reader: Any, values: Mapping[str, str]) -> None:
    """All values of a file, then those that are new."""
    from gguf import GGUFValueType

    for field in reader.fields.values():
        if field.name == _ARCHITECTURE or field.name.startswith("GGUF.") or field.name in values:
            continue
        if field.name == _ALIGNMENT:
            writer.data_alignment = int(field.contents())
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    for name, value in values.items():
        writer.add_string(name, value)


def _digest(tensor: Any) -> str:
    """SHA-256 over a tensor's type, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.tensor_type} {tensor.shape.tolist()}".encode())
    digest.update(np.ascontiguousarray(tensor.data).view(np.uint8).data)
    return digest.hexdigest()
