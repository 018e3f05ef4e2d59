"""Audit a suspect with any access: the accesses by name, and the one call that runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiltlm.auditing.access import Access
from tiltlm.auditing.case import AuditOptions, open_case
from tiltlm.auditing.logits.audit import LogitsAccess
from tiltlm.auditing.logprobs.audit import LogprobsAccess
from tiltlm.auditing.models import ModelSource
from tiltlm.auditing.text.audit import TextAccess
from tiltlm.defaults import CERTIFIED_WITHIN_NATS, FALSE_POSITIVE_RATE
from tiltlm.errors import ConfigError
from tiltlm.progress import Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.audit import AuditRecord
from tiltlm.records.audit_logprobs import LogprobsAuditRecord
from tiltlm.records.audit_text import TextAuditRecord

ACCESSES: Mapping[str, type[Access[Any, Any, Any]]] = {
    access.name: access for access in (LogitsAccess, LogprobsAccess, TextAccess)
}
"""What one can have of a suspect, by name. A new access is a class and a line here."""


def audit(
    suspect: ModelSource,
    reference: ModelSource,
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
    """Tell whether a model was tilted, and towards what. Nothing is written.

    Args:
        suspect: a name for `load`, a folder that ``tiltlm tilt`` wrote, or a loaded model; with
            ``endpoint``, its name there. Its label is quoted beside what is found, and not gone by.
        reference: what it should be like: a name for `load`, or a loaded model.
        access: ``logits``; ``logprobs``, of its likeliest tokens; or ``text``, which is read until
            the matter is clear.
        endpoint: logprobs, text: URL of an OpenAI-compatible server that has the suspect.
        null: the folder of a pack of benign changes of the reference. Without one nothing is
            called found by logits and logprobs; by text any difference is.
        fpr: the chance with which a benign change is accused, by the whole audit.
        contexts: logits without a pack: where to look, as for `make_contexts`; a pack has its own.
        lists: a JSON file of word lists, ``{"name": ["word", …]}``, to try as classes too.
        events: logits: to certify, that their mean strength is within ±``within``; text: to test
            instead of all classes, which takes less text.
        within: logits: nats.
        budget: at most so many positions (logprobs; of an endpoint, requests) or tokens (text).
        decodes: the suspect is a folder that ``tiltlm tilt --by decode`` wrote, without weights:
            audit the reference under the target that its label names.
        placement: of suspect and reference, where they are named, as for `load`.
        seed: of contexts, of positions, and of what a suspect writes.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ConfigError for an option that the access does not
            take.
    """
    if access not in ACCESSES:
        raise ConfigError(
            f"no such access: {access!r}", where="--access", fix="one of " + ", ".join(ACCESSES)
        )
    options = AuditOptions(
        null=null, fpr=fpr, lists=lists, seed=seed, endpoint=endpoint, contexts=contexts,
        events=tuple(events), within=within, budget=budget, decodes=decodes, placement=placement,
    )  # fmt: skip
    kind = ACCESSES[access]
    kind.check_options(options)
    case = open_case(suspect, reference, options, null_rate=kind.null_rate(fpr), progress=progress)
    record: AuditRecord | LogprobsAuditRecord | TextAuditRecord = kind(case).run()
    return record
