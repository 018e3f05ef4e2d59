"""An auditor that knows what a pack of benign changes knows."""

from __future__ import annotations

from itertools import count

import numpy as np

from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.null.pack import NullPack, member_families
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.auditing.shifts.strata import build_templates
from tiltlm.progress import NoProgress, Progress


def calibrated_auditor(
    pack: NullPack,
    reader: ShiftReader,
    head: HeadGeometry,
    classes: TokenClasses,
    progress: Progress | None = None,
) -> Auditor:
    """Learn from a pack how benign changes move each class.

    Args:
        pack: of the reference.
        reader: of the reference, at the pack's contexts.
        head: of the reference.
        classes: to try.
        progress: told of progress: one step for what a tilt of each class looks like, and one for
            each family of members by each of two filters.
    """
    progress, families = progress or NoProgress(), member_families(pack)
    done = count(1)
    progress.begin("learning what is benign", 1 + 2 * len(set(families)))
    members = classes.members
    of_classes = build_templates(reader.rows, pack.strata, reader.logits, head.rows, members)
    progress.advance(next(done))
    return Auditor(
        head,
        classes,
        pack.changes,
        np.array(pack.trigger_scores),
        families,
        of_classes,
        lambda: progress.advance(next(done)),
    )
