"""Labels of older versions of tiltlm, as this version reads them. Knows plain JSON only."""

from __future__ import annotations

from typing import Any

OLDEST = 2
"""The oldest version of labels that is read."""


def upgraded(data: Any, schema: int) -> Any:
    """What a label of an older version says, in the words of a newer one.

    Version 2 had no chain, and no hashes over files: so the steps that are made of it have none.

    Args:
        data: of the label's file, which may be anything.
        schema: the version that is wanted.

    Returns:
        ``data`` itself where it is of no older version, or no label at all.
    """
    if not isinstance(data, dict) or data.get("schema_version") != OLDEST:
        return data
    kept = {key: value for key, value in data.items() if key not in ("history", "chain", "digest")}
    earlier = data.get("history")
    earlier = earlier if isinstance(earlier, list) else []
    known = [label for label in earlier if isinstance(label, dict)] + [data]
    chain = [_step(label, number) for number, label in enumerate(known, 1)]
    return {**kept, "schema_version": schema, "chain": chain}


def _step(label: dict[str, Any], number: int) -> dict[str, Any]:
    """The step that made a model of a label of version 2."""
    said = ("sentence", "target", "by", "base", "seed", "measured", "versions")
    step = {key: label[key] for key in said if key in label}
    return {**step, "operation": "tilt", "data": label.get("contexts"), "number": number}
