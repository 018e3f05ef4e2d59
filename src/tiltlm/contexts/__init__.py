"""Contexts: where a target should hold, and where that is measured.

token_contexts  token sequences with a weight for every position
sources         making contexts: own samples, texts, chats, prompts, random tokens
drawn_contexts  what the model itself says, with the hidden states that it said it from
installed_text  texts of many kinds that installed packages carry
tensors         contexts as tensors, for files and for other processes
cache           contexts that a model made, kept on disk
splits          parts to fit on, to stop by, and to take figures from
under_tilt      texts that a model writes under a target
with_trigger    a trigger put into contexts that lack it
retention       other prompts, where choices should leave the model as it is
for_target      the contexts that a target needs, in parts
evaluation      contexts of several kinds to measure at
logit_reader    a model's logits at contexts, a block of positions at a time
reference       the reference model's distributions at contexts, kept as hidden states

The public names load when they are first used; `evaluation` is used as a module.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
