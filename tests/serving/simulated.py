"""Servers whose truth is known: they draw from one of the hypotheses, or from what a test gives."""

from functools import cache

import torch

from tests.tiny import worded_loaded
from tiltlm.contexts.sources import make_contexts
from tiltlm.serving.verify.asking import Verification
from tiltlm.serving.verify.candidates import Candidates
from tiltlm.serving.verify.hypotheses import hypotheses_for
from tiltlm.serving.verify.prompts import find_prompts
from tiltlm.serving.verify.servers import Drawn
from tiltlm.targets.parse import parse_target


@cache
def candidates_for(text: str) -> Candidates:
    """All that a server may be serving, over a tiny model."""
    loaded = worded_loaded()
    target = parse_target(text).bind(loaded.vocabulary, loaded.tokenizer)
    contexts = make_contexts("own", loaded, count=32, length=24, seed=0)
    prompts = find_prompts(loaded, target, contexts, as_text=False)
    return Candidates(hypotheses_for(templated=False), prompts)


class SimulatedServer:
    """Draws from (M, V) log-probabilities, one row a prompt."""

    failed = unread = 0
    notes = ()

    def __init__(self, log_probs):
        self.probabilities = torch.stack(list(log_probs)).double().exp()

    def draw(self, prompts, seed):
        generator = torch.Generator().manual_seed(seed)
        rows = self.probabilities[torch.tensor(prompts)]
        tokens = rows.multinomial(1, generator=generator)[:, 0].numpy()
        return [Drawn(prompt, tokens[i : i + 1]) for i, prompt in enumerate(prompts)]


def serving(candidates: Candidates, name: str) -> SimulatedServer:
    """A server of one of the hypotheses, by its name."""
    number = [h.name for h in candidates.hypotheses].index(name)
    return SimulatedServer(candidates.at(m)[number] for m in range(len(candidates.prompts)))


def verified(candidates, server, seed, *, budget=2_048, error=0.01) -> Verification:
    """A verification that has asked a server."""
    verification = Verification(candidates, error=error, budget=budget, seed=seed)
    verification.ask(server)
    return verification
