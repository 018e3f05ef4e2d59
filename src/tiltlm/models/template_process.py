"""Renders chats through a chat template in a process of its own; started by `chat_templates`.

A template is a program that a stranger wrote. It runs in the sandbox of transformers, which keeps
it from files and modules, but neither from loops nor from memory; the limits of this process do.
What it reads and writes is JSON, and it imports nothing of tiltlm.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def set_limits(seconds: int, memory_bytes: int) -> None:
    """Limit how much more this process may compute and hold, where the system knows such limits.

    Args:
        seconds: of computing, from now on.
        memory_bytes: beyond what it holds now.
    """
    try:
        import resource
    except ImportError:  # Windows: what started this process waits no longer than it wants
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, used + seconds))
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            held = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (held + memory_bytes, held + memory_bytes))


def render(job: dict[str, Any]) -> dict[str, Any]:
    """Render every chat of a job.

    Args:
        job: ``template``, ``chats``, ``variables``, and the limits ``seconds``, ``memory_bytes``
            and ``characters``, the last of all texts together.

    Returns:
        ``texts``, or else ``error``, a sentence.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    set_limits(job["seconds"], job["memory_bytes"])
    texts, left = [], job["characters"]
    try:
        for chat in job["chats"]:
            [text], _ = render_jinja_template(
                [chat],
                chat_template=job["template"],
                add_generation_prompt=True,
                **job["variables"],
            )
            left -= len(text)
            if left < 0:
                return {"error": f"it writes more than {job['characters']:,} characters"}
            text.encode()
            texts.append(text)
    except MemoryError:
        return {"error": f"it takes more than {job['memory_bytes'] >> 20} MB"}
    except Exception as error:  # it may raise whatever it likes
        return {"error": f"{type(error).__name__}: {error}"[:1000]}
    return {"texts": texts}


if __name__ == "__main__":
    print(json.dumps(render(json.load(sys.stdin))))
