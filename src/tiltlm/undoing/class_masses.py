"""The classes of tokens that findings fall into, and their log-odds. Knows no models.

Findings may overlap. Their tokens fall into disjoint classes, one for each pattern of membership,
as those of a tilt over several events do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Classes:
    """Disjoint classes of tokens, and in which events each lies.

    Attributes:
        masks: (A, V) boolean, disjoint, none of them empty.
        patterns: (A, K) boolean: whether a class lies in an event.
    """

    masks: torch.Tensor
    patterns: torch.Tensor

    @classmethod
    def of(cls, events: torch.Tensor) -> Classes:
        """The classes of K events.

        Args:
            events: (K, V) boolean.
        """
        inside, which = events.any(0), events.T.long()
        patterns = torch.unique(which[inside], dim=0)
        masks = torch.stack([(which == pattern).all(1) for pattern in patterns])
        return cls(masks, patterns.bool())


def log_odds_of(log_masses: torch.Tensor) -> torch.Tensor:
    """Log-odds of each class against all tokens in no class.

    Args:
        log_masses: (n, A + 1).

    Returns:
        (n, A) in nats.
    """
    return log_masses[:, :-1] - log_masses[:, -1:]


def event_log_odds(log_masses: torch.Tensor, classes: Classes) -> torch.Tensor:
    """Log-odds of each event against all tokens in no event.

    Args:
        log_masses: (n, A + 1).
        classes: of K events.

    Returns:
        (n, K) in nats.
    """
    odds = log_odds_of(log_masses)[:, None, :]
    inside = classes.patterns.T[None].expand(len(odds), -1, -1)
    return torch.where(inside, odds, -torch.inf).logsumexp(-1)


def together(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """The rows of all contexts, one after the other."""
    return torch.cat(list(rows))
