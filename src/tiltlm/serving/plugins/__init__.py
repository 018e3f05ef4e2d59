"""Targets inside engines: what decoding does, for every request its own target.

requests: which target a request asks for.
binding: targets by their text, bound to the model that is served.
rows: the rows of a batch, and their logits turned into their targets'.
vllm: the logits processor that vLLM loads.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
