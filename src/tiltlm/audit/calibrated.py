"""An auditor that knows what a pack of benign changes knows."""

from __future__ import annotations

from itertools import count

import numpy as np

from tiltlm.audit.auditor import Auditor
from tiltlm.audit.filters import Space
from tiltlm.audit.hypotheses import Hypotheses
from tiltlm.audit.nulls import NullPack, families
from tiltlm.audit.shift import ShiftReader
from tiltlm.audit.strata import templates
from tiltlm.watching import Silent, Watcher


def calibrated(
    pack: NullPack,
    reader: ShiftReader,
    space: Space,
    hypotheses: Hypotheses,
    watcher: Watcher | None = None,
) -> Auditor:
    """The auditor.

    Args:
        pack: of the reference.
        reader: of the reference, at the pack's contexts.
        space: of the reference.
        hypotheses: classes to try.
        watcher: told of progress.
    """
    watcher, kinds = watcher or Silent(), families(pack)
    steps, done = 1 + 2 * len(set(kinds)), count(1)
    watcher.begin("learning what is benign", steps)
    made = templates(reader.rows, pack.strata, reader.logits, space.rows, hypotheses.members)
    watcher.advance(next(done))
    waiting = np.array(pack.waiting)
    return Auditor(
        space,
        hypotheses,
        pack.changes,
        waiting,
        kinds,
        made,
        lambda: watcher.advance(next(done)),
    )
