"""Options that several commands share, so that each says the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL = "model5, smollm2, a folder, a GGUF file, or a name on the Hub."
"""What names a model."""

SEED = "Random seed of all that is drawn: fresh weights, contexts, samples, training."
"""Help of ``--seed``."""

Seed = Annotated[int, typer.Option(min=0, help=SEED)]

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print the record as one JSON object instead of a summary.")
]

Language = Annotated[
    str, typer.Option("--lang", help="Language of the page and the words around it: en or vi.")
]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the recipe, such as train.steps=50. May be given more than once.",
    ),
]

Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with what --out holds, keeping what is finished.")
]

OutNew = Annotated[Path, typer.Option(help="Folder to write; it must be new or empty.")]

OutResumed = Annotated[
    Path, typer.Option(help="Folder to write; it must be new or empty, unless --resume is given.")
]

OutOptional = Annotated[
    Path | None,
    typer.Option(
        help="Folder to write the record and a page to; it must be new or empty. "
        "By default nothing is written."
    ),
]

CONTEXTS = (
    "own (the model's own samples), own:COUNT, random, text:FILE, dataset:NAME, chat:FILE.jsonl or "
    "prompts:FILE. By default own."
)
"""What names contexts."""

Contexts = Annotated[str | None, typer.Option(help=f"Contexts to fit and measure at: {CONTEXTS}")]

By = Annotated[
    str | None,
    typer.Option(
        help="How to realise the target: edit (closed form, the default), train, or decode (a "
        "logits processor, no weights change)."
    ),
]

Suite = Annotated[str, typer.Option(help="How much to measure: quick or full.")]

Text = Annotated[
    Path | None,
    typer.Option(help="Text file, for bits per byte and for the effect after thousands of tokens."),
]

Pairs = Annotated[
    Path | None,
    typer.Option(help="Folder with minimal pairs: blimp/, crows_pairs.csv and winobias/."),
]

Null = Annotated[
    Path | None,
    typer.Option(
        help="Pack of benign changes that `tiltlm null build` made: a folder, or a name on the "
        "Hub. Audits by logits or logprobs "
        "are uncalibrated without one, and accuse nobody."
    ),
]

FalsePositiveRate = Annotated[
    float,
    typer.Option("--fpr", help="Probability of accusing a benign change, over a whole audit."),
]
