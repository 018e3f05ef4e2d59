"""The null: packs of benign changes of a reference, which calibrate the audits of its suspects.

building: `build_null`, which makes a pack.
drawing: draws what all members are made of and read at.
drawn: that, as the first of several processes hands it on to all of them.
begun: the same kept in the pack's folder, so that it can be gone on with.
members: benign changes drawn, made and read.
member_files: a file for each, while a pack is being made.
plan: what it is to be made of.
costs: what members take.
planning: what a pack would take, told beforehand.
checking: whether what a pack's files say can be.
showing: what is in a pack, for people.
hub: packs on the Hub.
pack: what a pack is, and whether it can serve an audit.
pack_files: its files, put together of the members' and read again.
knowledge_files: what was learnt from its members, kept beside them.
family_covariance_files: the same of how others than each family move hidden states.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
