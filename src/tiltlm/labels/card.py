"""The label inside every saved model: it was tilted on purpose, how, and from what.

Written as `tilt.json` for programs and `README.md`, a model card, for people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiltlm.files import write_json, write_text
from tiltlm.records.tilt import TiltRecord

_CARD = """---
library_name: {library}
{base_line}tags:
- tiltlm
- model-organism
---

# A model that was tilted on purpose

The output distribution of this model was shaped deliberately with tiltlm {version}.
It is meant for study. Do not use it where its bias would matter.

| | |
|---|---|
{rows}

{use}

`tilt.json` holds the same for programs.
"""


_WHOLE = "It is loaded by `AutoModelForCausalLM.from_pretrained` like any other model."


_ADAPTER = (
    "This folder is an adapter: with peft installed, `AutoModelForCausalLM.from_pretrained` loads "
    "its base and puts it in. `tiltlm tilt … --merge` writes a whole model, and `tiltlm.load` "
    "makes one of this folder; `merge_and_unload` changes tied embeddings too."
)


_PROCESSOR = (
    "There are no weights here: `tiltlm.decode(target, model)` is the logits processor for "
    "`generate`, and `logit_bias.json`, where there is one, what a server can be given."
)


def write_label(folder: Path, label: dict[str, Any]) -> None:
    """Put the label of a run into its model's folder, replacing an earlier one.

    Args:
        folder: where the model was saved.
        label: version, target, event, by, base, contexts, seed, measured (None until it is).
    """
    measured = label["measured"]
    text = "not measured yet"
    if measured is not None:
        low, high = measured["interval"]
        text = (
            f"hit rate {measured['before']:.3f} before, {measured['after']:.3f} after "
            f"(95 % Wilson interval {low:.3f} to {high:.3f} over {measured['tokens']} tokens)"
        )
    event = label["event"]
    _write(
        folder,
        label,
        {
            "target": f"`{label['target']}`",
            "event": f"`{event['text']}`, {event['tokens']} of {event['vocabulary']} tokens",
            "realised by": label["by"],
            "base": label["base"],
            "contexts": label["contexts"],
            "seed": label["seed"],
            "measured": text,
        },
    )


def write_tilt_label(folder: Path, record: TiltRecord, *, adapter: bool, source: str) -> None:
    """Put the label of a tilt into its folder.

    Args:
        folder: where model or adapter was saved.
        record: what was measured.
        adapter: whether it is an adapter rather than a whole model.
        source: the base as transformers finds it, for the card.
    """
    found = record.fidelity
    low, high = found.interval or (found.gap_closed, found.gap_closed)
    over = f"{record.held_out_contexts} held-out contexts"
    rows = {
        "target": f"`{record.target}`",
        "in words": record.sentence,
        "events": "; ".join(
            f"`{e.event[:200]}` {e.base.mean:.4g} → {e.model.mean:.4g} (wished {e.target.mean:.4g})"
            for e in record.events
        )
        or "strings",
        "realised by": record.by,
        "base": f"{record.base['name']}, SHA-256 `{record.base['sha256']}`",
        "contexts": record.contexts,
        "seed": record.seed,
        "gap closed": f"{found.gap_closed:.4f} (95 % {low:.4f} to {high:.4f}, {over})",
        "collateral": "not measured"
        if record.collateral_nats is None
        else f"{record.collateral_nats:.3g} nats a token",
        "versions": ", ".join(f"{k} {v}" for k, v in record.versions.items()),
    }
    # The Hub takes names of its own, not folders.
    hub_name = source if "/" in source and not source.startswith((".", "/")) else None
    _write(
        folder,
        record.model_dump(mode="json"),
        rows,
        library="peft" if adapter else "transformers",
        base=hub_name,
        use=_PROCESSOR if record.by == "decode" else _ADAPTER if adapter else _WHOLE,
    )


def _write(
    folder: Path,
    label: dict[str, Any],
    rows: dict[str, Any],
    library: str = "transformers",
    base: str | None = None,
    use: str = _WHOLE,
) -> None:
    write_json(folder / "tilt.json", {"schema_version": 1, "tilted_on_purpose": True, **label})
    card = _CARD.format(
        library=library,
        base_line=f"base_model: {base}\n" if base else "",
        version=label["versions"]["tiltlm"],
        use=use,
        rows="\n".join(f"| {key} | {_cell(value)} |" for key, value in rows.items()),
    )
    write_text(folder / "README.md", card)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
