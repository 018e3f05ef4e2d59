"""Models: loading them, and whatever must be known of one whichever its architecture.

loading       `load` and what it gives: a model, its tokenizer and its vocabulary
names         names of models that are refused before anything is looked for
gguf          GGUF files, converted once
cache         where converted models and contexts lie
model5        the article's architecture, and the same as plain GPT-2
gpt2          GPT-2's tokenizer, which Model 5 uses, without a network
structure     sizes, head and embedding, asked alike of every architecture
head          from hidden states to logits, and back to hidden states alone
precision     lower precision for the body's matrix products
sampling      drawing tokens
chat          prompts and answers as token ids
fingerprints  what tells a model's weights from all others

The public names load when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
