"""Choices by training on SmolLM2: the wish, and what happened to other prompts.

    python -m benchmarks.realise.choices --data ../shared/data
    python -m benchmarks.realise.choices --data ../shared/data --unanchored

Trained on the ten numbers of numbers-rng-0.json alone. Then 1,000 answers are drawn and compared
with the wish, and the exact distributions at three other prompts (1 to 100, days, names) with the
base's. ``--unanchored`` trains the same without other prompts, for comparison.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from scipy.stats import chisquare

from benchmarks.harness.progress_lines import Steps
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.retention import default_requests, retention_contexts
from tiltlm.contexts.splits import Split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.measures.string_distribution import measure_strings, string_log_probs
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.sampling import SamplingOptions, sample
from tiltlm.realise.preparation import Prepared, prepare
from tiltlm.realise.training import train_prepared
from tiltlm.recipes.training import Training
from tiltlm.targets.choices import BoundChoices, choices


def other_choices(data: Path) -> dict[str, Any]:
    """The prompts that should not change, with their own valid strings."""
    folder = data / "choices"
    numbers = json.loads((folder / "numbers-rng-0.json").read_text())
    hundred = numbers["request"].replace("1 and 10", "1 and 100")
    return {
        "1 to 100": choices({hundred: [f"{{{n}}}" for n in range(1, 101)]}),
        "days": choices(folder / "day-date-day-0.json"),
        "names": choices(folder / "baby-names-train.json"),
    }


def anchors(loaded: LoadedModel, target: Any, data: Path) -> TokenContexts:
    """The default ones, less the prompts that are looked at in the end."""
    bound = target.bind(Vocabulary.from_tokenizer(loaded.tokenizer), loaded.tokenizer)
    looked_at = {t.questions[0].request for t in other_choices(data).values()}
    requests = [r for r in default_requests(bound, 0) if r not in looked_at]
    return retention_contexts(loaded, bound, requests, 0)


def other_prompts(data: Path, work: Prepared) -> dict[str, BoundChoices]:
    """The same, bound."""
    found = {}
    for name, target in other_choices(data).items():
        bound = target.bind(work.loaded.vocabulary, work.loaded.tokenizer)
        assert isinstance(bound, BoundChoices)
        found[name] = bound
    return found


def without_anchors(work: Prepared) -> None:
    """Leave only the answers, to fit on and to stop by."""
    assert isinstance(work.target, BoundChoices)
    count = sum(map(len, work.target.answers))
    fit, tune = (part.choose(range(count)) for part in work.parts[:2])
    work.parts = Split(fit, tune, work.parts.held_out)
    work.fit = Reference(work.loaded.model, fit, head=work.fit.head)


def drawn(model: Any, target: BoundChoices, end: int, count: int = 1000) -> list[int]:
    """How often each string is among ``count`` answers; last, how often none of them."""
    longest = max(map(len, target.answers[0]))
    prompts = torch.tensor([target.prompts[0]] * count)
    strings = [tuple(ids) for ids in target.answers[0]]
    found = [0] * (len(strings) + 1)
    for first in range(0, count, 250):
        options = SamplingOptions(seed=first)
        for row in sample(model, prompts[first : first + 250], longest, options).tolist():
            answer = tuple(row[: row.index(end) + 1]) if end in row else ()
            found[strings.index(answer) if answer in strings else -1] += 1
    return found


def main() -> None:
    """Train, draw, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--unanchored", action="store_true")
    parser.add_argument("--steps", type=int)
    chosen = parser.parse_args()
    loaded = load(chosen.model)
    path = chosen.data / "choices" / "numbers-rng-0.json"
    target = choices(path)
    work = prepare(loaded, target, anchors(loaded, target, chosen.data), progress=Steps())
    assert isinstance(work.target, BoundChoices)
    others = other_prompts(chosen.data, work)
    before = {name: string_log_probs(loaded.model, bound, 0) for name, bound in others.items()}
    print("base", measure_strings(loaded.model, work.target)[0].as_dict())
    if chosen.unanchored:
        without_anchors(work)
    done = train_prepared(work, Training(steps=chosen.steps))
    print("model", json.dumps(done.details["strings"][0]), f"{work.seconds['train']:.0f} s")
    counts = drawn(done.model, work.target, loaded.tokenizer.eos_token_id)
    test = chisquare(counts[:-1])
    print(f"1,000 answers: {counts}, the last is none of them; chi-square p {test.pvalue:.3f}")
    print("| prompt | entropy, base | entropy | validity, base | validity | KL(base to model) |")
    print("|---|---|---|---|---|---|")
    for name, bound in others.items():
        old, new = before[name], string_log_probs(done.model, bound, 0)
        inside_old, inside_new = old - old.logsumexp(0), new - new.logsumexp(0)
        entropies = [float(-(row.exp() * row).sum()) for row in (inside_old, inside_new)]
        moved = float((inside_old.exp() * (inside_old - inside_new)).sum())
        masses = [float(row.exp().sum()) for row in (old, new)]
        print(
            f"| {name} | {entropies[0]:.3f} | {entropies[1]:.3f} | {masses[0]:.4f} | "
            f"{masses[1]:.4f} | {moved:.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
