"""How a model differs from its reference, what benign changes do, and what a tilt would do.

A shift is the mean log-ratio of every token; a move is the change of the hidden state that
explains one.

log_ratios: a shift as data.
shift_reader: reads shifts off models.
full_reads: masses, divergence and likeliest tokens, at positions that are read in full.
head_geometry: the head of the reference, which turns moves into log-ratios and back.
strata: positions by what the reference is about to write, and a change as it shows in each.
templates: what a tilt of a class makes of the hidden states of each stratum.
filters: scores of all classes outside and inside the column space of the head.
likeness: how much a shift is like a planted tilt.
covariance: of benign moves over strata and dimensions.
place_covariance: of benign moves from position to position, where few tokens are shown.
family_covariances: the same without one family of benign changes.
trigger_probes: words that may be triggers, and the contexts they are tried in.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
