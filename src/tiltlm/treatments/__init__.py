"""Changes of a model that are no tilt: what users do to models, and what a tilt must survive.

treatment      what a benign change is; fine-tuning
weights        rounding, pruning, noise
from_training  several benign changes of one training
benign         benign changes drawn at random, for null packs
corpora        what benign changes are trained on
fine_tuning    ordinary fine-tuning on clean text
quantisation   weights rounded to few bits
at_use         rounding and merging a layer at a time, where there is no room for a second model
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
