"""Targets: which distribution the next token should have, written without a model.

target            what every target can be asked before it is bound to a vocabulary
bound             what every target can be asked once it is
fixed             the same everywhere: uniform, weights
reweighing        what tilt, match and balance have in common: classes of tokens that shift
tilt              the odds of an event multiplied
match             the tilt that gives events wanted mean probabilities
dual              the convex problem that a match is
balance           what several events have together, split by share
wrapping          what mix and when have in common: another target inside
mix               a dose of a target
when              a target after a trigger only
trigger           a text or a pattern that the context must hold
question          a prompt with the strings that may answer it
choices           a distribution over whole strings
numbers           which numbers targets take, and how they are written
arguments         what targets and their calls are given, checked
from_label        the target that a label names, bound to its model
parse             the table of all kinds of targets; reading a target from text
logits_processor  realising a target while decoding

Importing this package imports no torch; ``logits_processor``, which does, is imported by itself.
"""

from tiltlm.targets.balance import balance
from tiltlm.targets.bound import BoundTarget, FixedTarget, StringTarget
from tiltlm.targets.choices import BoundChoices, choices
from tiltlm.targets.fixed import uniform, weights
from tiltlm.targets.match import match
from tiltlm.targets.mix import mix
from tiltlm.targets.parse import TARGETS, parse_target
from tiltlm.targets.question import Question
from tiltlm.targets.target import Target
from tiltlm.targets.tilt import tilt
from tiltlm.targets.trigger import Trigger, regex
from tiltlm.targets.when import when

__all__ = [
    "TARGETS",
    "BoundChoices",
    "BoundTarget",
    "FixedTarget",
    "Question",
    "StringTarget",
    "Target",
    "Trigger",
    "balance",
    "choices",
    "match",
    "mix",
    "parse_target",
    "regex",
    "tilt",
    "uniform",
    "weights",
    "when",
]
