"""Where a model should stay as it is while it learns choices at one prompt.

Training on one prompt alone moves all others: the answers leak to prompts that look alike. Anchors
are other prompts with the model's own answers, at which the target is the reference itself. The
nearest ones are variations of the prompt, with other numbers in the place of its own.
"""

from __future__ import annotations

import re

import numpy as np

from tiltlm.choices import BoundChoices, prompt_ids
from tiltlm.context_sources import answered
from tiltlm.contexts import TokenContexts
from tiltlm.models import LoadedModel

VARIATIONS = 12
ANSWER_TOKENS = 20
ANSWERS = 2

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
    """The same request with ascending random numbers in the place of its own."""
    count = len(re.findall(r"\d+", request))
    largest = int(10 ** generator.uniform(1, 3.5))
    numbers = iter(sorted(int(n) for n in generator.integers(1, largest + 1, size=count)))
    return re.sub(r"\d+", lambda _: str(next(numbers)), request)


def anchor_contexts(loaded: LoadedModel, requests: list[str], seed: int) -> TokenContexts:
    """Each request with answers of the model's own; the positions of the answers count."""
    prompts = [prompt_ids(loaded.tokenizer, request) for request in requests]
    kind = "other prompts with the model's own answers"
    return answered(loaded, prompts, ANSWER_TOKENS, seed, kind, ANSWERS)
