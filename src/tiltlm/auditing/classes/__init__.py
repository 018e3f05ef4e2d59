"""Classes of tokens: the hypotheses that every audit tests.

token_classes: thousands of classes read off the vocabulary, and their members.
clusters: tokens that the reference holds to be alike, as further classes.
naming: how a class is called when people read about it.
overlap: how much two sets of tokens have in common.
class_files: classes as tensors and names, for files and other processes.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
