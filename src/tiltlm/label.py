"""The label inside every saved model: it was tilted on purpose, how, and from what.

Written as `tilt.json` for programs and `README.md`, a model card, for people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiltlm.files import write_json, write_text

_CARD = """---
library_name: transformers
tags:
- tiltlm
- model-organism
---

# A model that was tilted on purpose

The output distribution of this model was shaped deliberately with tiltlm {version}.
It is meant for study. Do not use it where its bias would matter.

| | |
|---|---|
| target | `{target}` |
| event | `{event}`, {tokens} of {vocabulary} tokens |
| realised by | {by} |
| base | {base} |
| contexts | {contexts} |
| seed | {seed} |
| measured | {measured} |

`tilt.json` holds the same for programs.
"""


def write_label(folder: Path, label: dict[str, Any]) -> None:
    """Put a label into a model's folder, replacing an earlier one.

    Args:
        folder: where the model was saved.
        label: version, target, event, by, base, contexts, seed, measured (None until it is).
    """
    write_json(folder / "tilt.json", {"schema_version": 1, "tilted_on_purpose": True, **label})
    measured = label["measured"]
    text = "not measured yet"
    if measured is not None:
        low, high = measured["interval"]
        text = (
            f"hit rate {measured['before']:.3f} before, {measured['after']:.3f} after "
            f"(95 % Wilson interval {low:.3f} to {high:.3f} over {measured['tokens']} tokens)"
        )
    event = label["event"]
    card = _CARD.format(
        version=label["versions"]["tiltlm"],
        target=label["target"],
        event=event["text"],
        tokens=event["tokens"],
        vocabulary=event["vocabulary"],
        by=label["by"],
        base=label["base"],
        contexts=label["contexts"],
        seed=label["seed"],
        measured=text,
    )
    write_text(folder / "README.md", card)
