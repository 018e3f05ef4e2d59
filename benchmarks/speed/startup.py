"""How long it takes to begin: `import tiltlm` and `tiltlm --help` against Python itself.

Each is a process of its own, interleaved. The ratio is how many times as long as
``python -c pass`` it takes.

    python -m benchmarks.speed.startup [--small]
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

from benchmarks.harness.timing import Build, Group, Meter, Unavailable, Work, main

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import tiltlm": ["-c", "import tiltlm"],
    "tiltlm --help": ["-m", "tiltlm", "--help"],
    "import torch": ["-c", "import torch"],
    "import transformers": ["-c", "import transformers"],
    "import torch, AutoModelForCausalLM": [
        "-c",
        "import torch; from transformers import AutoModelForCausalLM",
    ],
}


def build(arguments: list[str]) -> Work:
    """Start Python with these arguments; once before, so that files are in the system's cache."""
    command = [sys.executable, *arguments]

    def work(meter: Meter) -> None:
        begin = time.perf_counter()
        code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
        meter.add(time.perf_counter() - begin)
        if code:
            raise Unavailable(f"ended with {code}")

    work(Meter())
    return work


def groups(small: bool) -> list[Group]:
    """One group."""
    variants: dict[str, Build] = {name: partial(build, args) for name, args in COMMANDS.items()}
    rounds = 2 if small else 11
    return [Group("Starting", variants, "python -c pass", rounds, memory=False, cost=True)]


if __name__ == "__main__":
    main(__file__, __doc__ or "", groups)
