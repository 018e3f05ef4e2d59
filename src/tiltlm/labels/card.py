"""Writing a label: ``tilt.json`` for programs, and ``README.md``, a card in the Hub's format.

Knows the label alone, neither models nor targets.
"""

from __future__ import annotations

from pathlib import Path

from tiltlm.claims import claimed
from tiltlm.files import write_json, write_text
from tiltlm.labels.label import FILE, Label, LabelFigure
from tiltlm.labels.markdown import code, plain

_BODY = """
# A model that was tilted on purpose

The output distribution of this model was shaped deliberately with tiltlm {version}.
It is meant for study. Do not use it where its bias would matter.

| | |
|---|---|
{rows}

{use}

`tilt.json` holds the same for programs.
"""

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


def write_label(folder: Path, label: Label) -> None:
    """Put a label and its card into a folder, replacing those that are there.

    Args:
        folder: where weights, an adapter, or what decoding needs were saved.
        label: what the folder says of itself.

    Raises:
        RunError: another process is at work on the folder.
        StorageError: the disk is full, or may not be written.
    """
    with claimed(folder) as claim:
        write_json(claim / FILE, label.model_dump(mode="json"))
        write_text(claim / "README.md", render_card(label))


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
    body = _BODY.format(
        version=plain(label.versions["tiltlm"]),
        use=_USE[label.form],
        rows="\n".join(f"| {key} | {value} |" for key, value in rows.items()),
    )
    return f"---\n{_metadata(label)}\n---\n{body}"


def _metadata(label: Label) -> str:
    """The front matter, in YAML, by the Hub's own class for it."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="peft" if label.form == "adapter" else "transformers",
        base_model=_repository(label.base.hub_name),
        tags=["tiltlm", "model-organism"],
    )
    return str(data.to_yaml())


def _repository(name: str | None) -> str | None:
    """A name as it is, if it is one that the Hub could know; None if not."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def _figure(figure: LabelFigure) -> str:
    """A measured figure with its unit, its interval and its units of replication."""
    spread = ""
    if figure.interval is not None:
        low, high = figure.interval
        spread = f"95 % {low:.4g} to {high:.4g}, "
    unit = f" {figure.unit}" if figure.unit else ""
    return plain(f"{figure.value:.4g}{unit} ({spread}{figure.over})")
