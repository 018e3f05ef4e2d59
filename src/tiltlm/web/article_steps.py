"""What the eight steps of the article show, as pieces of HTML; every number is the library's."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

from markupsafe import Markup

from tiltlm.events.parse import parse_event
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.records.run import RunRecord
from tiltlm.report.rendering import marked, percent
from tiltlm.report.run_page import read_run, second_look
from tiltlm.report.run_plots import loss_plot, mass_plot
from tiltlm.report.wording import visible
from tiltlm.strings.catalogue import Strings, read_strings
from tiltlm.targets.fixed import uniform
from tiltlm.web.fragments import curve, paragraph
from tiltlm.web.jobs import Job

TOKENS = (" fox", " box", " the", " a", ".")
"""Five tokens to do the arithmetic on by hand; the first two contain an x."""


@cache
def _gpt2() -> tuple[Any, Vocabulary, Any]:
    """The article's tokenizer, its vocabulary, and the mask of tokens with an x."""
    from tiltlm.models.gpt2 import gpt2_tokenizer

    tokenizer = gpt2_tokenizer()
    vocabulary = Vocabulary.from_tokenizer(tokenizer)
    return tokenizer, vocabulary, parse_event("contains('x')").mask(vocabulary)


@cache
def _five() -> Any:
    """(5,) the article's target on the five tokens, as probabilities."""
    vocabulary = Vocabulary(tuple(token.encode() for token in TOKENS))
    target = uniform(parse_event("contains('x')")).bind(vocabulary)
    return target.log_probs(None, [target.start()]).exp()


def title(step: int, strings: Strings) -> Markup:
    """The number and the name of a step.

    Args:
        step: from 1.
        strings: of the page's language.
    """
    names = strings.tree["ui"]["article"]["steps"]
    told = strings.text("ui.article.step", step=step)
    return Markup('<p class="muted" role="status">{}</p><h2>{}. {}</h2>').format(
        told, step, names[step - 1]
    )


def mask(text: str, language: str) -> Markup:
    """The tokens of a text, each with its 1 or 0.

    Args:
        text: of whoever looks.
        language: of the page.
    """
    say = marked(read_strings(language))
    tokenizer, vocabulary, mask = _gpt2()
    spans = [
        Markup('<span class="{}">{}<sub>{}</sub></span>').format(
            "hit" if mask[i] else "", visible(vocabulary.text(i)), int(mask[i])
        )
        for i in tokenizer(text)["input_ids"][:200]
    ]
    count = int(mask.sum())
    told = say(
        "ui.article.mask_count", tokens=count, vocabulary=f"{len(vocabulary):,}",
        share=percent(count / len(vocabulary)),
    )  # fmt: skip
    row = Markup('<div class="text">{}</div>').format(Markup("").join(spans))
    return row + paragraph(told)


def target(language: str) -> Markup:
    """Q on the whole vocabulary in a sentence, and on five tokens as bars.

    Args:
        language: of the page.
    """
    say = marked(read_strings(language))
    count = int(_gpt2()[2].sum())
    told = say("ui.article.q", share=f"1/{count} = {1 / count:.5f}", tokens=count)
    return paragraph(told) + _bars([("Q", _five().tolist())])


def by_hand(*given: Any) -> Markup:
    """The loss on five tokens, term by term.

    Args:
        given: five weights, at least one above 0; then the language.
    """
    *weights, language = given
    say = marked(read_strings(language))
    q, p = _five(), _normalised(weights)
    rows = []
    for token, one, other in zip(TOKENS, q.tolist(), p.tolist(), strict=True):
        term = one * math.log(one / other) if one and other else (math.inf if one else 0.0)
        rows.append(
            Markup(
                '<tr><th scope="row"><code>{}</code></th><td>{:.3f}</td><td>{:.3f}</td>'
                "<td>{:.4f}</td></tr>"
            ).format(token, one, other, term)
        )
    head = Markup(
        '<tr><th scope="col">{}</th><th scope="col">q</th><th scope="col">p</th>'
        '<th scope="col">{}</th></tr>'
    ).format(say("ui.weigh.token"), say("ui.article.term"))
    table = Markup('<div class="scroll" tabindex="0"><table>{}{}</table></div>').format(
        head, Markup("").join(rows)
    )
    total = say("ui.article.sum", nats=f"{_kl(q, p):.4f}")
    return (
        _bars([("Q", q.tolist()), ("P", p.tolist())])
        + table
        + Markup('<p class="sum" role="status">{}</p>').format(total)
    )


def order(chosen: str, *given: Any) -> Markup:
    """What kl_div makes of both orders of its arguments, for the P of the step before.

    Args:
        chosen: ``right`` or ``swapped``.
        given: five weights, then the language.
    """
    *weights, language = given
    say = marked(read_strings(language))
    q, p = _five(), _normalised(weights)
    shown = _bars([("Q", q.tolist()), ("P", p.tolist())])
    if chosen == "right":
        told, value = say("ui.article.order_right"), f"{_kl(q, p):.4f}"
    else:
        told, divergence = say("ui.article.order_swapped"), _kl(p, q)
        forbidden = ", ".join(
            repr(token) for token, one in zip(TOKENS, q.tolist(), strict=True) if one == 0
        )
        value = (
            say("ui.article.infinite", tokens=forbidden)
            if math.isinf(divergence)
            else f"{divergence:.4f}"
        )
    return shown + Markup('<p class="sum" role="status"><code>{}</code> = {}</p>').format(
        told, value
    )


def watch(job: Job | None, strings: Strings) -> Markup:
    """Loss and event mass of a run as it goes on; its plots once it is over.

    Args:
        job: of the run; None where there is none.
        strings: of the page's language.
    """
    say = marked(strings)
    if job is None or not job.curves.get("loss"):
        return paragraph(say("ui.article.watch_none"))
    if record := _record(job):
        plots = [loss_plot(record, strings), mass_plot(record, strings)]
        figures = [Markup("<figure>{}</figure>").format(Markup(plot.svg)) for plot in plots]
        return Markup('<div class="curves">{}</div>').format(Markup("").join(figures))
    drawn = [
        curve(job.curves[name], say(f"ui.job.{name}"), say("ui.job.step"), form)
        for name, form in (("loss", "{:.3f}"), ("mass", "{:.1%}"))
        if len(job.curves.get(name, [])) > 1
    ]
    return Markup('<div class="curves">{}</div>').format(Markup("").join(drawn))


def read(job: Job | None, strings: Strings) -> Markup:
    """What the model of a run wrote before and after training.

    Args:
        job: of the run.
        strings: of the page's language.
    """
    say = marked(strings)
    if job is None or _record(job) is None:
        return paragraph(say("ui.article.watch_none"))
    lines = (job.out / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    parts = []
    for when in ("before", "after"):
        parts.append(Markup("<h3>{}</h3>").format(say(f"run.{when}_training")))
        for sample in map(json.loads, lines):
            if sample["when"] == when:
                spans = [
                    Markup('<span class="{}">{}</span>').format("hit" if hit else "", visible(text))
                    for text, hit in zip(sample["tokens"], sample["hits"], strict=True)
                ]
                parts.append(Markup('<div class="text">{}</div>').format(Markup("").join(spans)))
    return Markup("").join(parts)


def look(job: Job | None, strings: Strings) -> Markup:
    """The four figures of the article that need a second look, with those of the run.

    Args:
        job: of the run.
        strings: of the page's language.
    """
    record = None if job is None else _record(job)
    if record is None:
        return paragraph(strings.text("ui.article.watch_none"))
    items = [Markup("<li>{}</li>").format(text) for text in second_look(record, strings)]
    return Markup("<ol>{}</ol>").format(Markup("").join(items))


def _record(job: Job) -> RunRecord | None:
    """The record of a run that is over."""
    return read_run(job.out) if job.is_over and (job.out / "result.json").is_file() else None


def _normalised(weights: Any) -> Any:
    """(5,) probabilities of five weights; all alike where all are 0."""
    import torch

    given = torch.tensor([max(0.0, float(w or 0.0)) for w in weights])
    return given / given.sum() if float(given.sum()) else torch.full((5,), 0.2)


def _kl(target: Any, model: Any) -> float:
    """KL(target ‖ model) of (5,) probabilities, in nats."""
    from tiltlm.losses.divergences import forward_kl

    return float(forward_kl(target.log()[None], model.log()[None])[0])


def _bars(rows: list[tuple[str, list[float]]]) -> Markup:
    """Distributions over the five tokens as bars."""
    parts = []
    for name, shares in rows:
        cells = [
            Markup(
                '<div><span class="bar {}" style="height: {:.0f}px"></span><code>{}</code>'
                "<span>{:.2f}</span></div>"
            ).format("after" if name == "Q" else "base", 4 + 90 * share, token, share)
            for token, share in zip(TOKENS, shares, strict=True)
        ]
        parts.append(
            Markup('<div class="upright"><b>{}</b>{}</div>').format(name, Markup("").join(cells))
        )
    return Markup("").join(parts)
