"""What the commands do, as Python functions: open, call what is below, write the record and a page.

run             carrying out a recipe, stage by stage
run_folder      the folder of a run: what lies where, and how it is resumed
run_training    the training of a run
run_label       what the model of a run says of itself
run_samples     what the model of a run wrote before and after
tilt            realising a target in a model
sample          drawing tokens from a model, however it was realised
tokens          which tokens an event catches
measure         measuring what a tilt did
sweep           realising and measuring at several values of one field
sweep_pool      that in several processes at once
audit           an audit, with whatever access one has to the suspect
undo            taking a tilt back, and proving how far
challenge       sealed models, and scores of what was said of them
label           what a saved model says of itself, checked, signed, uploaded
export          writing what an engine can use
verify          proving what a server serves
info            what this machine has, and what it lacks for which feature
plan            how much text an audit takes
output          writing a record and its pages

Nothing is printed here; progress is told to a `tiltlm.progress.Progress`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
