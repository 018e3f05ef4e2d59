"""The null: how benign changes of a reference shift it, and whether a pack can serve an audit.

Knows no files; `null.pack_files` reads and writes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tiltlm.auditing.arrays import Array
from tiltlm.auditing.benign.changes import BenignChanges
from tiltlm.auditing.benign.knowledge import Knowledge
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.shifts.family_covariances import covariances_without
from tiltlm.auditing.shifts.trigger_probes import TriggerProbes
from tiltlm.auditing.thresholds import MIN_FAMILIES
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.progress import Progress


@dataclass(kw_only=True)
class NullPack:
    """Shifts of B benign changes of a reference, with V tokens and hidden states of width D.

    Attributes:
        reference: ``name`` and ``sha256`` of the reference's weights.
        vocabulary: fingerprint of its tokens.
        contexts: where shifts were read, at N positions; suspects are read there too.
        probes: words that may be triggers, and their contexts.
        strata: (N,) the stratum of each position of ``contexts``, S of them.
        hypotheses: K classes of tokens that members were read by.
        shifts: (B, V) float32, nats, centred.
        stratum_moves: (B, S, D) float32, as in `Change`.
        stratum_spreads: (B, K) float32, as in `BenignChanges`.
        top: of every fourth position ``ids`` (B, P, `TOP_TOKENS`) int32 and ``ratios`` float16; see
            `TopTokens`.
        place_covariance: (D, D) float32, covariance of benign Δh (`learn_place_covariance`); empty
            where it has not been learnt yet.
        masses: (B, V) float32, mean probability of each token under the member.
        trigger_scores: (B,) the largest score of a class that waits for a word; NaN for members at
            which no words were tried.
        kl: (B,) KL(reference ‖ member), nats a position.
        members: (B,) what was done to each, as `Treatment.as_dict` gives it, with its ``number``,
            its ``family`` and the ``unit`` of members that were made together.
        corpora: where each corpus that members were fine-tuned on comes from, by its name.
        missing: corpora of the default mix that the pack lacks, and why.
        knowledge: what was learnt from just these members; None where nothing was learnt yet.
        family_covariances: (D, D) covariance of benign Δh without each family, likewise
            (`covariances_without`).
    """

    reference: dict[str, str]
    vocabulary: str
    contexts: TokenContexts
    probes: TriggerProbes
    strata: torch.Tensor
    hypotheses: TokenClasses
    shifts: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    stratum_moves: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    stratum_spreads: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    top: dict[str, torch.Tensor] = field(default_factory=dict)
    place_covariance: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    masses: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    trigger_scores: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    corpora: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    knowledge: Knowledge | None = None
    family_covariances: Mapping[str, Array] | None = None

    @property
    def changes(self) -> BenignChanges:
        """What all members do, float64.

        A member at which no words were tried takes the trigger score of one at which they were, in
        turn, so that the maximum over all hypotheses is one of all.
        """
        scores = np.array(self.trigger_scores, float)
        tried = scores[~np.isnan(scores)]
        if len(tried):
            untried = np.isnan(scores)
            scores[untried] = np.resize(tried, int(untried.sum()))
        return BenignChanges(
            self.shifts.double().numpy(),
            self.stratum_moves.double().numpy(),
            self.stratum_spreads.double().numpy(),
            scores if len(tried) else tried,
            member_families(self),
            [int(member["unit"]) for member in self.members],
        )

    @property
    def numbers(self) -> list[int]:
        """(B,) numbers of the members."""
        return [int(member["number"]) for member in self.members]

    @property
    def probed(self) -> Array:
        """(B,) booleans: whether words were tried as triggers at each member."""
        return np.asarray(~np.isnan(self.trigger_scores))

    def choose(self, rows: Sequence[int]) -> None:
        """Keep some members, in this order.

        Args:
            rows: where they are among all.
        """
        index = torch.tensor(rows, dtype=torch.int64)
        self.shifts, self.stratum_moves = self.shifts[index], self.stratum_moves[index]
        self.masses, self.stratum_spreads = self.masses[index], self.stratum_spreads[index]
        self.top = {name: part[index] for name, part in self.top.items()}
        self.kl = [self.kl[row] for row in rows]
        self.trigger_scores = [self.trigger_scores[row] for row in rows]
        self.members = [self.members[row] for row in rows]

    def check(self, sha256: str, vocabulary: str, where: str) -> None:
        """Refuse a pack that was made for another reference.

        Args:
            sha256: of the reference's weights.
            vocabulary: fingerprint of the reference's tokens.
            where: the pack's folder, for the error.

        Raises:
            ConfigError: weights or tokens are others.
        """
        if self.vocabulary != vocabulary:
            raise ConfigError(
                "the null pack was made for other tokens than the reference's", where=where
            )
        if self.reference["sha256"] != sha256:
            raise ConfigError(
                f"the null pack was made for another reference, {self.reference['name']} "
                f"({self.reference['sha256'][:12]}…)",
                where=where,
                fix="make one for this reference: tiltlm null build --reference M --out DIR",
            )


def check_size(pack: NullPack, rate: float, where: str) -> None:
    """Refuse a false-positive rate that so few members cannot vouch for.

    Args:
        pack: of B members.
        rate: false-positive rate.
        where: the pack's folder, for the error.

    Raises:
        ConfigError: the smallest p-value, 1 / (B + 1), is above the rate.
    """
    # A rate such as 0.01 is a little more or less than it says, in floating point.
    needed = int(np.ceil(1 / rate - 1e-9)) - 1
    if len(pack.members) < needed:
        raise ConfigError(
            f"a null of {len(pack.members)} models cannot vouch for a false-positive rate of "
            f"{rate:g}; it takes {needed}",
            where=where,
            fix=f"--fpr {1 / (len(pack.members) + 1):.3g}, or a larger pack",
        )


def member_kinds(pack: NullPack) -> dict[str, int]:
    """How many members were made by each method on each corpus, for people to read."""
    return dict(Counter(f"{m['method']} {m['corpus'] or ''}".strip() for m in pack.members))


def member_families(pack: NullPack) -> list[str]:
    """(B,) what each member has in common with others: its corpus, or what was done to its weights.

    A member is scored by what members of other families do, as a suspect will be whose corpus the
    pack does not have.
    """
    return [member["family"] for member in pack.members]


def is_learnt(pack: NullPack) -> bool:
    """Whether all is kept beside the members that audits would else learn on the spot.

    Args:
        pack: as `load_pack` reads it.
    """
    few = len(set(member_families(pack))) < MIN_FAMILIES
    return pack.knowledge is not None and (few or pack.family_covariances is not None)


def learn_family_covariances(
    pack: NullPack, head_rows: HeadRows, progress: Progress
) -> dict[str, Array]:
    """Estimate the covariance of benign Δh without each family in turn, which takes minutes.

    Args:
        pack: of the members.
        head_rows: (V, D) rows of the reference's head.
        progress: told of progress.

    Returns:
        (D, D) by family; nothing where there are fewer than `MIN_FAMILIES`.
    """
    families = member_families(pack)
    if len(set(families)) < MIN_FAMILIES:
        return {}
    progress.begin("how benign changes move hidden states", len(set(families)))
    ids, ratios = pack.top["ids"].numpy(), pack.top["ratios"].numpy()
    return covariances_without(ids, ratios, families, head_rows, advance=progress.advance)
