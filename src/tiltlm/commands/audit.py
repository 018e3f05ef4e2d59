"""`tiltlm audit`, the Python function behind the command: audit, then write record and page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from tiltlm.auditing.auditing import audit
from tiltlm.auditing.models import ModelSource
from tiltlm.claims import claimed_new
from tiltlm.commands.output import write_record
from tiltlm.defaults import CERTIFIED_WITHIN_NATS, FALSE_POSITIVE_RATE
from tiltlm.progress import Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.audit import AuditRecord
from tiltlm.records.audit_logprobs import LogprobsAuditRecord
from tiltlm.records.audit_text import TextAuditRecord


def run_audit(
    suspect: ModelSource,
    reference: ModelSource,
    out: Path | None = None,
    *,
    access: str = "logits",
    endpoint: str | None = None,
    null: Path | None = None,
    fpr: float = FALSE_POSITIVE_RATE,
    contexts: str | None = None,
    lists: Path | None = None,
    events: Sequence[str] = (),
    within: float = CERTIFIED_WITHIN_NATS,
    budget: int | None = None,
    decodes: bool = False,
    placement: Placement | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditRecord | LogprobsAuditRecord | TextAuditRecord:
    """Tell whether a model was tilted, and towards what; write what was found.

    Args:
        suspect: as for `audit`, like all that is not named here.
        reference: what the suspect should be like.
        out: a new folder for ``result.json`` and ``audit.html``; None to write nothing.
        access: ``logits``, ``logprobs`` or ``text``.
        endpoint: URL of a server that has the suspect.
        null: the folder of a pack of benign changes.
        fpr: false-positive rate of the whole audit.
        contexts: where to look without a pack.
        lists: a file of word lists to try.
        events: to certify, or to test.
        within: nats, within which events are certified.
        budget: positions or tokens at most.
        decodes: the suspect is a folder without weights, to be read by its label.
        placement: of what is named, as for `load`.
        seed: of all draws.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    with claimed_new(out) if out else nullcontext() as folder:
        record = audit(
            suspect, reference, access=access, endpoint=endpoint, null=null, fpr=fpr,
            contexts=contexts, lists=lists, events=events, within=within, budget=budget,
            decodes=decodes, placement=placement, seed=seed, progress=progress,
        )  # fmt: skip
        if folder is not None:
            write_record(folder, record, {"audit.html": _page(record)})
    return record


def _page(record: AuditRecord | LogprobsAuditRecord | TextAuditRecord) -> str:
    """The page of an audit, as text."""
    # The report draws its figures with matplotlib, which is slow to import.
    from tiltlm.report.audit_page import render_audit, render_logprobs_audit, render_text_audit

    if isinstance(record, TextAuditRecord):
        return render_text_audit(record)
    if isinstance(record, LogprobsAuditRecord):
        return render_logprobs_audit(record)
    return render_audit(record)
