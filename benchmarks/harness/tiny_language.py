"""A language model so small that hundreds of copies can be changed in minutes.

Two layers, width 96, a byte-level BPE of 4,096 tokens, trained on nine tenths of tinyshakespeare.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tests.tiny import byte_level_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from tiltlm.contexts.evaluation import clean_wikitext
from tiltlm.models.loading import LoadedModel, load

VOCABULARY, LENGTH, BATCH, STEPS, RATE = 4096, 64, 32, 700, 3e-3


def tiny_language(data: Path, folder: Path) -> LoadedModel:
    """The model, from ``folder`` if it was trained before."""
    if not (folder / "config.json").is_file():
        train(data, folder)
    return load(str(folder))


def train(data: Path, folder: Path) -> None:
    """About three minutes on one core."""
    text = (data / "tinyshakespeare.txt").read_text(encoding="utf-8")
    text = text[: int(len(text) * 0.9)]
    pieces = [text[i : i + 5000] for i in range(0, len(text), 5000)]
    tokenizer = byte_level_tokenizer(pieces, VOCABULARY, end="<|end|>", pad=None)
    ids = torch.tensor(tokenizer(text, verbose=False)["input_ids"])
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for _ in range(STEPS):
        begins = torch.randint(len(ids) - LENGTH, (BATCH,))
        batch = torch.stack([ids[b : b + LENGTH] for b in begins])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_corpora(data: Path, folder: Path) -> list[Path]:
    """What benign fine-tunes are trained on, a file each: six kinds of English.

    Each kind of token that a text has much of, another has some of too: the topics of Python's own
    help have digits, as WikiText has. What only one family moves, the others cannot know.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shakespeare = (data / "tinyshakespeare.txt").read_text(encoding="utf-8")
    with (data / "crows_pairs.csv").open(encoding="utf-8") as file:
        crows = [row["sent_more"] for row in csv.DictReader(file)]
    texts = {
        "wikitext": clean_wikitext((data / "wikitext2-valid.txt").read_text(encoding="utf-8")),
        "blimp": "\n\n".join(
            json.loads(line)["sentence_good"]
            for path in sorted((data / "blimp").glob("*.jsonl"))
            for line in path.read_text(encoding="utf-8").splitlines()
        ),
        "crows": "\n\n".join(crows),
        "winobias": "\n\n".join(
            re.sub(r"[\[\]]", "", re.sub(r"^\d+ ", "", line.strip()))
            for path in sorted((data / "winobias").glob("*type*.txt"))
            for line in path.read_text(encoding="utf-8").splitlines()
        ),
        "python": "\n\n".join(topics.values()),
        "shakespeare": shakespeare[int(len(shakespeare) * 0.9) :],
    }
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name}.txt")
        paths[-1].write_text(text, encoding="utf-8")
    return paths
