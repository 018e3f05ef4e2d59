"""Was a model tilted, and towards what: an audit as a job, its findings as cards, its report."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from tiltlm.defaults import FALSE_POSITIVE_RATE
from tiltlm.records.audit import AuditRecord
from tiltlm.records.audit_logprobs import LogprobsAuditRecord
from tiltlm.records.audit_text import TextAuditRecord
from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import read_strings
from tiltlm.web.desk import Desk, Follower
from tiltlm.web.fragments import audit_cards, framed, or_mistake, paragraph
from tiltlm.web.job_process import Call

_RECORDS: dict[str, Any] = {
    "logits": AuditRecord,
    "logprobs": LogprobsAuditRecord,
    "text": TextAuditRecord,
}


def audit_tab(desk: Desk) -> None:
    """Put the parts of the tab into the page that is being built.

    Args:
        desk: what all tabs share.
    """
    made, names, bases = desk.words.made, desk.suspects(), desk.bases()
    made(gr.HTML, paragraph_key="ui.audit.lead")
    with gr.Row():
        suspect = made(
            gr.Dropdown, names, value=names[0], allow_custom_value=True,
            label_key="ui.audit.suspect", elem_id="audit-suspect",
        )  # fmt: skip
        reference = made(
            gr.Dropdown, bases, value=bases[0], allow_custom_value=True,
            label_key="ui.audit.reference", elem_id="audit-reference",
        )  # fmt: skip
    access = made(
        gr.Radio, value="logits", label_key="ui.audit.access", elem_id="audit-access",
        choice_keys={name: f"ui.audit.{name}" for name in _RECORDS},
    )  # fmt: skip
    with gr.Row():
        pack = made(
            gr.Dropdown, ["", *desk.folders.packs()], value="", allow_custom_value=True,
            label_key="ui.audit.pack", info_key="ui.audit.no_pack", elem_id="audit-pack",
        )  # fmt: skip
        fpr = made(gr.Number, FALSE_POSITIVE_RATE, label_key="ui.audit.fpr", elem_id="audit-fpr")
    events = made(gr.Textbox, "", lines=2, label_key="ui.audit.events", elem_id="audit-events")
    go = made(gr.Button, value_key="ui.audit.go", variant="primary", elem_id="audit-go")
    answer = gr.HTML(elem_id="audit-answer")
    cards, report = gr.HTML(elem_id="audit-cards"), gr.HTML(elem_id="audit-report")
    asked = [suspect, reference, access, pack, fpr, events, desk.language]
    go.click(or_mistake(lambda *given: _audit(desk, *given)), asked, answer)

    def shown(language: str) -> list[Any]:
        choices = gr.update(choices=desk.suspects())
        job = desk.jobs.last("audit")
        if job is None:
            return [gr.skip(), gr.skip(), choices]
        text = (job.out / "result.json").read_text()
        record = _RECORDS[json.loads(text)["access"]].model_validate_json(text)
        strings = read_strings(language)
        page = (job.out / "audit.html").read_text()
        whole = framed(page, strings.text("ui.audit.report"))
        return [audit_cards(record, strings), whole, choices]

    def state() -> Any:
        return [job.out for job in desk.jobs.all if job.is_over]

    desk.followers.append(Follower([cards, report, suspect], shown, state))


def _audit(
    desk: Desk, suspect: str, reference: str, access: str, pack: str, fpr: float, events: str,
    language: str,
) -> Any:  # fmt: skip
    from tiltlm.events.parse import parse_event

    say, checked = marked(read_strings(language)), desk.folders.checked
    listed = [line.strip() for line in events.splitlines() if line.strip()]
    for event in listed:
        parse_event(event, where="event")
    options = {
        "suspect": checked(suspect),
        "reference": checked(reference),
        "access": access,
        "null": checked(pack) if pack else None,
        "fpr": fpr,
        "events": listed,
    }
    desk.jobs.add(
        say("ui.job.audit", model=suspect), Call("audit", options, desk.folders.free("audit"))
    )
    return paragraph(say("ui.load.queued", place=max(1, len(desk.jobs.waiting()))))
