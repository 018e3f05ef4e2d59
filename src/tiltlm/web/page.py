"""The page as a whole: its tabs, the running job above them, and the switch of languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import Strings, languages, read_strings
from tiltlm.web.article_tab import article_tab
from tiltlm.web.audit_tab import audit_tab
from tiltlm.web.bench import Bench
from tiltlm.web.challenge_tab import challenge_tab
from tiltlm.web.desk import Desk
from tiltlm.web.folders import Folders
from tiltlm.web.fragments import curve, paragraph
from tiltlm.web.jobs import Job, Jobs
from tiltlm.web.load_tab import load_tab
from tiltlm.web.undo_tab import undo_tab
from tiltlm.web.weigh_tab import weigh_tab
from tiltlm.web.words import Words

TABS: Mapping[str, Callable[[Desk], None]] = {
    "load": load_tab,
    "weigh": weigh_tab,
    "audit": audit_tab,
    "undo": undo_tab,
    "challenge": challenge_tab,
    "article": article_tab,
}
"""What builds each tab, by the key of its name. A new tab is a function and a line here."""

LOOK_AGAIN_SECONDS = 1.0
"""How often an open page looks how far the jobs are."""


def build_page(roots: Sequence[Path], language: str = "en") -> Any:
    """The page, ready to be served.

    Args:
        roots: folders that it may read; what it makes goes into the first.
        language: in which it opens.

    Returns:
        gradio's ``Blocks``.

    Raises:
        ConfigError: a root is no folder, or there is no such language.
    """
    folders = Folders(roots)
    desk = Desk(folders, Bench(folders), Jobs(), Words(language))
    made = desk.words.made
    with gr.Blocks(title="tiltlm", analytics_enabled=False, fill_width=True) as page:
        desk.page = page
        with gr.Row(elem_id="head"):
            gr.HTML("<h1>tiltlm</h1>")
            desk.language = made(
                gr.Radio, [(name, code) for code, name in languages().items()], value=language,
                label_key="ui.language", elem_id="language",
            )  # fmt: skip
        made(gr.HTML, paragraph_key="ui.lead")
        with gr.Row(elem_id="job", elem_classes="job"):
            work = gr.HTML(elem_id="job-shown", scale=5)
            stop = made(
                gr.Button, value_key="ui.job.stop", visible=False, elem_id="job-stop", scale=1,
                variant="stop",
            )  # fmt: skip
        with gr.Tabs(elem_id="tabs"):
            for key, build in TABS.items():
                with made(gr.Tab, label_key=f"ui.tabs.{key}", id=key, elem_id=f"tab-{key}"):
                    build(desk)
        _follow(desk, work, stop)
        stop.click(lambda: desk.jobs.stop(), None, None)
        desk.language.change(
            lambda chosen: desk.words.updates(chosen), desk.language, desk.words.components,
            show_progress="hidden",
        )  # fmt: skip
    return page


def _follow(desk: Desk, work: Any, stop: Any) -> None:
    """Keep what is shown of the jobs up to date, from the moment that the page is opened."""
    seen = gr.State(None)
    outputs = [component for follower in desk.followers for component in follower.outputs]

    def now(language: str, before: Any) -> list[Any]:
        job = desk.jobs.current()
        running = job is not None and job.state == "running"
        values: list[Any] = [_shown(desk.jobs, read_strings(language)), gr.update(visible=running)]
        keys = [language, *(repr(follower.key()) for follower in desk.followers)]
        for number, follower in enumerate(desk.followers, 1):
            is_new = before is None or before[0] != language or before[number] != keys[number]
            values += follower.shown(language) if is_new else [gr.skip()] * len(follower.outputs)
        return [keys, *values]

    def opened(language: str) -> list[Any]:
        return now(language, None)

    settings: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}
    desk.page.load(opened, desk.language, [seen, work, stop, *outputs], **settings)
    timer = gr.Timer(LOOK_AGAIN_SECONDS)
    timer.tick(now, [desk.language, seen], [seen, work, stop, *outputs], **settings)


def _shown(jobs: Jobs, strings: Strings) -> Markup:
    """The job that runs or ran last, and how many wait."""
    job, say = jobs.current(), marked(strings)
    if job is None:
        return paragraph(say("ui.job.none"), "muted")
    parts = [
        Markup('<p role="status"><b>{}</b>: {}</p>').format(job.name, say(f"ui.job.{job.state}"))
    ]
    if job.state == "running":
        parts.append(_bar(job, say))
    if job.error is not None:
        parts.append(Markup('<p class="mistake" role="alert">{}</p>').format(job.error))
    elif job.is_over:
        parts.append(paragraph(say("ui.job.kept", out=str(job.out)), "muted"))
    if waiting := len(jobs.waiting()):
        parts.append(paragraph(say("ui.job.queue", count=waiting), "muted"))
    curves = [
        curve(job.curves[name], say(f"ui.job.{key}"), say("ui.job.step"), form)
        for name, key, form in (
            ("loss", "loss", "{:.3f}"), ("mass", "mass", "{:.1%}"), ("gap closed", "gap", "{:.3f}"),
        )
        if len(job.curves.get(name, [])) > 1
    ]  # fmt: skip
    if curves:
        parts.append(Markup('<div class="curves">{}</div>').format(Markup("").join(curves)))
    return Markup("").join(parts)


def _bar(job: Job, say: Callable[..., Markup]) -> Markup:
    """How far the part is that a job is at."""
    told = say("ui.job.steps", done=job.done, total=job.total) if job.total else Markup("")
    value = Markup('value="{}" max="{}"').format(job.done, job.total) if job.total else Markup("")
    return Markup(
        '<p class="muted">{0} {1} {2}</p><progress aria-label="{0}" {3}></progress>'
    ).format(job.part, told, job.note, value)
