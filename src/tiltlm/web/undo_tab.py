"""Take a tilt back, and see what is left of it before and after."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import read_strings
from tiltlm.web.desk import Desk, Follower
from tiltlm.web.fragments import framed, or_mistake, paragraph
from tiltlm.web.job_process import Call

WAYS = ("label", "edit", "train", "decode", "interpolate")


def undo_tab(desk: Desk) -> None:
    """Put the parts of the tab into the page that is being built.

    Args:
        desk: what all tabs share.
    """
    made, tilted = desk.words.made, desk.folders.tilted()
    made(gr.HTML, paragraph_key="ui.undo.lead")
    with gr.Row():
        model = made(
            gr.Dropdown, tilted, value=tilted[0] if tilted else None, allow_custom_value=True,
            label_key="ui.undo.model", elem_id="undo-model",
        )  # fmt: skip
        reference = made(
            gr.Dropdown, ["", *desk.bases()], value="", allow_custom_value=True,
            label_key="ui.audit.reference", info_key="ui.undo.reference_info",
            elem_id="undo-reference",
        )  # fmt: skip
    by = made(
        gr.Radio, value="edit", label_key="ui.load.by", elem_id="undo-by",
        choice_keys={name: f"ui.undo.{name}" for name in WAYS},
    )  # fmt: skip
    target = made(
        gr.Textbox, "", label_key="ui.undo.target", info_key="ui.undo.target_info",
        elem_id="undo-target",
    )  # fmt: skip
    go = made(gr.Button, value_key="ui.undo.go", variant="primary", elem_id="undo-go")
    answer, report = gr.HTML(elem_id="undo-answer"), gr.HTML(elem_id="undo-report")
    asked = [model, reference, by, target, desk.language]
    go.click(or_mistake(lambda *given: _undo(desk, *given)), asked, answer)

    def shown(language: str) -> list[Any]:
        choices = gr.update(choices=desk.folders.tilted())
        job = desk.jobs.last("undo")
        if job is None:
            return [gr.skip(), choices]
        page = (job.out / "undo.html").read_text(encoding="utf-8")
        return [framed(page, read_strings(language).text("ui.undo.report")), choices]

    def state() -> Any:
        return [job.out for job in desk.jobs.all if job.is_over]

    desk.followers.append(Follower([report, model], shown, state))


def _undo(desk: Desk, model: str, reference: str, by: str, target: str, language: str) -> Any:
    say, checked = marked(read_strings(language)), desk.folders.checked
    options = {
        "model": checked(model or ""),
        "reference": checked(reference) if reference else None,
        "by": by,
        "target": target.strip() or None,
    }
    name = say("ui.job.undo", model=model, by=by)
    desk.jobs.add(name, Call("undo", options, desk.folders.free("undo")))
    return paragraph(say("ui.load.queued", place=max(1, len(desk.jobs.waiting()))))
