"""What a stranger's folder holds, looked at before anything is made of it.

Configs and weight files are claims too. Libraries believe them: they wait for a file that is no
file, make a model of a million layers, or allocate what a number says. So numbers in configs are
held here against limits and against the tensors that there are, which takes no memory.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from tiltlm.errors import ModelError

MOST_TEXT_BYTES = 100_000_000
"""Most bytes of a JSON file or a template; the largest tokenizers of today have 35 MB."""

MOST_PARTS = 4_096
"""Most layers, experts or labels that a config may ask for: libraries loop over them."""

MOST_POSITIONS = 100_000_000
"""Most tokens that a config may say a model reads at once; ten million is today's largest."""

MOST_ADDED = 16_384
"""Most tokens that a tokenizer may add to its vocabulary, each of which takes libraries a while."""

_ADDED = {
    "tokenizer.json": ("added_tokens",),
    "tokenizer_config.json": (
        "added_tokens_decoder",
        "extra_special_tokens",
        "additional_special_tokens",
    ),
}
"""Where tokenizers list tokens that they add."""

_COUNTED = ("layer", "expert", "label", "block", "depth", "attention_types")
"""Parts of the names of numbers that are looped over before any tensor is made."""

_POSITIONS = ("position", "seq_len", "seq_length", "n_ctx", "context_length")
"""Parts of the names of numbers that say how much a model reads."""

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
"""What holds a model's weights: all of them, or the index of their parts."""


@dataclass(frozen=True)
class TensorShapes:
    """What weight files say that they hold.

    Attributes:
        shapes: of each tensor, by its name.
        bytes: that the files have.
        types: of each tensor, as safetensors writes them; empty for other files.
    """

    shapes: Mapping[str, tuple[int, ...]]
    bytes: int
    types: Mapping[str, str] = field(default_factory=dict)

    @property
    def numel(self) -> int:
        """Numbers in all tensors."""
        return sum(map(prod, self.shapes.values()))


def check_files(folder: Path) -> None:
    """Refuse a folder that holds what is no regular file where libraries read one.

    Links are followed, also out of the folder: the Hub's own cache is made of links. What they
    lead to must be a regular file, and texts may not be endless.

    Args:
        folder: that holds a model or an adapter.

    Raises:
        ModelError: there is a device, a pipe, or a text of more than `MOST_TEXT_BYTES`.
    """
    try:
        found = [(path, path.stat()) for path in sorted(folder.iterdir()) if path.exists()]
    except OSError as error:
        raise ModelError(f"cannot look into it: {error.strerror}", where=str(folder)) from None
    for path, status in found:
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ModelError(
                "a device or a pipe lies where a file should be",
                where=str(path),
                fix="take it away",
            )
        if status.st_size > MOST_TEXT_BYTES and path.suffix in (".json", ".jinja", ".txt"):
            raise ModelError(
                f"the file has {status.st_size / 1e6:.0f} MB, which no config or tokenizer needs",
                where=str(path),
            )


def check_added_tokens(folder: Path) -> None:
    """Refuse a tokenizer that adds so many tokens that reading it would take minutes.

    Args:
        folder: with the files of a tokenizer, as many as there are.

    Raises:
        ModelError: it does, or one of the files is no JSON.
    """
    for name, keys in _ADDED.items():
        if not (folder / name).is_file():
            continue
        table = read_json(folder / name)
        for key in keys:
            added = table.get(key)
            if isinstance(added, list | dict) and len(added) > MOST_ADDED:
                raise ModelError(
                    f"{key} lists {len(added):,} tokens, and tokenizers add {MOST_ADDED:,} at most",
                    where=str(folder / name),
                    fix="use the tokenizer that belongs to the model",
                )


def read_json(path: Path) -> dict[str, Any]:
    """A config as a dictionary.

    Args:
        path: of a JSON file.

    Raises:
        ModelError: it cannot be read, is no JSON, or no dictionary.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"it is no JSON: {str(error)[:200]}", where=str(path)) from None
    if not isinstance(data, dict):
        raise ModelError("it holds no table of names and values", where=str(path))
    return data


def check_numbers(config: Mapping[str, Any], where: str, most_parts: int = MOST_PARTS) -> None:
    """Refuse counts that a library would loop over for hours.

    Args:
        config: as it was read, before any class is made of it.
        where: its file, for the message.
        most_parts: the most layers; a model with fewer tensors cannot have as many.

    Raises:
        ModelError: a count is beyond any model's.
    """
    for key, number in _numbers(config):
        counted = any(part in key for part in _COUNTED)
        most = MOST_PARTS if counted else MOST_POSITIONS
        if "layer" in key and key.startswith(("n", "block")):
            most = min(most, most_parts)
        if number > most and (counted or any(part in key for part in _POSITIONS)):
            raise ModelError(
                f"{key} is {number:.4g}; a model with these weights has {most:,} at most",
                where=where,
                fix="correct the config",
            )


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every number, however deep, with the name that it or the list around it has."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, min(value, 1e300)


def read_shapes(folder: Path) -> TensorShapes:
    """The tensors of a folder's weights, by the headers of their files.

    Args:
        folder: as for `weight_files`.

    Raises:
        ModelError: there are none, only pickled ones, damaged ones, or a part is missing.
    """
    return _shapes_of(weight_files(folder))


def weight_files(folder: Path) -> list[Path]:
    """The files that a model is loaded from, and no others that lie beside them.

    Args:
        folder: with ``model.safetensors``, or with its parts and their index.

    Raises:
        ModelError: there are none, only pickled ones, or a part is missing.
    """
    whole, index = (folder / name for name in WEIGHT_FILES)
    if whole.is_file():
        return [whole]
    if index.is_file():
        return _parts(index)
    pickled = sorted(folder.glob("*.bin")) + sorted(folder.glob("*.pt"))
    if pickled:
        raise ModelError(
            "the weights are pickled, and reading a stranger's pickle can run its code",
            where=str(pickled[0]),
            fix="have them saved as safetensors",
        )
    raise ModelError(
        "the folder holds a config but no weights (no model.safetensors)",
        where=str(folder),
        fix="use a folder with all of the model's weights",
    )


def read_adapter_shapes(folder: Path) -> TensorShapes:
    """The tensors of an adapter, by the header of its file.

    Args:
        folder: with ``adapter_model.safetensors``.

    Raises:
        ModelError: there is no such file, or it is damaged.
    """
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        raise ModelError(
            "the adapter's weights are pickled, and reading a stranger's pickle can run its code"
            if pickled
            else "the adapter has no weights (no adapter_model.safetensors)",
            where=str(folder),
            fix="have them saved as safetensors",
        )
    return _shapes_of([file])


def _parts(index: Path) -> list[Path]:
    """The files of weights in parts; each lies beside their index."""
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise ModelError("the index does not say in which file each weight is", where=str(index))
    names = sorted(set(table.values()))
    for name in names:
        if Path(name).name != name or not _is_file(index.parent / name):
            raise ModelError(
                f"the index names {name[:80]!r}, and there is no such file beside it",
                where=str(index),
                fix="use a folder with all of the model's weights",
            )
    return [index.parent / name for name in names]


def _is_file(path: Path) -> bool:
    """Whether there is such a file; no for names that cannot be."""
    try:
        return path.is_file()
    except OSError:
        return False


def _shapes_of(files: list[Path]) -> TensorShapes:
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    types: dict[str, str] = {}
    for file in files:
        try:
            with safe_open(file, framework="np") as opened:
                for name in opened.keys():  # noqa: SIM118  (it is no dictionary)
                    tensor = opened.get_slice(name)
                    shapes[name], types[name] = tuple(tensor.get_shape()), tensor.get_dtype()
        except Exception as error:  # safetensors has error types of its own.
            raise ModelError(
                f"the weights cannot be read: {str(error)[:200]}",
                where=str(file),
                fix="use a whole file of safetensors",
            ) from None
    return TensorShapes(shapes, sum(file.stat().st_size for file in files), types)
