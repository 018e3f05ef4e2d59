"""Two models that write from one prompt and seed, and a text coloured by what they make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from tiltlm.errors import TiltError
from tiltlm.measures.pair import Pair
from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import Strings, read_strings
from tiltlm.web.bench import Drawn
from tiltlm.web.desk import Desk
from tiltlm.web.fragments import bars, heat_map, mistake, or_mistake, paragraph, token_row

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

AT_ONCE: dict[str, Any] = {
    "show_progress": "hidden", "trigger_mode": "multiple", "concurrency_limit": None,
}  # fmt: skip
"""How drawing is listened for: whoever draws anew takes the turn, so that all may begin at once."""


@dataclass(frozen=True)
class Sides:
    """Two models of a tab.

    Attributes:
        tab: what ids of elements begin with.
        asked: components that say which two.
        opened: a pair, of the values of `asked`.
        names: keys of what the first and the second are called.
        go: key of the button's words.
    """

    tab: str
    asked: Sequence[Any]
    opened: Callable[..., Pair]
    names: tuple[str, str] = ("ui.weigh.base", "ui.weigh.tilted")
    go: str = "ui.weigh.go"


def writing_part(desk: Desk, sides: Sides, drawing: Sequence[Any]) -> tuple[Any, list[Any], Any]:
    """Both texts, a token at a time; what could have come at the token that is chosen.

    Args:
        desk: what all tabs share.
        sides: that write.
        drawing: components of prompt, number of tokens, seed and temperature.

    Returns:
        what draws for the second alone, as gradio's events take it, with its inputs and outputs.
    """
    made = desk.words.made
    go = made(gr.Button, value_key=sides.go, variant="primary", elem_id=f"{sides.tab}-go")
    with gr.Row():
        written = [
            gr.HTML(elem_id=f"{sides.tab}-{side}", min_width=280, js_on_load=CHOOSES_TOKEN)
            for side in ("base", "tilted")
        ]
    ids = [gr.State(()), gr.State(())]
    coming = made(gr.HTML, paragraph_key="ui.weigh.choose", elem_id=f"{sides.tab}-next")
    inputs, outputs = [*sides.asked, *drawing, desk.language], [*written, *ids]

    def both(*given: Any) -> Iterator[list[Any]]:
        yield from _written(desk, sides, (False, True), *given)

    def second(*given: Any) -> Iterator[list[Any]]:
        yield from _written(desk, sides, (True,), *given)

    go.click(both, inputs, outputs, **AT_ONCE)
    for component, kept in zip(written, ids, strict=True):
        component.select(
            _chooser(desk, sides), [*sides.asked, kept, desk.language], coming,
            show_progress="hidden",
        )  # fmt: skip
    return second, inputs, outputs


def heat_part(desk: Desk, sides: Sides) -> None:
    """A text coloured by log-ratio.

    Args:
        desk: what all tabs share.
        sides: that read it.
    """
    made = desk.words.made
    text = made(
        gr.Textbox, "The fox boxed six taxes next to the axis.", lines=2,
        label_key="ui.weigh.text", elem_id=f"{sides.tab}-text",
    )  # fmt: skip
    go = made(gr.Button, value_key="ui.weigh.heat", elem_id=f"{sides.tab}-heat")
    shown = gr.HTML(elem_id=f"{sides.tab}-heat-map")

    def coloured(*given: Any) -> Any:
        *asked, text, language = given
        strings = read_strings(language)
        first, second = (strings.text(name) for name in sides.names)
        lead = strings.text("ui.weigh.heat_lead", base=first, tilted=second)
        return heat_map(desk.bench.heat(sides.opened(*asked), text)) + paragraph(lead, "muted")

    go.click(
        or_mistake(coloured), [*sides.asked, text, desk.language], shown, concurrency_id="draw"
    )


def _written(desk: Desk, sides: Sides, which: tuple[bool, ...], *given: Any) -> Iterator[list[Any]]:
    """Values for both texts and their ids, a token at a time."""
    *asked, prompt, count, seed, temperature, language = given
    strings = read_strings(language)
    try:
        pair = sides.opened(*asked)
        turn = desk.bench.take_turn()
        for tilted in filter(lambda _: desk.bench.has_turn(turn), which):
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
                shown[tilted] = _row(drawn, strings.text(sides.names[tilted]), pair, strings)
                shown[2 + tilted] = drawn.ids
                yield shown
    except TiltError as error:
        yield [gr.skip(), mistake(error), gr.skip(), gr.skip()]


def _row(drawn: Drawn, name: str, pair: Pair, strings: Strings) -> Markup:
    """What one of the two has drawn; how much of it is in the event, where there is one."""
    new = drawn.hits[drawn.prompt :]
    told = Markup("")
    if pair.target is not None:
        told = paragraph(strings.text("ui.weigh.hits", hits=sum(new), count=len(new)), "muted")
    row = token_row(drawn.texts, drawn.hits, drawn.prompt, name)
    return Markup("<h3>{}</h3>{}{}").format(name, told, row)


def _chooser(desk: Desk, sides: Sides) -> Any:
    """What shows the next tokens at the token that was chosen."""

    def chosen(event: gr.EventData, *given: Any) -> Any:
        *asked, ids, language = given
        say = marked(read_strings(language))
        try:
            place = int(event._data["index"])
            pair = sides.opened(*asked)
            rows = desk.bench.next_tokens(pair, tuple(ids), place)
        except TiltError as error:
            return mistake(error)
        token = pair.vocabulary.text(ids[place])
        head = (say("ui.weigh.token"), say(sides.names[0]), say(sides.names[1]))
        return paragraph(say("ui.weigh.next", token=repr(token))) + bars(rows, head)

    return chosen
