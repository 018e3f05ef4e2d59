"""Taking a tilt back, whoever made it, and proving how far.

undoing         `undo`, the one call
opening         the tilted model, its reference, what to take back
case            these with contexts that both models have written
wanted          events of an audit's findings, of a target, of a label
class_masses    the disjoint classes that findings fall into, and their log-odds
readers         what is read of a model at contexts
strengths       how strongly events are tilted, jointly
tilts           bound targets: a tilt of several events, the reference itself
opposite_edit   the edit of the head that takes findings back
by_label        the base's weights bit for bit
by_edit         the opposite edit
by_train        KL back to the reference
by_decode       a logits processor
by_interpolate  weights towards the reference
undone          what a way of undoing makes
proof           strengths left, divergence, the same audit, the same measures
relapse         how the tilt returns under training, beside a base that never had it
result          the undone model as a user holds it
saving          writing it, with the step in its label

The package is not named `undo`, since `tiltlm.undo` is a function.
The public names load when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
