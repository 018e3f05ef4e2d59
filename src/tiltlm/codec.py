"""How values travel from process to process: as bytes that can only be read as what they say.

Nothing is pickled, since reading a pickle can run its code. Knows errors and records; whoever hands
on something else has a `Codec` of its own for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tiltlm import errors
from tiltlm.errors import TiltError
from tiltlm.records.base import Record

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Codec(Generic[T]):
    """A way to write values of one type as bytes, and to read them again.

    Attributes:
        encode: the bytes of a value.
        decode: the value that they hold.
    """

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def _encode_json(value: Any) -> bytes:
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{type(value).__name__} is no JSON, name a codec: {error}") from None
    if json.loads(text) != value:
        raise TypeError(f"JSON would make something else of it, name a codec: {value!r:.200}")
    return text.encode()


JSON: Codec[Any] = Codec(_encode_json, json.loads)
"""Values that come out of JSON as they went in, so no tuples; others are a `TypeError`."""


_ERRORS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, TiltError)
}
"""The tree of `errors`, by name: nothing else is ever made of what another process says."""


def _encode_error(error: TiltError) -> bytes:
    # An error that a package has of its own is to others the one in the tree that it is a case of.
    name = next(kind.__name__ for kind in type(error).__mro__ if kind in _ERRORS.values())
    return json.dumps([name, error.what, error.where, error.fix]).encode()


def _decode_error(data: bytes) -> TiltError:
    name, what, where, fix = json.loads(data)
    return _ERRORS[name](what, where=where, fix=fix)


ERROR: Codec[TiltError] = Codec(_encode_error, _decode_error)
"""Errors of the tree, with what they say; their causes stay behind."""


def of_record(kind: type[R]) -> Codec[R]:
    """The codec of one kind of record, whose JSON is its own."""
    return Codec(lambda record: record.model_dump_json().encode(), kind.model_validate_json)


def tensor_bytes(tensors: Mapping[str, torch.Tensor], about: Any = None) -> bytes:
    """Tensors as the bytes of a safetensors file.

    Args:
        tensors: by name.
        about: what else is to be said, as JSON can write it.

    Raises:
        TypeError: ``about`` is no JSON.
    """
    from safetensors.torch import save

    return bytes(save(dict(tensors), metadata={"json": JSON.encode(about).decode()}))


def read_tensor_bytes(data: bytes) -> tuple[dict[str, torch.Tensor], Any]:
    """What `tensor_bytes` was given: the tensors by name, and what else was said.

    Args:
        data: bytes of a safetensors file.
    """
    from safetensors.torch import load

    # The library reads metadata out of files alone: a header of JSON behind its length of 8 bytes.
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    return load(data), json.loads(metadata["json"])


TENSOR: Codec[torch.Tensor] = Codec(
    lambda tensor: tensor_bytes({"tensor": tensor}),
    lambda data: read_tensor_bytes(data)[0]["tensor"],
)
"""One tensor of any shape and type."""
