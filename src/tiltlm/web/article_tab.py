"""The article in eight steps, for a classroom: each can be seen, moved, and run."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import read_strings
from tiltlm.web import article_steps
from tiltlm.web.desk import Desk, Follower
from tiltlm.web.fragments import or_mistake, paragraph
from tiltlm.web.job_process import Call

STEPS = 8

SMALL = [
    "model.config.n_layer=2",
    "model.config.n_head=4",
    "model.config.n_embd=64",
    "model.config.n_positions=64",
    "contexts.length=16",
    "train.steps=40",
    "test.prompt_tokens=16",
    "test.new_tokens=20",
    "test.held_out_tokens=32",
]
"""Changes of the recipe by which the experiment takes seconds."""


def article_tab(desk: Desk) -> None:
    """Put the parts of the tab into the page that is being built.

    Args:
        desk: what all tabs share.
    """
    made = desk.words.made
    at = gr.State(1)
    title = gr.HTML(elem_id="article-title")
    steps = []
    for number, build in enumerate((_mask, _q, _hand, _order, _run, _watch, _read, _look), start=1):
        with gr.Column(visible=number == 1, elem_id=f"article-{number}") as step:
            build(desk)
        steps.append(step)
    with gr.Row():
        back = made(gr.Button, value_key="ui.article.back", elem_id="article-back")
        forward = made(
            gr.Button, value_key="ui.article.forward", variant="primary", elem_id="article-forward"
        )

    def go(at: int, by: int, language: str) -> list[Any]:
        now = min(STEPS, max(1, at + by))
        shown = [gr.update(visible=number == now) for number in range(1, STEPS + 1)]
        return [now, article_steps.title(now, read_strings(language)), *shown]

    quiet: dict[str, Any] = {"show_progress": "hidden"}
    outputs = [at, title, *steps]
    back.click(lambda n, lang: go(n, -1, lang), [at, desk.language], outputs, **quiet)
    forward.click(lambda n, lang: go(n, 1, lang), [at, desk.language], outputs, **quiet)
    for changed in (desk.page.load, desk.language.change):
        changed(
            lambda n, lang: article_steps.title(n, read_strings(lang)), [at, desk.language], title,
            **quiet,
        )  # fmt: skip


def _live(desk: Desk, shown: Any, call: Any, inputs: list[Any], *changes: Any) -> None:
    """Show what a function makes of some inputs, now and whenever one of them changes.

    It is one listener, so that of several changes the last is shown, whichever is made first.
    """
    gr.on(
        [desk.page.load, desk.language.change, *changes], or_mistake(call),
        [*inputs, desk.language], shown, show_progress="hidden", trigger_mode="always_last",
        concurrency_limit=None,
    )  # fmt: skip


def _mask(desk: Desk) -> None:
    made = desk.words.made
    made(gr.HTML, paragraph_key="ui.article.mask")
    text = made(
        gr.Textbox, "The fox mixed six boxes of text.", label_key="ui.article.mask_text",
        elem_id="article-text",
    )  # fmt: skip
    shown = gr.HTML(elem_id="article-mask")
    _live(desk, shown, article_steps.mask, [text], text.input)


def _q(desk: Desk) -> None:
    shown = gr.HTML(elem_id="article-q")
    _live(desk, shown, article_steps.target, [])


def _hand(desk: Desk) -> None:
    desk.words.made(gr.HTML, paragraph_key="ui.article.hand")
    with gr.Row():
        weights = [
            gr.Slider(0, 10, 2, step=0.1, label=token, elem_id=f"article-p{number}", min_width=120)
            for number, token in enumerate(article_steps.TOKENS)
        ]
    desk.weights = weights
    shown = gr.HTML(elem_id="article-hand", elem_classes="live-text")
    _live(desk, shown, article_steps.by_hand, weights, *(w.change for w in weights))


def _order(desk: Desk) -> None:
    made = desk.words.made
    made(gr.HTML, paragraph_key="ui.article.order")
    order = made(
        gr.Radio, value="right", label_key="ui.article.order_name", elem_id="article-order",
        choice_keys={"right": "ui.article.order_right", "swapped": "ui.article.order_swapped"},
    )  # fmt: skip
    shown = gr.HTML(elem_id="article-order-shown", elem_classes="live-text")
    _live(
        desk,
        shown,
        article_steps.order,
        [order, *desk.weights],
        order.input,
        *(w.change for w in desk.weights),
    )


def _run(desk: Desk) -> None:
    made = desk.words.made
    made(gr.HTML, paragraph_key="ui.article.run")
    small = made(gr.Checkbox, True, label_key="ui.article.run_small", elem_id="article-small")
    go = made(gr.Button, value_key="ui.article.run_go", variant="primary", elem_id="article-run")
    answer = gr.HTML(elem_id="article-answer")

    def run(small: bool, language: str) -> Any:
        say = marked(read_strings(language))
        overrides = SMALL if small else []
        options = {"recipe": "quick", "overrides": overrides, "seed": 0, "language": language}
        desk.jobs.add(say("ui.job.run"), Call("run", options, desk.folders.free("article")))
        return paragraph(say("ui.load.queued", place=max(1, len(desk.jobs.waiting()))))

    go.click(or_mistake(run), [small, desk.language], answer)


def _watch(desk: Desk) -> None:
    desk.words.made(gr.HTML, paragraph_key="ui.article.watch")
    _follows_run(desk, "article-watch", article_steps.watch)


def _read(desk: Desk) -> None:
    desk.words.made(gr.HTML, paragraph_key="ui.article.read")
    _follows_run(desk, "article-read", article_steps.read)


def _look(desk: Desk) -> None:
    desk.words.made(gr.HTML, paragraph_key="ui.article.look")
    _follows_run(desk, "article-look", article_steps.look)


def _follows_run(desk: Desk, name: str, show: Any) -> None:
    """Show something of the newest run, as far as it is."""
    shown = gr.HTML(elem_id=name)

    def newest() -> Any:
        runs = [job for job in desk.jobs.all if job.call.command == "run"]
        return runs[-1] if runs else None

    def key() -> Any:
        job = newest()
        return None if job is None else (job.out, job.state, len(job.curves.get("loss", [])))

    def values(language: str) -> list[Any]:
        return [show(newest(), read_strings(language))]

    desk.followers.append(Follower([shown], values, key))
