"""The audit by all logits of a suspect that is loaded here.

audit: the access: read the shift, name classes, record them.
auditor: from a shift to named classes with a p-value.
null_distribution: scores of benign changes, and the p-value that they give a suspect's.
calibration: an auditor that knows what a pack knows.
triggers: a class that waits for a word, and which word.
single_tokens: tokens that moved most, for what no class describes.
equivalence: that an event is not tilted by more than so much.
evidence: what shows a finding best.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
