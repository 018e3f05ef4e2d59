"""tiltlm: shape the output distribution of a language model on purpose, and measure what that did.

The public names stand in `__init__.pyi`. Each loads when it is first used, so that
`import tiltlm` is instant.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
