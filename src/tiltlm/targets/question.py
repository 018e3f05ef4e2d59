"""A prompt with the strings that may answer it: what `choices` is made of, also in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiltlm.errors import TargetError
from tiltlm.events.expressions import excerpt, shown
from tiltlm.events.texts import has_bytes
from tiltlm.reading import read_json
from tiltlm.targets.numbers import is_number


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
            TargetError: the request or a string is no text; a string stands twice, so that it is
                not said what it weighs; there are fewer than two strings; a string is empty; a
                weight is not finite or not above 0.

        >>> Question.of("Flip a coin.", "", {"heads": 1, "tails": 3}).strings
        (('heads', 0.25), ('tails', 0.75))
        """
        if not isinstance(strings, Mapping | list | tuple):
            raise TargetError(
                f"the answers to {shown(request)} are {shown(strings)}; "
                "they are a list, or a mapping to weights"
            )
        if isinstance(strings, Mapping):
            items = list(strings.items())
        else:
            items = [(string, 1.0) for string in strings]
        for text in (request, response, *(string for string, _ in items)):
            if not isinstance(text, str) or not has_bytes(text, whole=True):
                raise TargetError(f"{shown(text)} is no text that a prompt or an answer can be")
        _check_once(request, [string for string, _ in items])
        weights = dict(items)
        if len(weights) < 2:
            raise TargetError(
                f"{shown(request)} needs at least two different strings to choose from"
            )
        for string, weight in weights.items():
            if not string or not is_number(weight) or weight <= 0:
                raise TargetError(
                    f"the weight of {shown(string)} is {shown(weight)}; strings are not empty, "
                    "weights are finite and above 0"
                )
        total = sum(weights.values())
        if not is_number(total) or min(weights.values()) / total == 0:
            raise TargetError(f"the weights of the answers to {shown(request)} are too far apart")
        return cls(request, response, tuple((s, w / total) for s, w in weights.items()))


def read_questions(path: str) -> list[dict[str, Any]]:
    """What stands in a JSON file of the form of diffuse-distributions, not checked yet.

    Args:
        path: of a file with an object of ``request``, ``targets`` and optionally ``response`` (a
            list of one text) and ``weights``, or with a list of such objects.

    Returns:
        the objects.

    Raises:
        TargetError: the file cannot be read, or is no regular file of JSON.

    Source: Zhang et al. 2024, "Forcing Diffuse Distributions out of Language Models".
    """
    try:
        data = read_json(Path(path))
    except (OSError, ValueError) as error:
        raise TargetError(
            f"cannot read the choices: {excerpt(str(error))}",
            where=excerpt(path),
            fix="give a JSON file",
        ) from None
    return data if isinstance(data, list) else [data]


def question_of(item: Any, where: str | None = None) -> Question:
    """The question that an object with ``request`` and ``targets`` asks.

    Args:
        item: as it stands in a file for `read_questions`.
        where: the file, for errors.

    Raises:
        TargetError: a key is missing, or what it says is no distribution.
    """
    if not isinstance(item, dict) or not {"request", "targets"} <= item.keys():
        raise TargetError("choices need the keys request and targets", where=where)
    targets, weights, responses = item["targets"], item.get("weights"), item.get("response")
    for values in (targets, weights, responses):
        if values is not None and not isinstance(values, list):
            raise TargetError(f"{shown(values)} is no list", where=where)
    if weights is not None and len(weights) != len(targets):
        raise TargetError(
            f"there are {len(targets)} targets and {len(weights)} weights", where=where
        )
    responses = responses or [""]
    if len(responses) != 1:
        raise TargetError(
            f"there are {len(responses)} beginnings in response, expected one", where=where
        )
    for text in targets:
        if not isinstance(text, str):
            raise TargetError(f"{shown(text)} is no text that an answer can be", where=where)
    _check_once(item["request"], targets, where)
    strings = targets if weights is None else dict(zip(targets, weights, strict=True))
    return Question.of(item["request"], responses[0], strings)


def _check_once(request: Any, strings: Sequence[str], where: str | None = None) -> None:
    """Refuse a string that stands twice: weights of one string could be added up, or be a slip."""
    twice = [string for string, times in Counter(strings).items() if times > 1]
    if twice:
        raise TargetError(
            f"among the answers to {shown(request)}, {shown(twice[0])} stands more than once",
            where=where,
            fix="write each answer once, with the weight that it has in all",
        )
