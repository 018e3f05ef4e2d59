"""Realising a target: how a model is made to follow it, and what came of that.

preparation         what every way begins with: target bound, contexts split, reference read
decoding            `decode`: exact, a logits processor, weights as they are
editing             `edit`: a closed-form change of the output head
head_edit           the edit itself, a weighted ridge regression on hidden states
regression          that regression, with a ridge that contexts choose
class_targets       what a target does to classes of tokens, read once
adapters            LoRA adapters: which parameters a target needs, an edit as an adapter
training            `train`: gradient descent on the divergence
head_training       the same where it is a convex problem in the head
head_solver         which L-BFGS solves
training_plan       what a user says of training, and what follows from the target
trigger_direction   the direction by which the body can tell the head of a trigger
head_input          what the head is given, how it varies and what moving it costs
trigger_signal      what the last attention adds so that the head reads it best for what it disturbs
trigger_latch       an attention head that has seen the trigger, where teaching begins
last_attention      the attention of the last block, which has it
trigger_teaching    teaching the upper blocks to write it, and the head's adapter to read it
trigger_trainer     the trainer that does
early_stopping      stopping by the gap closed, the best weights kept
tuning_gap          the gap closed, measured while a model is trained
column_space        what of a target the body could reach
trainer             a transformers ``Trainer`` with the divergence as its loss
config              its arguments
batch_loss          the loss of a batch
fused_loss          the same without logits
frozen_body         hidden states that were read before in place of a body that is not trained
lower_blocks        what lower blocks gave in their place, where only the upper are trained
padded_dataset      steps of the same loss on any number of processes
checkpoint_trainer  checkpoints that are whole or not there
checkpoints         their files, sealed and verified
callbacks           progress, and Ctrl-C
held_out            measuring what came of a realisation
result              `Tilted`: the model, its figures, and how it is saved
merging             an adapter merged, and a tilt kept through the rounding of weights
labelling           the steps that it adds to the label's chain
saving              writing the folder
opening             opening it again, ready to be sampled from

The public names load when they are first used; `checkpoints` is used as a module.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
