"""Models: loading them, and whatever must be known of one whichever its architecture.

loading       `load` and what it gives: a model, its tokenizer and its vocabulary
sharing       adapters over the weights of a base that is loaded already
adapted       models with adapters in them, and plain copies of these
turns         models that take turns in memory
memory        how much memory weights take, and how much is free
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
