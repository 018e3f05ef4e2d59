"""Progress of long benchmark runs as plain lines, for logs."""

from __future__ import annotations

from tiltlm.progress import NoProgress


class Steps(NoProgress):
    """Every fifteenth step, as a line."""

    def advance(self, done: int, note: str = "") -> None:
        """Print it."""
        if note and done % 15 == 0:
            print(f"  {done}: {note}", flush=True)

    def note(self, text: str) -> None:
        """Print it."""
        print(f"  {text}", flush=True)
