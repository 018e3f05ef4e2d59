"""An auditor that knows what a pack of benign changes knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiltlm.auditing.benign.learning import learn_at, with_classes
from tiltlm.auditing.classes.token_classes import build_lists
from tiltlm.auditing.logits.auditor import Auditor
from tiltlm.auditing.null.pack import NullPack
from tiltlm.auditing.shifts.head_geometry import HeadGeometry
from tiltlm.auditing.shifts.shift_reader import ShiftReader
from tiltlm.auditing.shifts.templates import Templates
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.progress import Progress


def calibrated_auditor(
    pack: NullPack,
    reader: ShiftReader,
    geometry: HeadGeometry,
    vocabulary: Vocabulary,
    lists: Mapping[str, Sequence[str]],
    progress: Progress | None = None,
) -> Auditor:
    """Take what a pack knows, and learn what it does not: the classes of word lists.

    Args:
        pack: of the reference.
        reader: of the reference, at the pack's contexts.
        geometry: of the reference's head.
        vocabulary: of the reference.
        lists: words by the name of their list.
        progress: told of progress where the pack has not been learnt from yet.
    """
    knowledge = pack.knowledge
    if knowledge is None:
        knowledge = learn_at(reader, pack.strata, geometry, pack.hypotheses, pack.changes, progress)
    templates = Templates(
        reader.rows,
        reader.logits,
        pack.strata,
        geometry.rows,
        knowledge.normal,
        knowledge.mean_rows,
        knowledge.mass,
    )
    if lists:
        added = build_lists(vocabulary, lists, knowledge.hypotheses)
        knowledge = with_classes(knowledge, added, geometry, templates, pack.changes)
    return Auditor(geometry, templates, knowledge)
