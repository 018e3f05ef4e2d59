"""Why a request to a server has no answer."""

from __future__ import annotations


class RequestError(Exception):
    """A request that was not answered, after all retries.

    Args:
        reason: one line.
        status: that the server gave; None where it gave none.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
