"""Where a model's weights lie, and what its folder says of itself.

Knows folders and labels; loads nothing.
"""

from __future__ import annotations

from pathlib import Path

from tiltlm.errors import ModelError
from tiltlm.labels.label import Label, find_label, read_label
from tiltlm.models.adapter import is_adapter
from tiltlm.models.names import check_name


def locate(name: str) -> tuple[str, Label | None, bool]:
    """Where the weights of a model lie, its label, and whether it is tilted by decoding alone.

    A label is only a claim: weights are read wherever there are any, whatever it says.

    Args:
        name: as for `load`; also a folder of ``tiltlm tilt``, ``tiltlm run`` or ``tiltlm export``.

    Returns:
        what to `load`, the label, and True where the label says that the model decodes to its
        target and there are no weights.

    Raises:
        ConfigError: the label is damaged.
    """
    check_name(name)
    if name.endswith(".gguf"):
        return name, _label_beside(Path(name)), False
    folder, label = find_label(name)
    weights = None if label is None else weights_in(folder)
    decodes = label is not None and label.form == "processor" and weights is None
    return weights or folder, label, decodes


def weights_in(folder: str) -> str | None:
    """The folder that holds weights or an adapter: ``folder`` itself, or ``model`` inside it.

    Args:
        folder: any name of a model.

    Returns:
        the folder, or the one GGUF file that is all it holds; None where there are no weights.
    """
    for inner in (Path(folder), Path(folder) / "model"):
        if _is_model(inner) or any(inner.glob("*.safetensors")):
            return str(inner)
    return _only_gguf(Path(folder))


def _only_gguf(folder: Path) -> str | None:
    """The one GGUF file in a folder."""
    files = sorted(folder.glob("*.gguf"))
    return str(files[0]) if len(files) == 1 else None


def _label_beside(file: Path) -> Label | None:
    """The label in a file's folder, if it is one of that file."""
    label = read_label(file.parent)
    is_of_it = label is not None and label.chain and file.name in label.chain[-1].files
    return label if is_of_it else None


def _is_model(folder: Path) -> bool:
    """Whether a folder holds what transformers or peft can load."""
    return is_adapter(folder) or (folder / "config.json").is_file()


def check_folder(name: str) -> None:
    """Refuse a folder without a model, and a path that leads nowhere.

    Args:
        name: of a model.

    Raises:
        ModelError: there is none here, or only one in a folder inside it.
    """
    path = Path(name)
    if path.is_dir() and not (path / "config.json").is_file():
        inner = path / "model"
        inside = str(inner) if _is_model(inner) else _only_gguf(path)
        raise ModelError(
            "the folder holds no model (no config.json)",
            where=name,
            fix=f"use {inside}" if inside else "name a folder of save_pretrained",
        )
    # Names on the Hub are NAME or ORGANISATION/NAME.
    if not path.exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ModelError("there is no such folder or file", where=name, fix="correct the path")
