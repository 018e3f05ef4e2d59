"""The public names of `serving.verify`, and where each lives."""

from .elimination import Elimination as Elimination
from .hypotheses import Hypothesis as Hypothesis
from .hypotheses import hypotheses_for as hypotheses_for
from .verifying import verify as verify
