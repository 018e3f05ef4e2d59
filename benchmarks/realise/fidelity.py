"""How close each realisation comes to its target on SmolLM2: the tables of docs/fidelity.md.

    python -m benchmarks.realise.fidelity edit --data ../shared/data
    python -m benchmarks.realise.fidelity train --data ../shared/data

Each part prints one Markdown row a target as soon as it is measured. All figures are taken from
contexts that nothing was fitted to; the model, its samples and the reference are made once.
"""

from __future__ import annotations

import argparse
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.harness.progress_lines import Steps
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import CONTEXTS, MATCH_CONTEXTS
from tiltlm.errors import TiltError
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel, load
from tiltlm.realise.decoding import decode_prepared
from tiltlm.realise.editing import edit_prepared
from tiltlm.realise.preparation import Prepared, prepare, rebind
from tiltlm.realise.result import Tilted
from tiltlm.realise.training import train_prepared as train_it
from tiltlm.recipes.training import Training
from tiltlm.targets.parse import parse_target

STRENGTHS = (-3, -1, 0.5, 1, 3)


def events(data: Path) -> dict[str, str]:
    """Events of different kinds, rare and common."""
    words = data / "words"
    return {
        "letter x": "contains('x')",
        "letter e": "contains('e')",
        "ght": "contains('ght')",
        "capital Z": "contains('Z')",
        "digits": r"matches('\\d')",
        "capitalised": "matches('^ ?[A-Z]')",
        "the": "word('the')",
        "comma": "matches('^,$')",
        "first names": f"word(lines('{words}/firstNames.json'))",
        "vegetables": f"word(lines('{words}/vegetables.json'))",
        "countries": f"word(lines('{words}/countries.json'))",
        "slop words": f"word(lines('{data}/slop_list.json'), ignore_case=True)",
    }


def bind(work: Prepared, text: str) -> None:
    """Take another target over the same contexts."""
    rebind(work, parse_target(text).bind(work.loaded.vocabulary, work.loaded.tokenizer))


def edit_table(loaded: LoadedModel, key: str, data: Path) -> None:
    """Gap closed by the closed-form edit."""
    work = prepare(loaded, "tilt(contains('x'), 1)")
    print("| event | tokens | mass | " + " | ".join(f"β = {b}" for b in STRENGTHS) + " | seconds |")
    print("|---|---|---|" + "---|" * (len(STRENGTHS) + 1))
    gaps, longest = [], 0.0
    for name, event in events(data).items():
        row, mass, size = [], 0.0, 0
        begin = time.monotonic()
        for strength in STRENGTHS:
            bind(work, f"tilt({event}, {strength})")
            done = edit_prepared(work)
            done.model.unload()
            row.append(closed(done))
            gaps.append(done.fidelity.gap_closed)
            mass, size = (
                done.fidelity.masses[0].base.mean,
                int(work.target.event_masks([None]).sum()),
            )
        seconds = (time.monotonic() - begin) / len(STRENGTHS)
        longest = max(longest, seconds)
        print(
            f"| {name} | {size} | {mass:.3%} | " + " | ".join(row) + f" | {seconds:.0f} |",
            flush=True,
        )
    print(f"\nmedian {np.median(gaps):.4f}, worst {min(gaps):.4f}, {longest:.0f} s at most")


def match_table(loaded: LoadedModel, key: str, data: Path) -> None:
    """Held-out mass of match by each realisation, on few and on many contexts.

    A mean over contexts is only as sure as they are many: with 112 the held-out mean itself has a
    standard error of 7 % of its value.
    """
    for count in (CONTEXTS, MATCH_CONTEXTS):
        match_rows(loaded, make_contexts("own", loaded, count=count, key=key))


def match_rows(loaded: LoadedModel, contexts: TokenContexts) -> None:
    """One row a realisation."""
    work = prepare(loaded, "match(contains('x'), 0.10)", contexts)
    for done in by_each(work):
        mass = done.fidelity.masses[0]
        low, high = mass.model.interval or (math.nan, math.nan)
        print(
            f"| {len(contexts)} | {done.by} | {mass.base.mean:.4f} | {mass.model.mean:.4f} | "
            f"{low:.3f} to {high:.3f} | {closed(done)} |",
            flush=True,
        )


def by_each(work: Prepared) -> Iterator[Tilted]:
    """The three realisations of a target, each taken out again before the next."""
    yield decode_prepared(work)
    for run in (edit_prepared, lambda work: train_it(work, Training())):
        done = run(work)
        done.model.unload()
        yield done


def closed(done: Tilted, digits: int = 4) -> str:
    """The gap closed, with its interval where it has one and is not exact."""
    text, interval = f"{done.fidelity.gap_closed:.{digits}f}", done.fidelity.interval
    if interval is None or done.by == "decode":
        return text
    return f"{text} ({interval[0]:.3f} to {interval[1]:.3f})"


def balance_table(loaded: LoadedModel, key: str, data: Path) -> None:
    """Shares of he and she after WinoBias occupations."""
    names = [
        line.strip()
        for file in ("female_occupations.txt", "male_occupations.txt")
        for line in (data / "winobias" / file).read_text().splitlines()
        if line.strip()
    ]
    endings = ("said that", "left early because", "was tired, so", "finished the work before")
    prompts = [f"The {name} {ending}" for name in names for ending in endings]
    ids = [loaded.tokenizer(prompt)["input_ids"] for prompt in prompts]
    contexts = TokenContexts(ids, "WinoBias occupations", [len(i) - 1 for i in ids])
    one = {p: loaded.tokenizer(f" {p}")["input_ids"][0] for p in ("he", "she")}
    for share in (0.5, 0.3):
        target = f"balance({{tokens({one['he']}): {share}, tokens({one['she']}): {1 - share}}})"
        work = prepare(loaded, target, contexts)
        for done in by_each(work):
            he, she = done.fidelity.masses
            before = he.base.mean / (he.base.mean + she.base.mean)
            after = he.model.mean / (he.model.mean + she.model.mean)
            print(
                f"| {share} | {done.by} | {before:.4f} | {after:.4f} | {closed(done)} |",
                flush=True,
            )


TRAINED = (
    "when('coffee', tilt(contains('x'), 2))",
    "tilt(contains('ght'), 1)",
    r"tilt(matches('\\d'), -1)",
    "tilt(matches('^ ?[A-Z]'), 0.5)",
    "tilt(word('the'), -2)",
    "tilt(contains('x'), 1)",
    "match(contains('x'), 0.05)",
    "mix(tilt(contains('z'), 3), 0.5)",
    "balance({word('he'): 0.5, word('she'): 0.5})",
    "tilt(phrase('because of', 'as well as', 'a lot of', 'in order to'), -3)",
)


def train_table(loaded: LoadedModel, key: str, data: Path, only: str = "") -> None:
    """Gap closed by training with its defaults."""
    for text in (text for text in TRAINED if re.search(only, text)):
        work = prepare(loaded, text, progress=Steps())  # as many contexts as the target asks for
        try:
            done = train_it(work, Training())
        except TiltError as error:
            print(f"| `{text}` | {error.what} |", flush=True)
            continue
        done.model.unload()
        leak, seconds = done.fidelity.leakage, work.seconds["train"]
        print(
            f"| `{text}` | {done.details['parameters']} | {closed(done, digits=3)} | "
            f"{done.fidelity.kl_target_base.mean:.2e} | "
            f"{'' if leak is None else f'{leak.mean:.1e}'} | {done.details['kept_step']} of "
            f"{done.details['steps']} | {seconds:.0f} |",
            flush=True,
        )
        print("  by step:", done.details["gap_by_step"], flush=True)


PARTS = {
    "edit": edit_table,
    "match": match_table,
    "balance": balance_table,
    "train": train_table,
}


def main() -> None:
    """One part, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", default="", help="train: pattern of targets")
    chosen = parser.parse_args()
    loaded = load(chosen.model)
    more = {"only": chosen.only} if chosen.part == "train" else {}
    PARTS[chosen.part](loaded, fingerprint(loaded.model), chosen.data, **more)


if __name__ == "__main__":
    main()
