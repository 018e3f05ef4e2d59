"""From the lab into the engines: what they need of a tilted model, and proof of what they serve.

export: files for an engine, and the command that starts it.
plugins: targets inside engines that have an interface for that.
verify: whether a server serves what a label says.

Each has a face of its own; the names here load when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
