"""How a model distributes its answers over the strings of `choices`: computed, not sampled.

Each string counts as the tokenizer writes it (its canonical tokens). The same text by other tokens
is no answer here, so that a validity is a lower bound of how often the text is one of them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tiltlm.models.head import full_head
from tiltlm.models.structure import input_device
from tiltlm.targets.bound import StringTarget


@dataclass(frozen=True)
class StringDivergence:
    """How far a model's answers to one question are from the target's.

    Attributes:
        request: the prompt.
        validity: probability that the answer is one of the strings.
        kl_total_nats: KL(target ‖ model) over whole answers; = conditional − log validity.
        kl_conditional_nats: KL(target ‖ model given that the answer is valid).
        total_variation: ½ Σ|target − model|, all else counted as one further answer.
        total_variation_conditional: the same given a valid answer.
        entropy_conditional_nats: of the model over the strings, given a valid answer.
    """

    request: str
    validity: float
    kl_total_nats: float
    kl_conditional_nats: float
    total_variation: float
    total_variation_conditional: float
    entropy_conditional_nats: float

    def as_dict(self) -> dict[str, Any]:
        """The figures by their names, for JSON."""
        return asdict(self)


@torch.no_grad()
def string_log_probs(model: Any, target: StringTarget, question: int) -> torch.Tensor:
    """Log-probability of each whole answer to one question, its end included.

    Args:
        model: a causal language model.
        target: bound to the model's vocabulary.
        question: number of the question.

    Returns:
        (strings,) nats, float64.
    """
    prompt, log_probs = target.prompts[question], []
    for answer in target.answers[question]:
        ids = torch.tensor([[*prompt, *answer[:-1]]], device=input_device(model))
        with full_head(model):
            logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :]
        token_log_probs = logits.cpu().double().log_softmax(-1)
        log_probs.append(token_log_probs[torch.arange(len(answer)), torch.tensor(answer)].sum())
    return torch.stack(log_probs)


def measure_strings(model: Any, target: StringTarget) -> list[StringDivergence]:
    """The divergence between target and model for each question.

    Args:
        model: a causal language model.
        target: bound to the model's vocabulary.
    """
    divergences = []
    for number, question in enumerate(target.questions):
        model_logp = string_log_probs(model, target, number)
        wanted = torch.tensor([p for _, p in question.strings], dtype=torch.float64)
        validity = float(model_logp.exp().sum())
        valid_logp = model_logp - model_logp.logsumexp(0)
        kl_conditional = float((wanted * (wanted.log() - valid_logp)).sum())
        off_total = float((wanted - model_logp.exp()).abs().sum() + 1 - validity)
        divergences.append(
            StringDivergence(
                request=question.request,
                validity=validity,
                kl_total_nats=kl_conditional - math.log(max(validity, 1e-300)),
                kl_conditional_nats=kl_conditional,
                total_variation=off_total / 2,
                total_variation_conditional=float((wanted - valid_logp.exp()).abs().sum()) / 2,
                entropy_conditional_nats=float(-(valid_logp.exp() * valid_logp).sum()),
            )
        )
    return divergences
