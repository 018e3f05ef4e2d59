"""Sealed challenges: models, some tilted, that nobody can tell apart but by looking.

drawing    what is done to each model, drawn from stated ranges
decoys     benign changes of kinds that no null pack makes
tilting    tilts, by several ways
making     the folder of a challenge
sealing    salted commitments to the answers, and opening them
answers    what somebody says: YAML, JSON, or the records of audits
scoring    answers beside the truth

The public names load when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
