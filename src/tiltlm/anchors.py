"""Where a model should stay as it is while it learns choices at one prompt.

Training on one prompt alone moves all others: the answers leak to prompts that look alike. Anchors
are other prompts with the model's own answers, at which the target is the reference itself. The
nearest ones are variations of the prompt, with other numbers in the place of its own.

A leak is an answer of the target's at a prompt that is not its own, and the model itself hardly
ever writes that answer there. So each anchor prompt is read with the model's own answers and also
with some of the target's: the reference holds along both.
"""

from __future__ import annotations

import re

import numpy as np

from tiltlm.choices import BoundChoices, prompt_ids
from tiltlm.context_sources import answered
from tiltlm.contexts import TokenContexts
from tiltlm.models import LoadedModel

VARIATIONS = 128
ANSWER_TOKENS = 12
LEAKS = 2

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


def default_requests(target: BoundChoices, seed: int) -> list[str]:
    """Variations of the target's own prompts, then everyday requests; never one of its own."""
    generator = np.random.default_rng(seed)
    found = []
    for question in target.questions:
        if re.search(r"\d+", question.request):
            found += [_with_other_numbers(question.request, generator) for _ in range(VARIATIONS)]
    own = {question.request for question in target.questions}
    return [request for request in dict.fromkeys([*found, *REQUESTS]) if request not in own]


def _with_other_numbers(request: str, generator: np.random.Generator) -> str:
    """The same request with all its numbers others, or the last one, or one digit of that."""
    old = re.findall(r"\d+", request)
    kind = generator.integers(3)
    if kind < 2:
        largest = int(10 ** generator.uniform(1, 3.5))
        new = [str(n) for n in sorted(generator.integers(1, largest + 1, size=len(old)))]
    else:
        # The nearest prompt that there is: its last number with a digit appended or replaced.
        keep = len(old[-1]) - int(generator.integers(2))
        new = [f"{old[-1][:keep]}{generator.integers(10)}".lstrip("0") or "0"]
    if kind > 0:
        new = [*old[:-1], new[-1]]
    numbers = iter(new)
    return re.sub(r"\d+", lambda _: next(numbers), request)


def anchor_contexts(
    loaded: LoadedModel, target: BoundChoices, requests: list[str], seed: int
) -> TokenContexts:
    """Each request with an answer of the model's own, and with answers of the target's."""
    prompts = [prompt_ids(loaded.tokenizer, request) for request in requests]
    kind = "other prompts with the model's own answers and the target's"
    own = answered(loaded, prompts, ANSWER_TOKENS, seed, kind)
    generator = np.random.default_rng([seed, 1])
    answers = [ids[:-1] for question in target.answers for ids in question]
    leaks, begins = [], []
    for prompt in prompts:
        for place in generator.integers(len(answers), size=LEAKS):
            leaks.append([*prompt, *answers[place]])
            begins.append(len(prompt) - 1)
    return TokenContexts(
        [*(ids.tolist() for ids in own.sequences), *leaks],
        kind,
        [*(int(own.positions(i)[0]) for i in range(len(own))), *begins],
    )
