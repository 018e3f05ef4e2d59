"""An auditor that knows what a pack of benign changes knows."""

from __future__ import annotations

import numpy as np

from tiltlm.audit.auditor import Auditor
from tiltlm.audit.filters import Space
from tiltlm.audit.hypotheses import Hypotheses
from tiltlm.audit.nulls import NullPack, families
from tiltlm.audit.shift import ShiftReader
from tiltlm.audit.strata import templates


def calibrated(
    pack: NullPack, reader: ShiftReader, space: Space, hypotheses: Hypotheses
) -> Auditor:
    """The auditor.

    Args:
        pack: of the reference.
        reader: of the reference, at the pack's contexts.
        space: of the reference.
        hypotheses: classes to try.
    """
    made = templates(reader.rows, pack.strata, reader.logits, space.rows, hypotheses.members)
    waiting = np.array(pack.waiting)
    return Auditor(space, hypotheses, pack.changes, waiting, families(pack), made)
