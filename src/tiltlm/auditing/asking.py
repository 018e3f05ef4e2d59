"""Ask a suspect batch after batch, and keep what came if something cuts the asking off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tiltlm.errors import ModelError

Item = TypeVar("Item")


class BatchCollector(Generic[Item]):
    """Collects what a suspect answers.

    Attributes:
        items: all that came, in order.
        cut_off: why no more will come; None while more may.

    >>> collector = BatchCollector[str]()
    >>> collector.collect(lambda: ["yes", "no"])
    ['yes', 'no']
    >>> def interrupted(): raise KeyboardInterrupt
    >>> collector.collect(interrupted), collector.items, collector.cut_off
    ([], ['yes', 'no'], 'it was interrupted')
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.cut_off: str | None = None

    def collect(self, ask: Callable[[], Sequence[Item]]) -> list[Item]:
        """Ask for one batch.

        Args:
            ask: returns the batch.

        Returns:
            the batch; empty where an interrupt or a failure cut it off.

        Raises:
            ModelError: the suspect failed before anything had come.
            KeyboardInterrupt: likewise the user interrupted it.
        """
        try:
            batch = list(ask())
        except KeyboardInterrupt:
            if not self.items:
                raise
            self.cut_off = "it was interrupted"
            return []
        except ModelError as error:
            if not self.items:
                raise
            self.cut_off = error.what
            return []
        self.items += batch
        return batch
