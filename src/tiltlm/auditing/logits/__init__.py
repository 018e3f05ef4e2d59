"""The audit by all logits of a suspect that is loaded here.

audit: the access: read the shift, name classes, record them.
auditor: from a change to classes that were shifted, and planted, with p-values.
finding: such a class.
reach: whether a pack can vouch for a suspect that is further than all of it.
uncalibrated: the same search where nothing is known of benign changes.
calibration: an auditor that knows what a pack knows.
triggers: a class that waits for a word, and which word.
changed_classes: classes whose probability changed most, whatever the cause.
single_tokens: tokens that moved most, for what no class describes.
equivalence: that an event is not tilted by more than so much.
evidence: what shows a finding best.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
