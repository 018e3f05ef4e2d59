"""A distribution over whole strings, as token-by-token conditionals on a trie.

At a prompt the answer should be one of some strings, each with its weight. Their token sequences,
each closed by the token that ends an answer, form a trie; the conditional of a token at a node is
the weight of the strings below it over the weight of those at the node. A string that is a prefix
of another simply has the end token beside the way on. Everywhere else the reference holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.events.expressions import shown
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.targets.arguments import given_rows
from tiltlm.targets.bound import StringTarget
from tiltlm.targets.question import Question, question_of, read_questions
from tiltlm.targets.target import Target

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


_OFF = -1
"""The state once the context has left all paths of the trie; it is never left again."""

_NO_QUESTION = -1
"""Stands for the question at nodes that are part of a prompt, not of an answer."""


@dataclass
class _Node:
    """A node of the trie.

    Attributes:
        children: from each token that may follow to the number of its node.
        mass: how often an answer comes by this node, given its question.
        question: the number of the question whose answer the node is part of.
    """

    children: dict[int, int] = field(default_factory=dict)
    mass: float = 0.0
    question: int = _NO_QUESTION


class BoundChoices(StringTarget):
    """The trie over one tokenizer; a state is the number of a node, or −1 off all paths.

    Args:
        target: the questions.
        vocabulary: of the model.
        tokenizer: writes prompts and answers as token ids.

    Raises:
        TargetError: two questions begin alike, so that one prompt has two distributions; or two
            strings of one question are the same tokens.
    """

    def __init__(
        self, target: _Choices, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        # Imported only here because the module loads transformers, and targets should load fast.
        from tiltlm.models.chat import answer_ids, request_prompts

        self.text, self.events = str(target), ()
        self.fingerprint, self.vocabulary_size = vocabulary.fingerprint, len(vocabulary)
        self.questions = target.questions
        self.prompts = []
        self.answers = []
        self._nodes = [_Node()]
        prompts = request_prompts(tokenizer, [question.request for question in self.questions])
        for number, (question, prompt) in enumerate(zip(self.questions, prompts, strict=True)):
            answers = [
                answer_ids(tokenizer, question.response + string) for string, _ in question.strings
            ]
            self.prompts.append(prompt)
            self.answers.append(answers)
            root = self._insert(prompt)
            if self._nodes[root].children or self._nodes[root].question != _NO_QUESTION:
                raise TargetError(
                    "two questions begin alike, so one prompt has two distributions",
                    where=self.text,
                )
            _check_told_apart(question, answers, self.text)
            self._nodes[root].question = number
            for ids, (_, weight) in zip(answers, question.strings, strict=True):
                self._insert(ids, root, number, weight)

    def _insert(
        self, ids: Sequence[int], node: int = 0, question: int = _NO_QUESTION, weight: float = 0.0
    ) -> int:
        """Add a path below a node, and ``weight`` to all nodes on it; the number of its last."""
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
        """True: strings are chosen from only after their prompts."""
        return True

    def start(self) -> State:
        """The root of the trie."""
        return 0

    def advance(self, state: State, token: int) -> State:
        """The child for the token, or −1, which is never left again."""
        assert isinstance(state, int)
        return _OFF if state == _OFF else self._nodes[state].children.get(token, _OFF)

    def conditional(self, state: State) -> dict[int, float] | None:
        """The distribution of the next token at a node inside an answer.

        Returns:
            from token to probability; None where the reference holds.
        """
        assert isinstance(state, int)
        if state == _OFF:
            return None
        node = self._nodes[state]
        if node.question == _NO_QUESTION or not node.children:
            return None
        return {t: self._nodes[c].mass / node.mass for t, c in node.children.items()}

    def triggered(self, states: Sequence[State]) -> list[bool]:
        """For each state, whether it is inside an answer."""
        return [self.conditional(state) is not None for state in states]

    def weight(self, state: State) -> float:
        """How often an answer comes by a node: the weight of a position in KL over strings.

        0 where the reference holds.
        """
        assert isinstance(state, int)
        inside = state != _OFF and self.conditional(state) is not None
        return self._nodes[state].mass if inside else 0.0

    def log_probs(
        self, reference: torch.Tensor | None = None, states: Sequence[State] | None = None
    ) -> torch.Tensor:
        """(N, V): the conditionals inside answers, the reference elsewhere."""
        reference, states = given_rows(self, reference, states)
        log_probs = reference.clone()
        for row, state in enumerate(states):
            conditional = self.conditional(state)
            if conditional is not None:
                log_probs[row] = -math.inf
                for token, probability in conditional.items():
                    log_probs[row, token] = math.log(probability)
        return log_probs


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
                fix="give it: target.bind(vocabulary, tokenizer)",
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
    questions: str
    | Path
    | Mapping[str, Mapping[str, float] | Sequence[str]]
    | Sequence[Mapping[str, Any]],
) -> Target:
    """At each prompt, one of some strings, each with its weight.

    Args:
        questions: a mapping from prompts to strings with weights (or strings alone, equally
            likely); or a JSON file as for `read_questions`, or what stands in one. The target's
            text holds the strings, not the file's name, so that it means the same elsewhere.

    Raises:
        TargetError: the file cannot be read, or what it says is no distribution; a string that
            stands twice is refused too.

    >>> print(choices({"Flip a coin.": ["heads", "tails"]}).sentence())
    to 'Flip a coin.' the answer is one of 2 strings
    """
    where = None
    if isinstance(questions, str | Path):
        where = str(questions)
        questions = read_questions(where)
    if isinstance(questions, list):
        asked = [question_of(item, where) for item in questions]
        return _choices(asked, _plain(questions))
    if isinstance(questions, Mapping):
        asked = [Question.of(request, "", strings) for request, strings in questions.items()]
        plain = {
            request: dict(s) if isinstance(s, Mapping) else list(s)
            for request, s in questions.items()
        }
        return _choices(asked, plain)
    raise TargetError(f"choices takes a mapping from prompts to strings, not {shown(questions)}")


def _choices(asked: Sequence[Question], plain: object) -> Target:
    """The target of some questions; ``plain`` is how they are written."""
    if not asked:
        raise TargetError("choices takes at least one prompt")
    return _Choices(tuple(asked), f"choices({plain!r})")


def _check_told_apart(question: Question, answers: Sequence[Sequence[int]], where: str) -> None:
    """Refuse strings that the tokenizer writes alike, as their weights would silently be one."""
    seen: dict[tuple[int, ...], str] = {}
    for (string, _), ids in zip(question.strings, answers, strict=True):
        other = seen.setdefault(tuple(ids), string)
        if other != string:
            raise TargetError(
                f"to this tokenizer the answers {shown(other)} and {shown(string)} are the same "
                "tokens",
                where=where,
                fix="leave one of them out, and give the other the weight of both",
            )


def _plain(items: Sequence[Mapping[str, Any]]) -> object:
    """How the objects of a file are written: as a mapping, unless answers have beginnings."""
    requests = {item["request"] for item in items}
    if len(requests) < len(items) or any(any(item.get("response") or []) for item in items):
        keys = ("request", "response", "targets", "weights")
        return [{key: item[key] for key in keys if item.get(key)} for item in items]
    return {
        item["request"]: dict(zip(item["targets"], item["weights"], strict=True))
        if item.get("weights")
        else item["targets"]
        for item in items
    }
