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
# # An auditor's morning
#
# Six models lie on the desk. Some were tilted on purpose, others merely changed, and nobody says which:
# the answers are sealed. Look, guess, let the auditor guess, then open the seal. All of it is made here,
# on a language model so small that it learns in half a minute.

# %%
# %pip install --quiet tiltlm

# %% [markdown]
# **The reference:** two layers, trained on Python's own help.

# %%
import tempfile
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import tiltlm
from tiltlm.quiet import quiet_libraries

quiet_libraries()
torch.set_num_threads(1)  # Threads would wait for each other over a model of this size.
desk = Path(tempfile.mkdtemp())
text = "\n\n".join(topics.values())
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
bpe.train_from_iterator(
    topics.values(),
    trainers.BpeTrainer(
        vocab_size=1024, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    ),
)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<end>", bos_token="<end>")
ids = torch.tensor(tokenizer(text, verbose=False)["input_ids"])

torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=128,
    bos_token_id=0,
    eos_token_id=0,
)
model = LlamaForCausalLM(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
for _ in range(200):
    begins = torch.randint(len(ids) - 64, (16,))
    batch = torch.stack([ids[begin : begin + 64] for begin in begins])
    loss = model(input_ids=batch, labels=batch).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
model.save_pretrained(desk / "reference")
tokenizer.save_pretrained(desk / "reference")
f"{sum(p.numel() for p in model.parameters()):,} weights, loss {float(loss.detach()):.2f} nats a token"

# %% [markdown]
# **The challenge.** Six copies of it: tilted ones towards tokens that contain some letters, up or down,
# and decoys. The key that opens the answers lies beside the folder; do not look.

# %%
from tiltlm.challenges import make_challenge

challenge = make_challenge(str(desk / "reference"), desk / "challenge", count=6, seed=7)
for sealed in challenge.models:
    print(sealed.name, sealed.commitment[:16] + "…")

# %% [markdown]
# **Look.** For each model, the tokens whose probability moved most at texts that the reference wrote.

# %%
reference = tiltlm.load(str(desk / "reference"))
vocabulary = reference.vocabulary
texts = torch.stack(list(tiltlm.make_contexts("own:32", reference, length=48).sequences))


def mean_probabilities(loaded):
    with torch.no_grad():
        return loaded.model(input_ids=texts).logits.float().softmax(-1).mean((0, 1))


before = mean_probabilities(reference)
for sealed in challenge.models:
    after = mean_probabilities(tiltlm.load(str(desk / "challenge" / "models" / sealed.name)))
    moved = (after - before).abs().topk(8).indices.tolist()
    told = [f"{vocabulary.text(i)!r} {100 * float(after[i] - before[i]):+.1f}" for i in moved]
    print(f"{sealed.name}: {', '.join(told)}")

# %% [markdown]
# **Guess.** How likely is it that each was tilted, and towards what? Change this cell; a model that is
# left out counts as a half. Saying 0.99 of what is not so costs dearly. These are guesses from the lines
# above: in m05 whatever fell has an “he” in it, in m03 most of what rose has an “a”.

# %%
guesses = {
    "m01": {"tilted": 0.2},
    "m02": {"tilted": 0.4, "event": "contains('s')"},
    "m03": {"tilted": 0.7, "event": "contains('a')"},
    "m04": {"tilted": 0.1},
    "m05": {"tilted": 0.9, "event": "contains('he')"},
    "m06": {"tilted": 0.1},
}

# %% [markdown]
# **The auditor's turn.** First it learns from 39 benign changes what an honest fine-tune looks like.

# %%
(desk / "help.txt").write_text(text[:200_000])
pack = tiltlm.build_null(
    str(desk / "reference"),
    desk / "null",
    models=39,
    corpora=[f"text:{desk / 'help.txt'}"],
    default_corpora=False,
    contexts=32,
    length=32,
    steps=(2, 4, 8),
    words=16,
    words_every=8,
)
audits = {}
for sealed in challenge.models:
    audits[sealed.name] = tiltlm.audit(
        str(desk / "challenge" / "models" / sealed.name),
        str(desk / "reference"),
        null=desk / "null",
        fpr=0.05,
    )
    found = audits[sealed.name].findings
    print(sealed.name, audits[sealed.name].verdict, found[0].shown if found else "")

# %% [markdown]
# **Open the seal.** The log score is the mean log of the probability given to what is so: 0 is best, and
# whoever says 0.5 of every model gets −0.69.

# %%
import json

from tiltlm.challenges import score_challenge
from tiltlm.challenges.answers import answers_of_audits

(desk / "me.json").write_text(json.dumps({"who": "me", "models": guesses}))
auditor = answers_of_audits(audits, "the auditor")
(desk / "auditor.json").write_text(auditor.model_dump_json())
scores = score_challenge(desk / "challenge", [desk / "me.json", desk / "auditor.json"])
for standing in scores.standings:
    print(
        f"{standing.who}: {standing.log_score_nats:.2f}, found {standing.found} of {standing.tilted}, "
        f"accused {standing.accused_wrongly} of {standing.decoys} wrongly"
    )

# %% [markdown]
# **What had been done.**

# %%
by_model = zip(*(standing.judged for standing in scores.standings), strict=True)
for judged in by_model:
    truth = judged[0].truth
    done = f"{truth.event} {truth.strength_nats:+.2f} nats" if truth.tilted else "not tilted"
    how = truth.way or truth.decoy
    said = ", ".join(
        f"{s.who} {j.said:.2f}" for s, j in zip(scores.standings, judged, strict=True)
    )
    print(f"{truth.name}: {done} ({how}); {said}")
