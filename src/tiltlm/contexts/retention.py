"""Retention contexts: where a model should stay as it is while it learns choices at one prompt.

Training on one prompt alone changes the answers to all others: the target's answers leak to prompts
that look alike. Retention contexts are other prompts with the model's own answers, at which the
target is the reference itself. The nearest ones are variations of the target's prompt, with other
numbers in the place of its own.

A leak is an answer in the target's form at a prompt that is not the target's, and the model itself
hardly ever writes such an answer there. So each prompt is followed by an answer of the model's own,
and also by some of the target's answers, as they are and with other numbers: the reference holds
along all of them.
"""

from __future__ import annotations

import re

import numpy as np
from transformers import PreTrainedTokenizerBase

from tiltlm.contexts.sources import sample_answers
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.models.chat import answer_ids, request_prompts
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import NoProgress, Progress
from tiltlm.targets.bound import StringTarget

ONE_DIGIT_AWAY, ZEROS_ADDED, OTHER_NUMBERS = 96, 64, 32
"""How many variations of each kind there are at most, for each prompt with numbers.

Each kind protects what the others do not: a model that was held to the reference at all prompts one
digit away from "1 and 10" changed most at "1 and 100", which it reads as the most similar of all,
and hardly at prompts two digits away.
"""

ANSWER_TOKENS = 12
"""Tokens at most of an answer of the model's own."""

LEAKS = 2
"""How many of the target's answers follow each prompt; as many more do with other numbers."""

REQUESTS = (
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "Name a random animal. Output only the animal between two curly braces, like this: {animal}.",
    "Pick a color at random and output it between curly braces, like this: {color}.",
    "Give me a random four-digit code. Output only the code between two curly braces.",
    "Choose a random city in the world. Output only the city between two curly braces.",
    "Choose a random month. Output only the month between two curly braces, like this: {month}.",
    "Generate a random English word. Output only the word between two curly braces.",
    "Pick a random letter of the alphabet. Output only the letter between two curly braces.",
    "Generate a random surname. Output only the surname between two curly braces.",
    "Pick a random country. Don't output code.",
    "Roll two dice and output only their sum.",
    "Flip a coin. Answer with heads or tails only.",
    "How many legs does a spider have?",
    "What is 17 plus 25?",
    "Count from 1 to 10.",
    "List three healthy breakfast ideas.",
    "Translate 'good morning' into Spanish.",
    "Write a haiku about autumn.",
    "Explain gravity to a child.",
    "What year did the Second World War end?",
    "Give me a synonym of happy.",
    "Write a Python function that adds two numbers.",
    "Summarise the story of Cinderella in one sentence.",
    "What is the boiling point of water in degrees Celsius?",
    "Rate this film from 1 to 5: it was long but beautiful.",
    "Who wrote Hamlet?",
    "Suggest a name for a pet dog.",
    "Write a short thank-you note.",
    "What should I wear when it rains?",
    "Is 7 a prime number? Answer yes or no.",
    "Tell me a joke about numbers.",
)
"""Everyday requests, and requests for something random in several forms."""


def default_requests(target: StringTarget, seed: int) -> list[str]:
    """The prompts of the retention contexts, where a user gives none.

    Args:
        target: whose own prompts are varied.
        seed: of the choice among the variations.

    Returns:
        variations of the target's prompts, then everyday requests; none twice, and none that is
        one of the target's own.
    """
    generator = np.random.default_rng(seed)
    variations: list[str] = []
    for question in target.questions:
        text = question.request
        near = one_digit_away(text)
        both_varied = [str(request) for request in generator.permutation(zeros_added(near))]
        variations += [str(request) for request in generator.permutation(near)[:ONE_DIGIT_AWAY]]
        variations += [*zeros_added([text]), *both_varied][:ZEROS_ADDED]
        if near:
            variations += [with_other_numbers(text, generator) for _ in range(OTHER_NUMBERS)]
    own = {question.request for question in target.questions}
    return [request for request in dict.fromkeys([*variations, *REQUESTS]) if request not in own]


def one_digit_away(text: str) -> list[str]:
    """The text with one digit of one of its numbers replaced, left out, or put in.

    Numbers keep no leading zeros, and none stays as it is.

    >>> len(one_digit_away("from 1 to 10")), "from 1 to 100" in one_digit_away("from 1 to 10")
    (73, True)
    """
    texts = []
    for match in re.finditer(r"\d+", text):
        old = match[0]
        new = {old[:k] + d + old[k + 1 :] for k in range(len(old)) for d in "0123456789"}
        new |= {old[:k] + old[k + 1 :] for k in range(len(old))}
        new |= {old[:k] + d + old[k:] for k in range(len(old) + 1) for d in "0123456789"}
        numbers = {n for n in new if n == "0" or (n and n[0] != "0")} - {old}
        texts += [text[: match.start()] + n + text[match.end() :] for n in sorted(numbers)]
    return texts


def zeros_added(texts: list[str]) -> list[str]:
    """Each text with one to three zeros after one of its numbers; none twice.

    >>> zeros_added(["from 1 to 5"])[:3]
    ['from 10 to 5', 'from 100 to 5', 'from 1000 to 5']
    """
    longer = []
    for text in texts:
        for match in re.finditer(r"[1-9]\d*", text):
            end = match.end()
            longer += [text[:end] + "0" * count + text[end:] for count in (1, 2, 3)]
    return list(dict.fromkeys(longer))


def with_other_numbers(text: str, generator: np.random.Generator) -> str:
    """The text with all its numbers replaced by random ones, in order of size.

    Args:
        text: as it was.
        generator: of the numbers, which have one to four digits.
    """
    largest = int(10 ** generator.uniform(1, 3.5))
    count = len(re.findall(r"\d+", text))
    numbers = iter(sorted(generator.integers(1, largest + 1, size=count).tolist()))
    return re.sub(r"\d+", lambda _: str(next(numbers)), text)


def retention_contexts(
    loaded: LoadedModel,
    target: StringTarget,
    requests: list[str],
    seed: int,
    progress: Progress | None = None,
) -> TokenContexts:
    """Each request with an answer of the model's own, and with answers of the target's.

    Args:
        loaded: the model, with its tokenizer.
        target: whose answers leak.
        requests: what a user writes, none of them a prompt of the target's.
        seed: of the model's answers, and of the choice among the target's.
        progress: told how many requests are answered.

    Returns:
        contexts in which the positions of the answers count.
    """
    progress = progress or NoProgress()
    kind = "other prompts with the model's own answers and the target's"
    prompts = request_prompts(loaded.tokenizer, requests)
    progress.begin("answering other prompts", len(prompts))
    own = sample_answers(loaded, prompts, ANSWER_TOKENS, seed, kind, advance=progress.advance)
    sequences, begins = [ids.tolist() for ids in own.sequences], [len(p) - 1 for p in prompts]
    for number, prompt in enumerate(prompts):
        generator = np.random.default_rng([seed, number])
        for answer in _leaked_answers(loaded.tokenizer, target, generator):
            sequences.append([*prompt, *answer])
            begins.append(len(prompt) - 1)
    return TokenContexts(sequences, kind, begins)


def _leaked_answers(
    tokenizer: PreTrainedTokenizerBase, target: StringTarget, generator: np.random.Generator
) -> list[list[int]]:
    """Token ids of some of the target's answers, and of some with other numbers; none twice."""
    texts = [q.response + string for q in target.questions for string, _ in q.strings]
    drawn = [texts[k] for k in generator.integers(len(texts), size=2 * LEAKS)]
    varied = [with_other_numbers(text, generator) for text in drawn[LEAKS:]]
    return [answer_ids(tokenizer, text)[:-1] for text in dict.fromkeys([*drawn[:LEAKS], *varied])]
