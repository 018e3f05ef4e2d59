"""The null: packs of benign changes of a reference, which calibrate the audits of its suspects.

building: `build_null`, which makes a pack.
drawn: what the first of several processes draws for all of them.
members: benign changes drawn, made and read one by one.
plan: what it is to be made of.
pack: what a pack is, and whether it can serve an audit.
pack_files: its files, written member by member and read again.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
