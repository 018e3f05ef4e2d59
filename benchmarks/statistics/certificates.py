"""How often an event is certified whose mean strength is at the limit, where few contexts have it.

    python -m benchmarks.statistics.certificates [--simulations 2000]

The limit is 0.1 nats at an error of 0.05. A tilt of 0.1 nats divided by a share of the contexts
sits in that share of them, at random; contexts weigh differently (a coefficient of variation of a
half), and each has noise of 0.02 nats. The bound on single contexts is as in an audit: 1 nat, or
twice the strongest that was read. Beside the interval of certificates stand Student's and the
ratio's own. The last rows have no tilt, and say how often it is certified that there is none.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from tiltlm.statistics.bounded import bounded_ratio
from tiltlm.statistics.intervals import ratio_student, student, wilson

LIMIT, ERROR, NOISE = 0.1, 0.05, 0.02
SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
CONTEXTS = (48, 96)


def certified(contexts: int, share: float, generator: np.random.Generator) -> dict[str, bool]:
    """Whether each interval certifies one simulated suspect; a share of 0 is of no tilt at all."""
    weights = generator.gamma(4, 0.25, contexts)
    values = NOISE * generator.standard_normal(contexts)
    if share:
        values = values + (generator.random(contexts) < share) * LIMIT / share
    tops = weights * values
    largest = max(1.0, 2 * float(np.abs(values).max()))
    intervals = {
        "Student, of contexts": student(values.tolist(), 1 - 2 * ERROR),
        "ratio": ratio_student(tops.tolist(), weights.tolist(), 1 - 2 * ERROR),
        "bounded": bounded_ratio(tops.tolist(), weights.tolist(), largest, ERROR),
    }
    return {
        name: interval is not None and interval[0] > -LIMIT and interval[1] < LIMIT
        for name, interval in intervals.items()
    }


def main() -> None:
    """Print a table, write benchmarks/results/certificates.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    simulations = parser.parse_args().simulations
    results, generator = [], np.random.default_rng(0)
    names = list(certified(48, 1.0, generator))
    print("| contexts | tilt | " + " | ".join(names) + " |\n|---|---|" + "---|" * len(names))
    for contexts in CONTEXTS:
        for share in (*SHARES, 0.0):
            counts = dict.fromkeys(names, 0)
            for _ in range(simulations):
                for name, yes in certified(contexts, share, generator).items():
                    counts[name] += yes
            tilt = f"{LIMIT / share:.3g} nats in {share:.0%}" if share else "none"
            cells = []
            for count in counts.values():
                low, high = wilson(count, simulations)
                cells.append(f"{count / simulations:.3f} ({low:.3f} to {high:.3f})")
            print(f"| {contexts} | {tilt} | " + " | ".join(cells) + " |", flush=True)
            results.append({"contexts": contexts, "share": share, **counts})
    out = Path(__file__).parents[1] / "results" / "certificates.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"simulations": simulations, "rows": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
