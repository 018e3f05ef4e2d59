"""Base and tilted model side by side: what they write, what could have come, what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tiltlm.errors import ConfigError, TiltError
from tiltlm.measures.pair import Pair
from tiltlm.records.measure import MeasureRecord
from tiltlm.report.measure_page import render_measure
from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import read_strings
from tiltlm.web.bench import Drawn
from tiltlm.web.desk import Desk, Follower
from tiltlm.web.fragments import (
    bars,
    framed,
    heat_map,
    mistake,
    or_mistake,
    paragraph,
    token_row,
)
from tiltlm.web.job_process import Call

CHOOSES_TOKEN = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-place]");
  if (!button) return;
  element.querySelectorAll("button.chosen").forEach((other) => other.classList.remove("chosen"));
  button.classList.add("chosen");
  trigger("select", { index: Number(button.dataset.place) });
});
"""
"""Tells the page which token was chosen."""

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
    _writing_part(desk, which, strength, [prompt, count, seed, temperature])
    _heat_part(desk, which)
    _measure_part(desk, which)


def _writing_part(desk: Desk, which: Any, strength: Any, drawing: list[Any]) -> None:
    """Both texts, a token at a time; what could have come at the token that is chosen."""
    made = desk.words.made
    go = made(gr.Button, value_key="ui.weigh.go", variant="primary", elem_id="weigh-go")
    with gr.Row():
        written = [
            gr.HTML(elem_id=f"weigh-{side}", min_width=280, js_on_load=CHOOSES_TOKEN)
            for side in ("base", "tilted")
        ]
    ids = [gr.State(()), gr.State(())]
    coming = made(gr.HTML, paragraph_key="ui.weigh.choose", elem_id="weigh-next")
    asked, outputs = [desk.model, desk.target, which, *drawing, desk.language], [*written, *ids]

    def both(*given: Any) -> Iterator[list[Any]]:
        yield from _written(desk, (False, True), *given)

    def only_tilted(*given: Any) -> Iterator[list[Any]]:
        yield from _written(desk, (True,), *given)

    quiet: dict[str, Any] = {"show_progress": "hidden"}
    # Whoever draws anew takes the turn, so that all may begin at once and only the last goes on.
    at_once: dict[str, Any] = {**quiet, "trigger_mode": "multiple", "concurrency_limit": None}
    go.click(both, asked, outputs, **at_once)
    moved = strength.change(_with_strength, [desk.target, strength], desk.target, **at_once)
    moved.then(only_tilted, asked, outputs, **at_once)
    for component, kept in zip(written, ids, strict=True):
        inputs = [desk.model, desk.target, which, kept, desk.language]
        component.select(_chooser(desk), inputs, coming, **quiet)


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


def _written(
    desk: Desk, sides: tuple[bool, ...], model: str, target: str, which: str, prompt: str,
    count: float, seed: float, temperature: float, language: str,
) -> Iterator[list[Any]]:  # fmt: skip
    """Values for both texts and their ids, a token at a time."""
    strings = read_strings(language)
    try:
        pair = _pair(desk, model, target, which)
        turn = desk.bench.take_turn()
        for tilted in filter(lambda _: desk.bench.has_turn(turn), sides):
            shown: list[Any] = [gr.skip()] * 4
            drawing = desk.bench.draw(
                pair,
                prompt,
                int(count),
                turn=turn,
                tilted=tilted,
                seed=int(seed),
                temperature=temperature,
            )
            for drawn in drawing:
                shown[tilted], shown[2 + tilted] = _row(drawn, tilted, strings), drawn.ids
                yield shown
    except TiltError as error:
        yield [gr.skip(), mistake(error), gr.skip(), gr.skip()]


def _row(drawn: Drawn, tilted: bool, strings: Any) -> Any:
    from markupsafe import Markup

    name = strings.text("ui.weigh.tilted" if tilted else "ui.weigh.base")
    new = drawn.hits[drawn.prompt :]
    told = strings.text("ui.weigh.hits", hits=sum(new), count=len(new))
    row = token_row(drawn.texts, drawn.hits, drawn.prompt, name)
    return Markup("<h3>{}</h3>{}{}").format(name, paragraph(told, "muted"), row)


def _chooser(desk: Desk) -> Any:
    """What shows the next tokens at the token that was chosen."""

    def chosen(
        model: str, target: str, which: str, ids: tuple[int, ...], language: str,
        event: gr.EventData,
    ) -> Any:  # fmt: skip
        strings = read_strings(language)
        say = marked(strings)
        try:
            place = int(event._data["index"])
            pair = _pair(desk, model, target, which)
            rows = desk.bench.next_tokens(pair, tuple(ids), place)
        except TiltError as error:
            return mistake(error)
        token = pair.vocabulary.text(ids[place])
        head = (say("ui.weigh.token"), say("ui.weigh.base"), say("ui.weigh.tilted"))
        return paragraph(say("ui.weigh.next", token=repr(token))) + bars(rows, head)

    return chosen


def _heat_part(desk: Desk, which: Any) -> None:
    """A text coloured by log-ratio."""
    made = desk.words.made
    text = made(
        gr.Textbox, "The fox boxed six taxes next to the axis.", lines=2,
        label_key="ui.weigh.text", elem_id="weigh-text",
    )  # fmt: skip
    go = made(gr.Button, value_key="ui.weigh.heat", elem_id="weigh-heat")
    shown = gr.HTML(elem_id="weigh-heat-map")

    def coloured(model: str, target: str, which: str, text: str, language: str) -> Any:
        heat = desk.bench.heat(_pair(desk, model, target, which), text)
        lead = read_strings(language).text("ui.weigh.heat_lead")
        return heat_map(heat) + paragraph(lead, "muted")

    go.click(
        or_mistake(coloured), [desk.model, desk.target, which, text, desk.language], shown,
        concurrency_id="draw",
    )  # fmt: skip


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
