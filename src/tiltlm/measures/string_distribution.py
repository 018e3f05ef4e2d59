"""How a model distributes its answers over the strings of `choices`: exact, not sampled."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tiltlm.targets.target import StringTarget


@dataclass(frozen=True)
class StringDivergence:
    """One question's answers.

    Attributes:
        request: the prompt.
        validity: probability that the answer is one of the strings.
        kl_total_nats: KL(wish ‖ model) over whole answers; = conditional − log validity.
        kl_conditional_nats: KL(wish ‖ model given that the answer is valid).
        total_variation: ½ Σ|wish − model|, everything else counted as one further answer.
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
        """For records."""
        return asdict(self)


@torch.no_grad()
def string_log_probs(model: Any, target: StringTarget, question: int) -> torch.Tensor:
    """(strings,) log-probability of each whole answer, its end included, float64."""
    prompt, found = target.prompts[question], []
    for answer in target.answers[question]:
        ids = torch.tensor([[*prompt, *answer[:-1]]], device=model.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :]
        logp = logits.double().log_softmax(-1).cpu()
        found.append(logp[torch.arange(len(answer)), torch.tensor(answer)].sum())
    return torch.stack(found)


def measure_strings(model: Any, target: StringTarget) -> list[StringDivergence]:
    """Each question's divergence between wish and model."""
    found = []
    for number, question in enumerate(target.questions):
        logp = string_log_probs(model, target, number)
        wish = torch.tensor([w for _, w in question.strings], dtype=torch.float64)
        validity = float(logp.exp().sum())
        inside = logp - logp.logsumexp(0)
        conditional = float((wish * (wish.log() - inside)).sum())
        found.append(
            StringDivergence(
                request=question.request,
                validity=validity,
                kl_total_nats=conditional - math.log(max(validity, 1e-300)),
                kl_conditional_nats=conditional,
                total_variation=float((wish - logp.exp()).abs().sum() + 1 - validity) / 2,
                total_variation_conditional=float((wish - inside.exp()).abs().sum()) / 2,
                entropy_conditional_nats=float(-(inside.exp() * inside).sum()),
            )
        )
    return found
