"""Chat templates, which come with a model and are programs: rendered where they can do no harm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltlm.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SECONDS, WAITED_SECONDS = 4, 60
"""How long a template may compute, and how long is waited for it on a machine that does more."""


MEMORY_BYTES = 1 << 29
"""How much memory a template may take; only Linux keeps it to that."""


CHARACTERS = 1 << 22
"""The most that is rendered at once, of all chats together."""


_QUOTED_CHARACTERS = 200

_PROGRAM = Path(__file__).with_name("template_process.py")


def render_chats(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Sequence[Mapping[str, str]]]
) -> list[str]:
    """Chats through a model's own template, each up to where the answer begins.

    They are rendered in one process, which takes half a second to start.

    Args:
        tokenizer: with a chat template.
        chats: ``role`` and ``content`` of the messages of each.

    Raises:
        ModelError: the template raises, does not come to an end, or writes nothing or too much.
    """
    if not chats:
        return []
    try:
        template = tokenizer.get_chat_template()
        job = json.dumps(
            {
                "template": template,
                "chats": chats,
                "variables": tokenizer.special_tokens_map,
                "seconds": SECONDS,
                "memory_bytes": MEMORY_BYTES,
                "characters": CHARACTERS,
            },
            default=str,
        )
    except (ValueError, TypeError) as error:
        raise _refused(tokenizer, str(error)) from None
    if not isinstance(template, str):
        raise _refused(tokenizer, "it is no text")
    texts = _run(job)
    if isinstance(texts, str):
        raise _refused(tokenizer, texts)
    if not all(text.strip() for text in texts):
        raise _refused(tokenizer, "it writes nothing")
    return list(texts)


@lru_cache(maxsize=16)
def _run(job: str) -> tuple[str, ...] | str:
    """The texts of a job, or else why there are none, in one sentence."""
    # Isolated from the folder that it is started in, which may be the stranger's.
    command = [sys.executable, "-P", str(_PROGRAM)]
    try:
        done = subprocess.run(
            command, input=job.encode(), capture_output=True, timeout=WAITED_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"it does not come to an end within {WAITED_SECONDS:g} s"
    if done.returncode != 0:
        # Killed for its time, unless the process could not even be started.
        return _ENDLESS if done.returncode < 0 else done.stderr.decode(errors="replace")[-200:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer["error"] if "error" in answer else tuple(answer["texts"])


_ENDLESS = f"it does not come to an end within {SECONDS} s of computing"


def _refused(tokenizer: PreTrainedTokenizerBase, why: str) -> ModelError:
    return ModelError(
        f"the model's chat template cannot be used: {why[:_QUOTED_CHARACTERS]!r}",
        where=str(tokenizer.name_or_path) or None,
        fix="mend the template, or take it away: chats are then plain text",
    )
