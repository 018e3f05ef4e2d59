"""Labels: what a saved model says of itself, so that nobody takes a tilted model for another.

step            one operation on a model
label           the record, its file ``tilt.json``, and how it is found beside a model
older           labels of older versions
chain           appending a step, and the hashes that hold the chain together
short_form      the label in the header of a weight file
labelled_files  the files that a label speaks for, and their hashes
checking        whether label, chain and files are what was written
keys            keys to sign with
signature       a signature over all of a folder, in the OpenSSF model-signing format
hub             uploading the folder
card            writing the file, and the model card that says the same to people
card_metadata   the front matter of such a card, as the Hub reads it
markdown        text of strangers in such a card

Importing this package imports no torch.
"""

from tiltlm.labels.card import render_card, write_label
from tiltlm.labels.chain import with_measured, with_step
from tiltlm.labels.checking import label_faults
from tiltlm.labels.label import FILE, Label, find_label, read_label
from tiltlm.labels.step import LabelBase, LabelFigure, Step

__all__ = [
    "FILE",
    "Label",
    "LabelBase",
    "LabelFigure",
    "Step",
    "find_label",
    "label_faults",
    "read_label",
    "render_card",
    "with_measured",
    "with_step",
    "write_label",
]
