"""Files for an engine, with a label, and the command that starts it.

exporting: `export`, the one call, and what each engine is given.
source: what is exported: a tilted model, its label, its base.
engines: what each engine takes, read from its sources.
whole: a whole model, its head untied.
beside_base: an adapter or a processor, which an engine puts on the base.
gguf_copy: a GGUF file copied tensor by tensor, with another head.
gguf_head: the head of a GGUF file, rounded.
gaps: what rounding costs.
biases: the likeliest of a target's biases, for servers that take few.
labelling: the label of what is written.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
