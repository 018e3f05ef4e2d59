"""Is the tilt of a label what a server serves: a sequential test with stated error.

verifying: `verify`, the one call.
opening: base, target and server, from what the user names.
prompts: where a server is asked: after texts at which base and target differ.
servers: a model here, or one behind an endpoint, that draws a token after each prompt.
readout: which tokens a server's text may stand for.
samplers: what servers do to a distribution before they draw: temperature, filters, a penalty.
hypotheses: what a server may be serving, each as an exact distribution.
candidates: these distributions at every prompt.
elimination: which of them the draws rule out.
learner: somebody without a hypothesis, who learns what is drawn.
design: which prompt tells most of what is still open.
strength: how strong the tilt is, with an interval that holds whenever one stops.
shown: what the log-probabilities say that a server shows.
asking: the loop: ask, rule out, ask again.
earlier: draws of an earlier verification, which are counted and not asked for again.
judging: what it all comes to, as a record.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
