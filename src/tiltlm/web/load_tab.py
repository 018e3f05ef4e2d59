"""Choose a model, write an event, say how much and how, and have it realised."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tiltlm.commands.tokens import tokens_of
from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import read_strings
from tiltlm.targets.parse import parse_target
from tiltlm.web.desk import Desk
from tiltlm.web.fragments import caught, or_mistake, paragraph
from tiltlm.web.job_process import Call

STEPS = 60
"""Steps of training, where the page is not told otherwise."""

FILLS_TARGET = "(event, strength) => `tilt(${event}, ${strength})`"
"""In the browser, so that whoever is quick at the button realises what stands there."""


def load_tab(desk: Desk) -> None:
    """Put the parts of the tab into the page that is being built.

    Args:
        desk: what all tabs share.
    """
    made = desk.words.made
    made(gr.HTML, paragraph_key="ui.load.lead")
    with gr.Row():
        model = made(
            gr.Dropdown, desk.bases(), value=desk.bases()[0], allow_custom_value=True,
            label_key="ui.load.model", info_key="ui.load.model_info", elem_id="load-model",
        )  # fmt: skip
        event = made(
            gr.Textbox, "contains('x')", label_key="ui.load.event", info_key="ui.load.event_info",
            elem_id="load-event",
        )  # fmt: skip
    said = gr.HTML(elem_id="load-caught", elem_classes="live-text")
    strength = made(
        gr.Slider, -6, 6, 1, step=0.1, label_key="ui.load.strength",
        info_key="ui.load.strength_info", elem_id="load-strength",
    )  # fmt: skip
    desk.target = made(
        gr.Textbox, "tilt(contains('x'), 1)", label_key="ui.load.target",
        info_key="ui.load.target_info", elem_id="load-target",
    )  # fmt: skip
    by = made(
        gr.Radio, value="decode", label_key="ui.load.by", elem_id="load-by",
        choice_keys={name: f"ui.load.{name}" for name in ("decode", "edit", "train")},
    )  # fmt: skip
    steps = made(
        gr.Slider, 10, 1200, STEPS, step=10, label_key="ui.load.steps", visible=False,
        elem_id="load-steps",
    )  # fmt: skip
    go = made(gr.Button, value_key="ui.load.go", variant="primary", elem_id="load-go")
    answer = gr.HTML(elem_id="load-answer", elem_classes="live-text")
    desk.model = model

    catches = or_mistake(lambda *given: _caught(desk, *given))
    gr.on(
        [event.input, model.change, desk.page.load, desk.language.change], catches,
        [event, model, desk.language], said, trigger_mode="always_last",
        show_progress="hidden", concurrency_limit=None,
    )  # fmt: skip
    for changed in (event.input, strength.change):
        changed(None, [event, strength], desk.target, js=FILLS_TARGET)
    by.change(
        lambda chosen: gr.update(visible=chosen == "train"), by, steps, show_progress="hidden"
    )
    realise = or_mistake(lambda *given: _realise(desk, *given))
    go.click(realise, [model, desk.target, by, steps, desk.language], answer)


def _caught(desk: Desk, event: str, model: str, language: str) -> Any:
    record = tokens_of(event, desk.bench.vocabulary(model), examples=16)
    return caught(record, read_strings(language))


def _realise(desk: Desk, model: str, target: str, by: str, steps: float, language: str) -> Any:
    say = marked(read_strings(language))
    parse_target(target, where="target")
    name = desk.folders.checked(model)
    if by == "decode":
        desk.bench.decode(model, target)
        return paragraph(say("ui.load.ready", target=target))
    options: dict[str, Any] = {"model": name, "target": target, "by": by}
    if by == "train":
        options["training"] = {"steps": int(steps)}
    call = Call("tilt", options, desk.folders.free("tilt"))
    desk.jobs.add(say("ui.job.tilt", model=model, by=by), call)
    return paragraph(say("ui.load.queued", place=max(1, len(desk.jobs.waiting()))))
