"""Text access: tokens until a tilt is told, against the bound that no test can beat.

    python -m benchmarks.audit.text --data ../shared/data --out runs/audit_power

Two organisms of the tiny language model: an event of about 1 % doubled, and the KGW watermark
with no context (a fixed random quarter of the vocabulary raised by 2, Kirchenbauer et al. 2023),
whose own z-test is the yardstick. And the reference itself, for false alarms.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from scipy import sparse, stats

from benchmarks.harness.tiny_language import tiny_language
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.text.class_probabilities import hits_and_probabilities
from tiltlm.auditing.text.sample_size import plan_text
from tiltlm.auditing.text.sequential_test import TiltEvidence
from tiltlm.auditing.text.suspects import LocalTextSuspect
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.events.parse import parse_event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.files import write_json
from tiltlm.models.loading import LoadedModel
from tiltlm.models.structure import vocabulary_size
from tiltlm.statistics.intervals import student, wilson
from tiltlm.targets.logits_processor import TiltLogitsProcessor
from tiltlm.targets.parse import parse_target

REPETITIONS, ERROR, BUDGET, LENGTH = 50, 0.01, 12_000, 64
DOUBLED = "contains('sh')"


def one_class(name: str, mask: torch.Tensor) -> TokenClasses:
    """An event as the only class."""
    return TokenClasses((name,), ("event",), sparse.csr_matrix(mask.numpy().astype(float)[None]))


def decided(
    base: LoadedModel, writer: LocalTextSuspect, classes: TokenClasses, seed: int, budget: int
) -> tuple[int | None, list[float], list[float]]:
    """Tokens until the evidence is 1 / error, looked at after every answer; hits and masses too."""
    reader, evidence = LogitReader(base.model), TiltEvidence(np.zeros(1))
    hits, masses, batch = [], [], 0
    while evidence.tokens < budget:
        answers = writer.write(8, LENGTH, seed + 100 * batch)
        batch += 1
        for answer in answers:
            for hit, mass in hits_and_probabilities(reader, [answer], classes):
                evidence.update(hit, mass)
                hits += hit[:, 0].tolist()
                masses += mass[:, 0].tolist()
            if evidence.log_e[0] >= math.log(1 / ERROR):
                return evidence.tokens, hits, masses
    return None, hits, masses


def z_test_tokens(share: float, tilted: float) -> int:
    """Tokens at which the z-test of a share has power 0.9 at the same error (one look)."""
    high = stats.norm.isf(ERROR) * math.sqrt(share * (1 - share))
    high += stats.norm.isf(0.1) * math.sqrt(tilted * (1 - tilted))
    return math.ceil((high / (tilted - share)) ** 2)


def main() -> None:
    """All three, as Markdown and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/audit_power"))
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    arguments = parser.parse_args()
    base = tiny_language(arguments.data, arguments.out / "model")
    vocabulary = Vocabulary.from_tokenizer(base.tokenizer, vocabulary_size(base.model))
    mask = parse_event(DOUBLED).mask(vocabulary)
    green = torch.rand(len(vocabulary), generator=torch.Generator().manual_seed(0)) < 0.25
    quarter = "tokens(" + ", ".join(map(str, green.nonzero()[:, 0].tolist())) + ")"
    rows = []
    for name, event, ids, strength, budget in (
        ("an event of about 1 % doubled", DOUBLED, mask, math.log(2), BUDGET),
        ("KGW watermark without context", quarter, green, 2.0, 2000),
        ("the reference itself", DOUBLED, mask, 0.0, 4000),
    ):
        classes = one_class(name, ids)
        processor = None
        if strength:
            target = parse_target(f"tilt({event}, {strength})").bind(vocabulary, base.tokenizer)
            processor = TiltLogitsProcessor(target, base.tokenizer.pad_token_id)
        writer = LocalTextSuspect(base, processor)
        needed, masses = [], []
        for repetition in range(arguments.repetitions):
            tokens, _, mass = decided(base, writer, classes, 100_000 * repetition, budget)
            needed.append(tokens)
            masses += mass
        found = [n for n in needed if n is not None]
        row = {
            "suspect": name,
            "strength": strength,
            "mass": float(np.mean(masses)),
            "decided": len(found),
            "of": len(needed),
            "interval": wilson(len(found), len(needed)),
            "tokens": None if not found else float(np.mean(found)),
            "tokens_interval": student([float(n) for n in found]),
            # The bound at the probabilities that were met, not at their mean.
            "bound": None if not strength else _bound(np.array(masses), strength),
            "z_test": None
            if not strength
            else z_test_tokens(
                float(np.mean(masses)), plan_text(strength, float(np.mean(masses))).tilted_mass
            ),
        }
        rows.append(row)
        print(row, flush=True)
    write_json(arguments.out / "text.json", rows)


def _bound(masses: np.ndarray, strength: float) -> int:
    """log(1 / error) over what a token tells, on average over contexts."""
    tilted = masses * math.exp(strength)
    tilted = tilted / (1 - masses + tilted)
    told = tilted * np.log(tilted / masses) + (1 - tilted) * np.log((1 - tilted) / (1 - masses))
    return math.ceil(math.log(1 / ERROR) / float(told.mean()))


if __name__ == "__main__":
    main()
