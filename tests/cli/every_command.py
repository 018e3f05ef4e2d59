"""Call every command on tiny models, one after another in one process; run by `test_quiet`.

`tiltlm demo` is `tiltlm run quick`; `tiltlm sweep` has a test of its own.

Standard error gets a line ``## NAME`` before each command, so that what a command says can be told
from what the others do.
"""

import os
import sys
from pathlib import Path

from tests.conftest import TINY_RUN

SETS = [part for item in (*TINY_RUN, "train.steps=4", "train.batch=2") for part in ("--set", item)]
TARGET = ("--target", "tilt(contains('o'), 1)", "--contexts", "random")
PACK = ("--contexts", 8, "--length", 24, "--steps", "1,2", "--words", 16)
# Prompts of 4 tokens in a context of 16 are continued with a cache first, then by re-reading.
SHORT_PROMPTS = ("--set", "test.prompt_tokens=4", "--set", "test.new_tokens=20")

COMMANDS = {
    "recipes": ("recipes",),
    "run": ("run", "quick", "--out", "run", *SETS, *SHORT_PROMPTS),
    "report": ("report", "run"),
    "sample": ("sample", "run/model", "--new-tokens", 20),
    "tokens": ("tokens", "contains('o')", "--model", "gpt2"),
    "edit": ("tilt", "gpt2", *TARGET, "--out", "edit"),
    "edit merged": ("tilt", "tied", *TARGET, "--merge", "--out", "merged"),
    "train": ("tilt", "tied", *TARGET, "--by", "train", "--steps", 2, "--out", "train"),
    "train all": (
        *("tilt", "gpt2", *TARGET, "--by", "train", "--steps", 2, "--parameters", "body+head"),
        *("--merge", "--out", "all"),
    ),
    "decode": ("tilt", "gpt2", *TARGET, "--by", "decode", "--out", "decode"),
    "sample decoded": ("sample", "decode", "--new-tokens", 4),
    "sample adapter": ("sample", "train/model", "--new-tokens", 4, "--prompt", "the fox"),
    "measure": ("measure", "train", "--out", "measure"),
    "null": (
        *("null", "build", "--reference", "gpt2", "--n", 6, "--corpus", "text:text.txt"),
        "--no-default-corpora",
        *("--out", "null", *PACK),
    ),
    "audit": ("audit", "edit", "--reference", "gpt2", "--null", "null", "--fpr", 0.5),
    "audit logprobs": (
        *("audit", "edit", "--reference", "gpt2", "--access", "logprobs", "--budget", 64),
    ),
    "audit text": (
        *("audit", "merged", "--reference", "tied", "--access", "text", "--budget", 64),
        *("--event", "contains('o')"),
    ),
    "undo": ("undo", "edit", "--contexts", "own:28", "--out", "undo", "--relapse-rate", "1e-4"),
    "undo by label": ("undo", "merged", "--by", "label", "--contexts", "random", "--out", "back"),
    "label": ("label", "show", "undo"),
    "label key": ("label", "key", "key"),
    "label sign": ("label", "sign", "back", "--key", "key"),
    "label verify": ("label", "verify", "back", "--key", "key.pub"),
    "export": ("export", "train", "--for", "vllm", "--adapter", "--out", "adapter"),
    "verify": (
        *("verify", "merged", "--label", "merged", "--budget", 8, "--contexts", "random"),
        *("--out", "verify"),
    ),
    "audit plan": ("audit", "plan", "--strength", 1, "--mass", 0.01),
}


def make_models() -> None:
    """Save a GPT-2 and a Llama with a tied head, and a text."""
    from tests.tiny import TEXT, tiny_loaded

    for folder, kind in (("gpt2", "gpt2"), ("tied", "llama_tied")):
        loaded = tiny_loaded(kind)
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
    Path("text.txt").write_text(TEXT * 20)


def main() -> None:
    """Call every command in the folder that is named."""
    from tiltlm.cli.main import app
    from tiltlm.quiet import quiet_libraries

    os.chdir(sys.argv[1])
    quiet_libraries()  # before `tests.tiny` imports transformers, as a command does
    make_models()
    for name, arguments in COMMANDS.items():
        print(f"## {name}", file=sys.stderr, flush=True)
        app([str(argument) for argument in arguments], standalone_mode=False)
    print("## end", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
