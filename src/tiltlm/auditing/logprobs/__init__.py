"""The audit by log-probabilities of a suspect's likeliest tokens, here or behind an endpoint.

audit: the access: ask at positions, regress on classes, record.
positions: where suspects are asked.
suspects: a model here, or one behind an endpoint.
server_format: log-probabilities as servers write them.
log_ratios: what a suspect and a pack's members show beside the reference.
regression: strengths of classes where only the likeliest tokens are seen.
ranking: which class stands out most.
likeness: how much that is like a planted tilt.
null: what benign changes show at the same positions.
kept_null: what members scored there, kept for the next audit.
auditor: from what is shown to classes with a p-value.
findings: the classes that are found, one after another, as records.
evidence: what shows a finding best.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
