"""Base and tilted model side by side: what they write, what could have come, what was measured."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tiltlm.errors import ConfigError
from tiltlm.measures.pair import Pair
from tiltlm.records.measure import MeasureRecord
from tiltlm.report.measure_page import render_measure
from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import read_strings
from tiltlm.web.desk import Desk, Follower
from tiltlm.web.fragments import framed, or_mistake, paragraph
from tiltlm.web.job_process import Call
from tiltlm.web.side_by_side import AT_ONCE, Sides, heat_part, writing_part

LOADED = ""
"""Stands for what the tab Load says, decoded."""


def weigh_tab(desk: Desk) -> None:
    """Put the parts of the tab into the page that is being built.

    Args:
        desk: what all tabs share.
    """
    made = desk.words.made
    made(gr.HTML, paragraph_key="ui.weigh.lead")
    with gr.Row():
        which = made(
            gr.Dropdown, _choices(desk, desk.words.language), value=LOADED, allow_custom_value=True,
            label_key="ui.weigh.which", elem_id="weigh-which",
        )  # fmt: skip
        strength = made(
            gr.Slider, -6, 6, 1, step=0.1, label_key="ui.load.strength", elem_id="weigh-strength"
        )
    prompt = made(
        gr.Textbox, "Once upon a time", label_key="ui.weigh.prompt", elem_id="weigh-prompt"
    )
    with gr.Row():
        seed = made(
            gr.Number, 0, precision=0, minimum=0, label_key="ui.weigh.seed", elem_id="weigh-seed"
        )
        count = made(
            gr.Slider, 5, 200, 40, step=5, label_key="ui.weigh.count", elem_id="weigh-count"
        )
        temperature = made(
            gr.Slider, 0.1, 2, 1, step=0.1, label_key="ui.weigh.temperature", elem_id="weigh-heat-t"
        )
    sides = Sides("weigh", [desk.model, desk.target, which], lambda *given: _pair(desk, *given))
    writing = writing_part(desk, sides, [prompt, count, seed, temperature])
    moved = strength.change(_with_strength, [desk.target, strength], desk.target, **AT_ONCE)
    moved.then(*writing, **AT_ONCE)
    heat_part(desk, sides)
    _measure_part(desk, which)


def _choices(desk: Desk, language: str) -> list[tuple[str, str]]:
    """What can be weighed: what is loaded, then what was saved."""
    loaded = read_strings(language).text("ui.weigh.loaded")
    return [(loaded, LOADED), *((name, name) for name in desk.folders.tilted())]


def _pair(desk: Desk, model: str, target: str, which: str) -> Pair:
    return desk.bench.open(which) if which else desk.bench.decode(model, target)


def _with_strength(target: str, strength: float) -> str:
    """A tilt with another strength; any other target stays as it is."""
    event, comma, _ = target.rpartition(",")
    return f"{event}, {strength:g})" if comma and target.startswith("tilt(") else target


def _measure_part(desk: Desk, which: Any) -> None:
    """A measurement as a job, and the page of the newest."""
    made = desk.words.made
    go = made(gr.Button, value_key="ui.weigh.measure", elem_id="weigh-measure")
    answer = gr.HTML(elem_id="weigh-answer")
    report = gr.HTML(elem_id="weigh-report")

    def measure(which: str, language: str) -> Any:
        say = marked(read_strings(language))
        if not which:
            raise ConfigError(say("ui.weigh.only_saved"))
        call = Call("measure", {"model": desk.folders.checked(which)}, desk.folders.free("measure"))
        desk.jobs.add(say("ui.job.measure", model=which), call)
        return paragraph(say("ui.load.queued", place=max(1, len(desk.jobs.waiting()))))

    go.click(or_mistake(measure), [which, desk.language], answer)

    def shown(language: str) -> list[Any]:
        job = desk.jobs.last("measure")
        choices = gr.update(choices=_choices(desk, language))
        if job is None:
            return [gr.skip(), choices]
        record = MeasureRecord.model_validate_json((job.out / "measure.json").read_text())
        title = read_strings(language).text("ui.weigh.measured")
        return [framed(render_measure(record), title), choices]

    def state() -> Any:
        return [job.out for job in desk.jobs.all if job.is_over]

    desk.followers.append(Follower([report, which], shown, state))
