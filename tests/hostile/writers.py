"""Every command that writes, on tiny models."""

from tests.conftest import TINY_RUN
from tiltlm.measures import suite_sizes
from tiltlm.measures.suite_sizes import Sizes

SMALL = Sizes(contexts=8, length=24, far=0, draws=4, drawn=8, pairs=0, survivors=2)
SETS = [part for item in (*TINY_RUN, "train.steps=3") for part in ("--set", item)]
PACK = ("--contexts", "8", "--length", "24", "--steps", "1,2", "--words", "16")
ACCESS = ("--access", "logprobs", "--budget", "64")

WRITERS = {
    "tilt": (
        ("tilt", "{base}", "--target", "tilt(contains('o'), 1)", "--contexts", "random", "--merge"),
        "result.json",
    ),
    "measure": (
        ("measure", "{other}", "--against", "{base}", "--target", "tilt(contains('o'), 1)"),
        "measure.json",
    ),
    "audit": (("audit", "{other}", "--reference", "{base}", *ACCESS), "result.json"),
    "sweep": (
        (
            *("sweep", "{base}", "--target", "tilt(contains('o'), {{strength}})"),
            *("--contexts", "random", "--over", "strength=0,1"),
        ),
        "sweep.json",
    ),
    "null": (
        (
            *("null", "build", "--reference", "{base}", "--n", "3", "--corpus", "text:{text}"),
            *("--no-default-corpora", *PACK),
        ),
        "null.json",
    ),
    "run": (("run", "quick", *SETS), "result.json"),
}
"""Every command that writes, without its ``--out``, and the file that it writes last."""

RESUMED = ("sweep", "null", "run")
"""Those that go on with ``--resume``."""

_PLACES = {"base": "base", "other": "other", "text": "text.txt"}


def arguments(name, folder):
    """The arguments of a command on the models that lie in a folder."""
    places = {key: folder / place for key, place in _PLACES.items()}
    return [argument.format(**places) for argument in WRITERS[name][0]]


def measure_little():
    """Make the quick suite a small one, in this process."""
    suite_sizes.SUITES["quick"] = SMALL
