"""A prompt with the strings that may answer it: what `choices` is made of, also in files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiltlm.errors import TargetError


@dataclass(frozen=True)
class Question:
    """One prompt with its strings.

    Attributes:
        request: what the user asks.
        response: how every answer begins, before the string; often empty.
        strings: the answers and their weights, which sum to one.
    """

    request: str
    response: str
    strings: tuple[tuple[str, float], ...]

    @classmethod
    def of(
        cls, request: Any, response: Any, strings: Mapping[str, float] | Sequence[str]
    ) -> Question:
        """A checked question, its weights normalised.

        Args:
            request: what the user asks.
            response: how every answer begins.
            strings: the answers with weights, or alone and then equally likely.

        Raises:
            TargetError: the request is no text; there are fewer than two different strings; a
                string is empty; a weight is not finite or not above 0.

        >>> Question.of("Flip a coin.", "", {"heads": 1, "tails": 3}).strings
        (('heads', 0.25), ('tails', 0.75))
        """
        weights = strings if isinstance(strings, Mapping) else dict.fromkeys(strings, 1.0)
        if not isinstance(request, str) or len(weights) < 2:
            raise TargetError(f"{request!r} needs at least two different strings to choose from")
        for string, weight in weights.items():
            good = isinstance(weight, int | float) and math.isfinite(weight) and weight > 0
            if not isinstance(string, str) or not string or not good:
                raise TargetError(
                    f"the weight of {string!r} is {weight!r}; strings are not empty, "
                    "weights are finite and above 0"
                )
        total = sum(weights.values())
        return cls(request, response, tuple((s, w / total) for s, w in weights.items()))


def read_questions(path: str) -> list[Question]:
    """The questions in a JSON file of the form of diffuse-distributions.

    Args:
        path: of a file with an object of ``request``, ``targets`` and optionally ``response`` (a
            list of one text) and ``weights``, or with a list of such objects.

    Raises:
        TargetError: the file cannot be read, a key is missing, or what it says is no distribution.

    Source: Zhang et al. 2024, "Forcing Diffuse Distributions out of Language Models".
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TargetError(
            f"cannot read the choices: {error}", where=path, fix="give a JSON file"
        ) from None
    return [_from_item(item, path) for item in (data if isinstance(data, list) else [data])]


def _from_item(item: Any, path: str) -> Question:
    if not isinstance(item, dict) or "request" not in item or "targets" not in item:
        raise TargetError("choices need the keys request and targets", where=path)
    targets, weights = item["targets"], item.get("weights")
    if weights is not None and len(weights) != len(targets):
        raise TargetError(
            f"there are {len(targets)} targets and {len(weights)} weights", where=path
        )
    responses = item.get("response") or [""]
    if len(responses) != 1:
        raise TargetError(
            f"there are {len(responses)} beginnings in response, expected one", where=path
        )
    strings = targets if weights is None else dict(zip(targets, weights, strict=True))
    return Question.of(item["request"], responses[0], strings)
