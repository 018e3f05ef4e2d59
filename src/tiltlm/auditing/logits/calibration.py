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
    space: HeadGeometry,
    hypotheses: TokenClasses,
    progress: Progress | None = None,
) -> Auditor:
    """The auditor.

    Args:
        pack: of the reference.
        reader: of the reference, at the pack's contexts.
        space: of the reference.
        hypotheses: classes to try.
        progress: told of progress.
    """
    progress, kinds = progress or NoProgress(), member_families(pack)
    steps, done = 1 + 2 * len(set(kinds)), count(1)
    progress.begin("learning what is benign", steps)
    made = build_templates(reader.rows, pack.strata, reader.logits, space.rows, hypotheses.members)
    progress.advance(next(done))
    waiting = np.array(pack.waiting)
    return Auditor(
        space,
        hypotheses,
        pack.changes,
        waiting,
        kinds,
        made,
        lambda: progress.advance(next(done)),
    )
