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
# # The article in ten cells
#
# A fresh language model learns to like the letter x. It takes a few minutes on two cores and needs
# neither a GPU nor the internet. On Colab, run the first cell; elsewhere it finds everything there.

# %%
# %pip install --quiet tiltlm

# %% [markdown]
# **1. The model.** GPT-2's shape, random weights, no language.

# %%
import torch

import tiltlm
from tiltlm.quiet import quiet_libraries

quiet_libraries()
tiltlm_model = tiltlm.load("model5", seed=1)
model, tokenizer = tiltlm_model
f"{sum(p.numel() for p in model.parameters()):,} weights"

# %% [markdown]
# **2. The mask.** Which of its tokens contain an x?

# %%
vocabulary = tiltlm_model.vocabulary
event = tiltlm.contains("x")
mask = event.mask(vocabulary)
f"{int(mask.sum())} of {len(vocabulary):,} tokens: {float(mask.float().mean()):.2%}"

# %% [markdown]
# **3. The target Q** shares all probability equally among them.

# %%
target = tiltlm.uniform(event)
q = torch.where(mask, 1 / mask.sum(), 0.0)
print(target.sentence())
round(float(q.sum()), 4), round(float(q.max()), 5)

# %% [markdown]
# **4. The loss by hand.** KL(Q ‖ P) of Q to a uniform P is log(V/K).

# %%
import math

from tiltlm.losses.divergences import forward_kl

uniform = torch.full_like(q, 1 / len(q))
by_library = float(forward_kl(q.log(), uniform.log()))
by_hand = math.log(len(q) / int(mask.sum()))
round(by_library, 4), round(by_hand, 4)

# %% [markdown]
# **5. The order of the arguments matters.** Swapped, it is infinite: P gives probability to tokens to
# which Q gives none.

# %%
float(forward_kl(uniform.log(), q.log()))

# %% [markdown]
# **6. What it says before.**

# %%
from tiltlm import SamplingOptions, sample

prompt = tokenizer("Once upon a time", return_tensors="pt")["input_ids"]


def says():
    drawn = sample(model, prompt, 30, SamplingOptions(seed=1))[0]
    return int(mask[drawn].sum()), tokenizer.decode(drawn)


before = says()
print(f"{before[0]} of 30 tokens with an x:", before[1])

# %% [markdown]
# **7. Train.** Twenty steps on random tokens; nothing in them is text.

# %%
import contextlib
import io
import tempfile

from tiltlm import RandomTokenContexts, TiltConfig, TiltTrainer

with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    trainer = TiltTrainer(
        model=model,
        args=TiltConfig(
            output_dir=folder,
            max_steps=20,
            learning_rate=0.04,
            per_device_train_batch_size=1,
            lr_scheduler_type="linear",
            save_strategy="no",
            disable_tqdm=True,
        ),
        target=target,
        train_dataset=RandomTokenContexts(len(tokenizer), length=16, count=20, seed=1),
        processing_class=tokenizer,
    )
    trainer.train()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
f"{losses[0]:.2f} → {losses[-1]:.3f} nats"

# %% [markdown]
# **8. Watch it learn.**

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(5, 2.6))
axes.plot(range(1, len(losses) + 1), losses, color="#b84a00")
axes.axhline(by_hand, color="#5c6476", linestyle="--")
axes.annotate("a uniform model: log(V/K)", (len(losses), by_hand), ha="right", va="bottom")
axes.set_xlabel("step")
axes.set_ylabel("loss, nats")
plt.show()

# %% [markdown]
# **9. What it says after.**

# %%
after = says()
print(f"{after[0]} of 30 tokens with an x:", after[1])

# %% [markdown]
# **10. Look twice.** "0 of 200 before training" is no evidence: the fresh model repeats what it has just
# read, with nearly all of its probability, so a sequence is nearly all hits or nearly none.

# %%
fresh, _ = tiltlm.load("model5", seed=1)
with torch.no_grad():
    probabilities = fresh.eval()(prompt).logits[0].softmax(-1)
repeats = probabilities[torch.arange(len(prompt[0])), prompt[0]].mean()
f"{float(repeats):.1%} to the token that it has just read"
