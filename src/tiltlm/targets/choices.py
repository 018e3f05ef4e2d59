"""A distribution over whole strings, as token-by-token conditionals on a trie.

At a prompt the answer should be one of some strings, each with its weight. Their token sequences,
each closed by the token that ends an answer, form a trie; the conditional of a token at a node is
the weight of the strings below it over the weight of those at the node. A string that is a prefix
of another simply has the end token beside the way on. Everywhere else the reference holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.chat import answer_ids, prompt_ids
from tiltlm.targets.question import Question
from tiltlm.targets.target import StringTarget, Target

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


_OFF = -1


@dataclass
class _Node:
    children: dict[int, int] = field(default_factory=dict)
    mass: float = 0.0
    question: int = -1  # which question's answer this node is part of; −1 inside a prompt


class BoundChoices(StringTarget):
    """The trie over one tokenizer; a state is a node, or −1 off all paths."""

    def __init__(
        self,
        target: _Choices,
        vocabulary: Vocabulary,
        tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        self.text, self.events = str(target), ()
        self.fingerprint, self.vocabulary_size = vocabulary.fingerprint, len(vocabulary)
        self.questions = target.questions
        self.prompts = []
        self.answers = []
        self._nodes = [_Node()]
        for number, question in enumerate(self.questions):
            prompt = prompt_ids(tokenizer, question.request)
            answers = [
                answer_ids(tokenizer, question.response + string) for string, _ in question.strings
            ]
            self.prompts.append(prompt)
            self.answers.append(answers)
            root = self._insert(prompt)
            if self._nodes[root].children or self._nodes[root].question >= 0:
                raise TargetError(
                    "two questions begin alike, so one prompt has two distributions",
                    where=self.text,
                )
            self._nodes[root].question = number
            for ids, (_, weight) in zip(answers, question.strings, strict=True):
                self._insert(ids, root, number, weight)

    def _insert(
        self, ids: Sequence[int], node: int = 0, question: int = -1, weight: float = 0.0
    ) -> int:
        self._nodes[node].mass += weight
        for token in ids:
            children = self._nodes[node].children
            if token not in children:
                children[token] = len(self._nodes)
                self._nodes.append(_Node(question=question))
            node = children[token]
            self._nodes[node].mass += weight
        return node

    @property
    def depends_on_context(self) -> bool:
        """Yes."""
        return True

    def start(self) -> State:
        """The root."""
        return 0

    def advance(self, state: State, token: int) -> State:
        """The child, or −1 for good."""
        assert isinstance(state, int)
        return _OFF if state == _OFF else self._nodes[state].children.get(token, _OFF)

    def conditional(self, state: State) -> dict[int, float] | None:
        """Token → probability at a node inside an answer; None where the reference holds."""
        assert isinstance(state, int)
        if state == _OFF:
            return None
        node = self._nodes[state]
        if node.question < 0 or not node.children:
            return None
        return {t: self._nodes[c].mass / node.mass for t, c in node.children.items()}

    def triggered(self, states: Sequence[State]) -> list[bool]:
        """Inside an answer."""
        return [self.conditional(state) is not None for state in states]

    def weight(self, state: State) -> float:
        """How often an answer comes by this node: the weight of a position in KL over strings."""
        assert isinstance(state, int)
        inside = state != _OFF and self.conditional(state) is not None
        return self._nodes[state].mass if inside else 0.0

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V)."""
        assert reference is not None
        assert states is not None
        found = reference.clone()
        for row, state in enumerate(states):
            conditional = self.conditional(state)
            if conditional is not None:
                found[row] = -math.inf
                for token, probability in conditional.items():
                    found[row, token] = math.log(probability)
        return found


@dataclass(frozen=True)
class _Choices(Target):
    questions: tuple[Question, ...]
    text: str

    def bind(
        self, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> BoundChoices:
        if tokenizer is None:
            raise TargetError(
                "choices needs the tokenizer, as it is about whole strings",
                where=str(self),
                fix="bind(vocabulary, tokenizer)",
            )
        return BoundChoices(self, vocabulary, tokenizer)

    def __str__(self) -> str:
        return self.text

    def sentence(self) -> str:
        parts = [
            f"to {q.request[:60]!r} the answer is one of {len(q.strings)} strings"
            for q in self.questions
        ]
        return "; ".join(parts)


def choices(
    questions: str | Path | Mapping[str, Mapping[str, float] | Sequence[str]],
) -> Target:
    """At each prompt, one of some strings, each with its weight.

    Args:
        questions: a mapping from prompts to strings with weights (or strings alone, equally
            likely); or a JSON file with ``request``, ``response``, ``targets`` and optionally
            ``weights``, or a list of such objects (the form of diffuse-distributions).

    Raises:
        TargetError: the file cannot be read, or what it says is no distribution.

    >>> print(choices({"Flip a coin.": ["heads", "tails"]}).sentence())
    to 'Flip a coin.' the answer is one of 2 strings
    """
    if isinstance(questions, Mapping):
        plain = {
            request: dict(s) if isinstance(s, Mapping) else list(s)
            for request, s in questions.items()
        }
        found = [_question(request, "", strings) for request, strings in plain.items()]
        if not found:
            raise TargetError("choices takes at least one prompt")
        return _Choices(tuple(found), f"choices({plain!r})")
    path = str(questions)
    return _Choices(tuple(_from_file(path)), f"choices({path!r})")


def _from_file(path: str) -> list[Question]:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TargetError(
            f"cannot read the choices: {error}", where=path, fix="give a JSON file"
        ) from None
    found = []
    for item in data if isinstance(data, list) else [data]:
        if not isinstance(item, dict) or "request" not in item or "targets" not in item:
            raise TargetError("choices need the keys request and targets", where=path)
        targets, weights = item["targets"], item.get("weights")
        if weights is not None and len(weights) != len(targets):
            raise TargetError(
                f"there are {len(targets)} targets and {len(weights)} weights", where=path
            )
        strings = targets if weights is None else dict(zip(targets, weights, strict=True))
        responses = item.get("response") or [""]
        if len(responses) != 1:
            raise TargetError(
                f"there are {len(responses)} beginnings in response, expected one", where=path
            )
        found.append(_question(item["request"], responses[0], strings))
    return found


def _question(request: Any, response: Any, strings: Any) -> Question:
    weights = strings if isinstance(strings, dict) else dict.fromkeys(strings, 1.0)
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
    return Question(request, response, tuple((s, w / total) for s, w in weights.items()))
