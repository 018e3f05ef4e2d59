"""What is learnt from benign changes of a reference: by it suspects are judged.

changes: benign changes as data.
null_distribution: what they score, and the p-values that they give a suspect's scores.
learning: from changes to knowledge.
knowledge: all that a suspect is judged by.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
