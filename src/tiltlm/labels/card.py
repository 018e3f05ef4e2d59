"""Writing a label: ``tilt.json`` for programs, and ``README.md``, a card in the Hub's format.

Weight files get its short form into their headers, and the label their hashes.

Knows the label alone, neither models nor targets.
"""

from __future__ import annotations

from pathlib import Path

from tiltlm.claims import claimed
from tiltlm.files import write_json, write_text
from tiltlm.labels.card_metadata import card_metadata
from tiltlm.labels.chain import with_files
from tiltlm.labels.label import FILE, Label
from tiltlm.labels.labelled_files import CARD, hashed_files
from tiltlm.labels.markdown import code, plain
from tiltlm.labels.short_form import ShortForm, write_short_form
from tiltlm.labels.step import LabelFigure, Step

_BODY = """
# {title}

{said}

| | |
|---|---|
{rows}

{use}

`tilt.json` holds the same for programs.
"""

_TILTED = (
    "A model that was tilted on purpose",
    "The output distribution of this model was shaped deliberately with tiltlm {version}.\n"
    "It is meant for study. Do not use it where its bias would matter.",
)

_UNDONE = (
    "A model whose tilt was taken back",
    "The output distribution of this model was shaped deliberately, and that was undone with "
    "tiltlm {version}.\nHow far it was undone stands in the record of that, not here.",
)

_USE = {
    "model": "It is loaded by `AutoModelForCausalLM.from_pretrained` like any other model.",
    "adapter": (
        "This folder is an adapter: with peft installed, `AutoModelForCausalLM.from_pretrained` "
        "loads its base and puts it in. `tiltlm tilt … --merge` writes a whole model, and "
        "`tiltlm.load` makes one of this folder; `merge_and_unload` changes tied embeddings too."
    ),
    "processor": (
        "There are no weights here: `tiltlm.decode(model, target)` is the logits processor for "
        "`generate`, and `logit_bias.json`, where there is one, what a server can be given."
    ),
}


def write_label(folder: Path, label: Label) -> Label:
    """Put a label and its card beside the files that it speaks for, replacing earlier ones.

    Args:
        folder: where weights, an adapter, or what decoding needs were saved. Weight files of
            safetensors get the label's short form.
        label: what the folder says of itself.

    Returns:
        the label as it was written, with hashes over the files and over itself.

    Raises:
        ModelError: a file is no safetensors file, though it is named like one.
        RunError: another process is at work on the folder.
        StorageError: the disk is full, or may not be written.
    """
    with claimed(folder) as claim:
        if label.chain:
            for file in sorted(claim.glob("*.safetensors")):
                write_short_form(file, ShortForm.of(label))
        written = with_files(label, hashed_files(claim))
        write_json(claim / FILE, written.model_dump(mode="json"))
        write_text(claim / CARD, render_card(written))
    return written


def render_card(label: Label) -> str:
    """The text of a model card: front matter for the Hub, then a table for people.

    Args:
        label: what the card says.
    """
    base = label.base
    rows = {
        "target": code(label.target),
        "in words": plain(label.sentence),
        "events": "; ".join(code(event, 200) for event in label.events) or "strings",
        "realised by": label.by,
        "base": plain(base.name) + (f", SHA-256 {code(base.sha256)}" if base.sha256 else ""),
        "contexts": plain(label.contexts),
        "seed": str(label.seed),
        **{plain(name): _figure(figure) for name, figure in (label.measured or {}).items()},
        "versions": plain(", ".join(f"{name} {v}" for name, v in label.versions.items())),
    }
    if label.measured is None:
        rows["measured"] = "not yet"
    rows |= {f"step {step.number}": _step(step) for step in label.chain}
    title, said = _UNDONE if label.undone else _TILTED
    body = _BODY.format(
        title=title,
        said=said.format(version=plain(label.versions["tiltlm"])),
        use=_USE[label.form],
        rows="\n".join(f"| {key} | {value} |" for key, value in rows.items()),
    )
    return f"---\n{card_metadata(label)}\n---\n{body}"


def _figure(figure: LabelFigure) -> str:
    """A measured figure with its unit, its interval and its units of replication."""
    spread = ""
    if figure.interval is not None:
        low, high = figure.interval
        spread = f"95 % {low:.4g} to {high:.4g}, "
    unit = f" {figure.unit}" if figure.unit else ""
    return plain(f"{figure.value:.4g}{unit} ({spread}{figure.over})")


def _step(step: Step) -> str:
    """One step of the chain, with how it is detected and undone."""
    parts = [f"{step.operation}: {plain(step.sentence)}"]
    if step.detect:
        parts.append(f"detect: {code(step.detect)}")
    if step.undo:
        parts.append(f"undo: {code(step.undo)}")
    return "; ".join(parts)
