"""What all tabs of the page share while it is built: bench, jobs, folders, words, the language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tiltlm.web.bench import Bench
from tiltlm.web.folders import Folders
from tiltlm.web.jobs import Jobs
from tiltlm.web.words import Words


@dataclass(frozen=True)
class Follower:
    """What a tab shows of jobs, kept up to date while the page is open.

    Attributes:
        outputs: components of the tab.
        shown: of the language, a value for each output; None where they stay as they are.
        key: says of which state of the jobs it is, so that nothing is sent twice.
    """

    outputs: list[Any]
    shown: Callable[[str], list[Any]]
    key: Callable[[], Any]


@dataclass
class Desk:
    """What all tabs share.

    Attributes:
        folders: what files may be named.
        bench: the models that are looked at.
        jobs: the queue.
        words: components that follow the language.
        page: the page that is being built.
        language: the component that chooses it.
        model: the component that names the model.
        target: the component that holds the target.
        weights: of the five tokens that the article's arithmetic is done on.
        followers: what follows the jobs.
    """

    folders: Folders
    bench: Bench
    jobs: Jobs
    words: Words
    page: Any = None
    language: Any = None
    model: Any = None
    target: Any = None
    weights: list[Any] = field(default_factory=list)
    followers: list[Follower] = field(default_factory=list)

    def bases(self) -> list[str]:
        """Models that can be tilted: those of the folders, then those that need no file."""
        return [*self.folders.bases(), "smollm2", "model5"]

    def suspects(self) -> list[str]:
        """Models that can be audited: what has a label, then all others."""
        return [*self.folders.tilted(), *self.bases()]
