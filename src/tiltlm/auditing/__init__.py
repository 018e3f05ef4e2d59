"""Has somebody tilted this model, and towards what: from its logits, log-probabilities or text.

auditing: `audit`, the one call for all accesses, and the accesses by name.
access: what every access does: open, read, judge, record.
case: one suspect and its reference, opened, with the options of the audit.
models: models that are named, or loaded already.
claims: what a suspect's label says, beside what was found.
inputs: word lists and null packs, read and checked.
asking: ask a suspect batch after batch, and keep what came if it is cut off.
endpoint: an OpenAI-compatible server that has the suspect.
http: one request to it, with a deadline, a limit of size, and never to another host.
answers: what its answers may be.
prompt_texts: prompts as text, and the tokens that a server makes of them.
request_error: why a request has no answer.
search: greedy search for classes one after another.
thresholds: what is too weak or too uncertain to be named.
arrays: the type of arrays.
head_rows: the rows of the reference's head, a block of tokens at a time.
sparse_products: products of masks of classes with a tensor, where that lies.
logits, logprobs, text: the three accesses.
null: packs of benign changes, which calibrate them.
benign: what is learnt from the members of a pack.
classes: classes of tokens that could have been tilted.
shifts: how a suspect differs from its reference.

The public names stand in `__init__.pyi`; each loads when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
