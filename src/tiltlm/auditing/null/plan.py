"""What a null pack is to be made of: the options of a build, and all that its members depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiltlm.auditing.shifts.trigger_probes import probe_words, read_words
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, TRIGGER_WORDS, WORDS_EVERY
from tiltlm.errors import ConfigError
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel
from tiltlm.treatments.benign import STEPS, TRAININGS, WEIGHTS


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """What a user may say of a pack, but for how many members it has; see `build_null`."""

    corpora: Sequence[str] = ()
    default_corpora: bool = True
    contexts: int = AUDIT_CONTEXTS
    length: int = AUDIT_TOKENS
    steps: Sequence[int] = STEPS
    words: int = TRIGGER_WORDS
    words_every: int = WORDS_EVERY
    triggers: Path | None = None
    seed: int = 0

    def check(self, models: int) -> None:
        """Refuse options that nothing can be made of.

        Args:
            models: how many benign changes the pack is to have.

        Raises:
            ConfigError: there are no members, no steps, too few or too short contexts, too few
                words, or no text to train on.
        """
        if models < 1:
            raise ConfigError(
                f"a pack of {models} models", where="--n", fix="at least 1; 299 is usual"
            )
        if not self.steps or min(self.steps) < 1:
            raise ConfigError(f"steps {list(self.steps)}", where="--steps", fix="such as 4,8,16")
        least = {"contexts": 4, "length": 16, "words": 8, "words_every": 1}
        for name, least_of_it in least.items():
            if getattr(self, name) < least_of_it:
                raise ConfigError(
                    f"{getattr(self, name)} is too few",
                    where=f"--{name.replace('_', '-')}",
                    fix=f"{least_of_it} or more",
                )
        if not self.default_corpora and not self.corpora:
            raise ConfigError(
                "there is no text to train on",
                where="--no-default-corpora",
                fix="name one with --corpus, or leave this out",
            )

    def plan(self, reference: LoadedModel) -> BuildPlan:
        """All that members depend on.

        Args:
            reference: whose benign changes they are.

        Raises:
            ConfigError: the words to try cannot be read.
        """
        given = read_words(self.triggers) if self.triggers else []
        return BuildPlan(
            reference=fingerprint(reference.model),
            corpora=self.corpora,
            default_corpora=self.default_corpora,
            contexts=self.contexts,
            length=self.length,
            steps=self.steps,
            words=probe_words(reference.vocabulary, given, self.words),
            words_every=self.words_every,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """All that the members of a pack depend on, but for their number.

    Attributes:
        reference: SHA-256 of the reference's weights.
        corpora: sources of a user's own text to fine-tune on.
        default_corpora: whether there is the default mix besides.
        contexts: own samples of the reference at which shifts are read.
        length: tokens of each.
        steps: of fine-tuning, to choose from.
        words: that are tried as triggers.
        words_every: at one member in so many.
        seed: of everything drawn.
    """

    reference: str
    corpora: Sequence[str]
    default_corpora: bool
    contexts: int
    length: int
    steps: Sequence[int]
    words: list[str]
    words_every: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """For ``plan.json``, with the kinds of changes that members are of."""
        return {
            "reference": self.reference,
            "corpora": list(self.corpora),
            "default_corpora": self.default_corpora,
            "contexts": [self.contexts, self.length],
            "steps": list(self.steps),
            "words": self.words,
            "words_every": self.words_every,
            "seed": self.seed,
            "kinds": [*TRAININGS, *WEIGHTS],
        }
