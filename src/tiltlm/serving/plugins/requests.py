"""Which target a request asks for: its own, one of the server's labels, the server's, or none.

A request says it under the name ``tiltlm`` (in vLLM ``extra_args``, over HTTP ``vllm_xargs``): a
target as text, ``label:NAME`` for one of the labels that the server was started with, or ``none``.
A request is a stranger's: it names no files, and is short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiltlm.errors import ConfigError, TiltError
from tiltlm.labels.label import Label, find_label
from tiltlm.targets.parse import parse_target

KEY = "tiltlm"
"""Under which a request, and a server's configuration, say what is asked for."""

NONE, LABEL = "none", "label:"
"""What asks for no target, and what the name of a label comes after."""

_LONGEST = 200_000
"""Characters of a target that a request may send; a list of some thousand phrases has fewer."""

_FORM = (
    '{"target": "tilt(EVENT, STRENGTH)"}, {"label": "FOLDER"}, and {"labels": {"NAME": "FOLDER"}} '
    "for requests to choose from"
)


@dataclass(frozen=True)
class ServerTargets:
    """What a server was told when it was started.

    Attributes:
        default: the text of requests that ask for nothing; None for no target.
        labels: labels that requests may name.
    """

    default: str | None = None
    labels: Mapping[str, Label] = field(default_factory=dict)

    @classmethod
    def of(cls, given: object) -> ServerTargets:
        """Read a server's configuration.

        Args:
            given: a target as text, or a dictionary of ``target``, ``label`` (a folder that holds
                one) and ``labels`` (folders by name); None for nothing.

        Raises:
            ConfigError: it is none of these, or a folder holds no label.
            ExpressionError: the target cannot be read.
        """
        if given is None:
            return cls()
        if isinstance(given, str):
            given = {"target": given}
        if not isinstance(given, dict) or set(given) - {"target", "label", "labels"}:
            raise ConfigError(f"{KEY} is told {given!r:.200}", where=KEY, fix=f"give {_FORM}")
        labels = {name: _label(folder) for name, folder in dict(given.get("labels") or {}).items()}
        default = given.get("target")
        if "label" in given:
            if default is not None:
                raise ConfigError("there are both target and label", where=KEY, fix="give one")
            labels[""] = _label(given["label"])
            default = LABEL
        if default is not None and not str(default).startswith(LABEL):
            parse_target(str(default), where=KEY)
        return cls(None if default is None else str(default), labels)

    def asked(self, extra_args: Mapping[str, Any] | None) -> str | None:
        """The text that a request asks for, else the server's default; None for no target.

        Args:
            extra_args: of the request, as it sent them.
        """
        text = (extra_args or {}).get(KEY, self.default)
        return None if text in (None, "", NONE) else str(text)


def check_request(extra_args: Mapping[str, Any] | None) -> None:
    """Refuse a request that asks for something that cannot be read.

    Args:
        extra_args: of the request.

    Raises:
        ValueError: it does; the message says why, and what to write.
    """
    text = (extra_args or {}).get(KEY)
    if text is None:
        return
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError(f"{KEY}: a target is text of at most {_LONGEST:,} characters")
    if text in ("", NONE) or text.startswith(LABEL):
        return
    try:
        parse_target(text, where=KEY, files=False)
    except TiltError as error:
        raise ValueError(f"{KEY}: {error}") from None


def _label(folder: object) -> Label:
    _, label = find_label(str(folder))
    if label is None:
        raise ConfigError(
            "there is no label (tilt.json) in this folder",
            where=str(Path(str(folder))),
            fix="name a folder that `tiltlm tilt` or `tiltlm export` wrote",
        )
    return label
