"""Labels: what a saved model says of itself, so that nobody takes a tilted model for another.

label  the record, its file ``tilt.json``, and how it is found beside a model
card   writing the file, and the model card that says the same to people
markdown  text of strangers in such a card

Importing this package imports no torch.
"""

from tiltlm.labels.card import render_card, write_label
from tiltlm.labels.label import FILE, Label, LabelBase, LabelFigure, find_label, read_label

__all__ = [
    "FILE",
    "Label",
    "LabelBase",
    "LabelFigure",
    "find_label",
    "read_label",
    "render_card",
    "write_label",
]
