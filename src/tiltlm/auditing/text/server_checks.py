"""Whether a server draws as an audit by text takes it to: same tokens, nothing before, temperature.

Text is all that is read of such a suspect. It says nothing of a tilt if the server cuts it into
other tokens, puts text before the prompt, or does not draw at temperature 1. What contradicts that
is an error; what could not be seen is a note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from tiltlm.auditing.answers import Choice
from tiltlm.auditing.endpoint import Endpoint
from tiltlm.errors import ModelError, VocabularyError

PROBES = (
    "\n",
    "The 1,024 quick foxes weren't 3.14159 times as clever.",
    "def f(x):\n    return {x: [0x1F, None]}",
    "Größe, été, мир, 日本語, ﷽ … ½",
)
"""Texts whose tokens a server is asked to count; the first is what answers continue."""


_MARKS = 1
"""Tokens that a server may put before a text, or leave out, where the tokenizer does otherwise: the
one that texts begin with."""


_COUNTED_TOKENS = 200
"""Tokens of answers from which on their number is compared with a server's."""


_LARGEST_RATIO = 1.5
"""Between the two, either way. A model may write a text in other tokens than it would be cut into,
and an end token is counted or not."""


_LEAST_TOKENS = 8
"""Answers of fewer tokens may be the same by chance."""


@dataclass(frozen=True)
class PromptCount:
    """How many tokens a server reads, against the reference's tokenizer.

    Attributes:
        extra: tokens that it puts before every prompt; 0 where it does not say.
        says: whether it says how many it reads, for all of `PROBES`.
    """

    extra: int
    says: bool

    @property
    def notes(self) -> list[str]:
        """What a reader should know where a server puts no text before a prompt; empty if nothing.

        One token more or fewer is taken to be the one that texts begin with.
        """
        if not self.says:
            return [
                "The server does not say how many tokens it reads. That it cuts text as the "
                "reference does, and puts nothing before a prompt, is assumed."
            ]
        if self.extra:
            which = "a token more" if self.extra > 0 else "a token fewer"
            return [
                f"The server reads {which} than the reference's tokenizer makes of each text; that "
                "is taken to be the one that texts begin with."
            ]
        return []


def count_prompts(endpoint: Endpoint, tokenizer: PreTrainedTokenizerBase) -> PromptCount:
    """Compare a server's counts of tokens with the tokenizer's.

    Args:
        endpoint: is asked for a token after each of `PROBES`.
        tokenizer: of the reference.

    Raises:
        VocabularyError: the server cuts text otherwise.
        ModelError: it answers none.
    """
    seen: dict[str, tuple[int, int]] = {}
    for number, choice in endpoint.each(PROBES, 1, 0):
        text, counted = PROBES[number], choice.usage.prompt_tokens
        if counted is not None:
            seen[text] = counted, len(tokenizer(text)["input_ids"])
    extra = {counted - own for counted, own in seen.values()}
    if len(extra) > 1 or min(extra, default=0) < -_MARKS:
        text, (counted, own) = max(seen.items(), key=lambda item: abs(item[1][0] - item[1][1]))
        raise VocabularyError(
            f"the server counts {counted} tokens in {text!r}, where the reference cuts it into "
            f"{own}",
            where="--endpoint",
            fix="name the reference that the suspect was made from",
        )
    return PromptCount(next(iter(extra), 0), len(seen) == len(PROBES))


def check_prompts(endpoint: Endpoint, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """As `count_prompts`, for a server that is to go on from a prompt alone.

    Args:
        endpoint: is asked for a token after each of `PROBES`.
        tokenizer: of the reference.

    Returns:
        notes: what the server puts before texts, or that its counts could not be seen.

    Raises:
        VocabularyError: the server cuts text otherwise.
        ModelError: it puts text before prompts, or answers none.
    """
    count = count_prompts(endpoint, tokenizer)
    if count.extra > _MARKS:
        raise ModelError(
            f"the server puts {count.extra} tokens before every prompt, a system prompt or the "
            "template of a chat; the reference was to go on from the prompt alone",
            where="--endpoint",
            fix="serve the model without it, as plain completions",
        )
    return count.notes


class AnswerChecks:
    """Looks at answers as they come in.

    Attributes:
        notes: what a reader of the audit should know.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._counted = self._own = 0
        self._texts: Counter[str] = Counter()

    def look(self, choices: Sequence[Choice], lengths: Sequence[int]) -> None:
        """Take in some answers.

        Args:
            choices: as they came.
            lengths: tokens that the reference's tokenizer cuts the text of each into, with the end
                token where there was one.

        Raises:
            VocabularyError: the server counts other tokens in them.
            ModelError: they are all the same.
        """
        first = not self._texts
        for choice, length in zip(choices, lengths, strict=True):
            if choice.usage.completion_tokens is not None:
                self._counted += choice.usage.completion_tokens
                self._own += length
            if length >= _LEAST_TOKENS:
                self._texts[choice.text or ""] += 1
        self._check_counts()
        if first and self._texts.total() > 1:
            self._check_draws()

    def _check_counts(self) -> None:
        low, high = sorted((self._counted, self._own))
        if high >= _COUNTED_TOKENS and high > _LARGEST_RATIO * low:
            raise VocabularyError(
                f"the server says that it wrote {self._counted:,} tokens, and the reference cuts "
                f"their text into {self._own:,}",
                where="--endpoint",
                fix="name the reference that the suspect was made from, and a server that gives "
                "all that the model writes",
            )

    def _check_draws(self) -> None:
        count = self._texts.total()
        if len(self._texts) == 1:
            raise ModelError(
                f"all {count} answers are the same, so the server does not draw at temperature 1",
                where="--endpoint",
                fix="let it draw anew for every request, at the temperature that is asked for",
            )
        if len(self._texts) <= count / 2:
            self.notes.append(
                f"Of the first {count} answers {len(self._texts)} differ. A server that draws at "
                "temperature 1 hardly writes the same twice; what was found may be that."
            )
