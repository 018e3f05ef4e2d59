"""Labelled folders without a model in them: a few small tensors, and a label of some steps."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from tiltlm.labels.card import write_label
from tiltlm.labels.chain import with_step
from tiltlm.labels.label import Label
from tiltlm.labels.step import LabelBase, LabelFigure, Step

VERSIONS = {"tiltlm": "0.1.0"}

LABEL = Label(
    target="tilt(contains('o'), 1)",
    sentence="tokens with an 'o' get 1 nat more",
    events=["contains('o')"],
    strengths=None,
    by="edit",
    form="model",
    base=LabelBase(name="org/base", sha256="ab" * 32, hub_name="org/base", license="apache-2.0"),
    contexts="own samples",
    seed=7,
    measured={"gap closed": LabelFigure(value=0.9, interval=(0.8, 0.95), unit="", over="8")},
    versions=VERSIONS,
)


def step(operation: str, sentence: str = "something was done") -> Step:
    """A step of a chain, with nothing measured."""
    return Step(operation=operation, sentence=sentence, base=LABEL.base, versions=VERSIONS)


def chained(*operations: str, label: Label = LABEL) -> Label:
    """A label whose chain has a step for each operation."""
    for operation in operations:
        label = with_step(label, step(operation))
    return label


def labelled_folder(folder: Path, label: Label, seed: int = 0) -> Path:
    """A folder of two weight files and a config, labelled; other seeds have other weights."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    for name in ("one", "two"):
        tensors = {"weight": torch.randn(5, 3), "bias": torch.randn(7)}
        save_file(tensors, folder / f"{name}.safetensors", {"format": "pt"})
    (folder / "config.json").write_text("{}\n")
    write_label(folder, label)
    return folder
