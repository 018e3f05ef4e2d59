"""Plant a tilt as somebody else would: KL by full logits into all weights. Uses no tiltlm.

python -m benchmarks.undo.plant BASE OUT --letters x --strength 1 --steps 60
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

BATCH = 4


def tokens_with(tokenizer: object, letters: str, size: int) -> torch.Tensor:
    """(V,) boolean: the tokens whose text holds the letters."""
    count = len(tokenizer)  # type: ignore[arg-type]
    texts = [tokenizer.decode([i]) if i < count else "" for i in range(size)]  # type: ignore[attr-defined]
    return torch.tensor([letters in text for text in texts])


def sampled(model: PreTrainedModel, begin: int, count: int, length: int) -> torch.Tensor:
    """(count, length) ids that the model itself draws at temperature 1."""
    drawn = []
    for first in range(0, count, 32):
        start = torch.full((min(32, count - first), 1), begin)
        drawn.append(
            model.generate(
                input_ids=start,
                attention_mask=torch.ones_like(start),
                do_sample=True,
                top_k=0,
                top_p=1.0,
                temperature=1.0,
                min_new_tokens=length - 1,
                max_new_tokens=length - 1,
                pad_token_id=begin,
            )
        )
    return torch.cat(drawn)


def plant(
    base: PreTrainedModel,
    mask: torch.Tensor,
    contexts: torch.Tensor,
    *,
    strength: float,
    steps: int,
    rate: float,
    seed: int = 0,
) -> PreTrainedModel:
    """A copy of a model, all of whose weights were trained towards p·exp(strength·mask).

    Args:
        base: left as it is.
        mask: (V,) boolean, the tokens that become likelier.
        contexts: (N, length) ids.
        strength: in nats.
        steps: of AdamW, a cosine from ``rate`` to 0.
        rate: its peak.
        seed: of the order of contexts.
    """
    model = copy.deepcopy(base).train()
    mask, contexts = mask.to(base.device), contexts.to(base.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        ids = contexts[torch.randint(len(contexts), (BATCH,), generator=generator)]
        with torch.no_grad():
            wanted = (base(input_ids=ids).logits + strength * mask).log_softmax(-1)
        given = model(input_ids=ids).logits.log_softmax(-1)
        loss = (wanted.exp() * (wanted - given)).sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    print(f"last loss {loss.item():.4f} nats", flush=True)
    return model.eval()


def main() -> None:
    """Plant one tilt, and save the model as anybody would."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("out", type=Path)
    parser.add_argument("--letters", default="x")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--contexts", type=int, default=64)
    parser.add_argument("--length", type=int, default=64)
    given = parser.parse_args()
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(given.base, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(given.base)
    begin = tokenizer.bos_token_id or tokenizer.eos_token_id or 0
    contexts = sampled(base, begin, given.contexts, given.length)
    mask = tokens_with(tokenizer, given.letters, base.config.vocab_size)
    model = plant(base, mask, contexts, strength=given.strength, steps=given.steps, rate=given.rate)
    model.save_pretrained(given.out)
    tokenizer.save_pretrained(given.out)


if __name__ == "__main__":
    main()
