"""The audit by text alone: a test that may stop whenever the matter is clear.

audit: the access: let the suspect write until it is clear, record what is decided.
suspects: a model here, or one behind an endpoint.
server_checks: whether a server reads and draws as it is taken to.
temperature: at which a text would have been drawn.
class_probabilities: what the reference makes of a text.
tilted_masses: which tilt of a class its mass speaks for.
sequential_test: evidence for tilts, as tokens come in.
tolerance: what benign changes do to each class, which is not accused.
findings: the classes with the most evidence, as records.
sample_size: how many tokens it takes.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
