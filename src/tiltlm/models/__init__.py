"""Models: loading them, and whatever must be known of one whichever its architecture.

loading       `load` and what it gives: a model, its tokenizer and its vocabulary
sharing       adapters over the weights of a base that is loaded already
adapted       models with adapters in them, and plain copies of these
turns         models that take turns in memory
memory        how much memory weights take, and whether several models fit
fitting       whether a model has room, known before its weights are read
free_memory   how much memory can still be taken
batching      how much goes through a model at once
names         what names a model
licences      under what licence it comes
places        where its weights lie
folder        what a stranger's folder holds, looked at before anything is made of it
skeleton      a model without its weights, to see how much it would take
soundness     whether a model that was loaded is whole, and runs
adapter       adapters: their base, and whether they fit there
gguf          GGUF files, converted once
gguf_header   the head of such a file, walked to see that it ends where it says
cache         where converted models and contexts lie
model5        the article's architecture, and the same as plain GPT-2
tanh_gelu     its activation, quick on a processor
gpt2          GPT-2's tokenizer, which Model 5 uses, without a network
structure     sizes, head and embedding, asked alike of every architecture
blocks        the blocks that a body is a stack of
head          from hidden states to logits, and back to hidden states alone
placement     where a model lies and how its weights are held, on this machine
rounded_weights  models whose weights were rounded when they were loaded
precision     lower precision for the body's matrix products
attention     attention on a GPU by kernels that need no plan for each shape
drawing       one token a row, by its probabilities
evaluation_mode  a model as it is when nobody trains it
key_value_cache  keys and values in memory that is taken once
sampling      drawing tokens
sampling_together  the same for batches of prompts of different lengths, in the passes of one
seeding       random draws by a seed, on whatever device
trainer_device  where transformers' trainers train
chat          prompts and answers as token ids
chat_templates  chats through a model's own template, which is a stranger's program
template_process  the process that it runs in
fingerprints  what tells a model's weights from all others

The public names load when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
