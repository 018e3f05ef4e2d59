"""What changed between a model and its base, every figure with its interval.

measuring            `measure`, the public function behind ``tiltlm measure``
suite, suite_sizes   the parts of the suite in order, and how much each reads and draws
suite_parts          these parts
opening              a model and its base by name, with the target of a label
pair                 model and base, read side by side at contexts
token_metrics        a figure for every position of contexts
figures              what gap closed, collateral and leakage are
effects              the figures of a tilt at one kind of context
fidelity             the same of a realisation, at held-out contexts
event_rates          hit rate and event mass of one model
generation           hit rates of drawn text beside their expectation
diversity            how varied samples are
minimal_pairs        which of two sentences is likelier
harness              tasks of lm-evaluation-harness
persistence          what survives int8, merging and fine-tuning
token_changes        which tokens moved
string_distribution  how answers are spread over the strings of `choices`
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
