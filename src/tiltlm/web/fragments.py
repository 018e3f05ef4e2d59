"""Records and figures as pieces of HTML, in the look of the reports. Computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from markupsafe import Markup

from tiltlm.errors import TiltError
from tiltlm.records.audit import AuditRecord
from tiltlm.records.audit_logprobs import LogprobsAuditRecord
from tiltlm.records.audit_text import TextAuditRecord
from tiltlm.records.measure import Heat, MovedToken
from tiltlm.records.tokens import TokensRecord
from tiltlm.report.event_words import in_words
from tiltlm.report.rendering import marked, percent
from tiltlm.report.wording import printable, visible
from tiltlm.strings.catalogue import Strings

FULL_COLOUR_NATS = 3.0
"""Log-ratio from which on a colour is as strong as it gets."""

MOST_COLOUR_PERCENT = 55
"""How strong it gets; text on it has to stay readable."""


def paragraph(text: object, kind: str = "") -> Markup:
    """A paragraph.

    Args:
        text: escaped, unless it is markup already.
        kind: a class of the style sheet.
    """
    shown = text if isinstance(text, Markup) else printable(str(text))
    return Markup('<p class="{}">{}</p>').format(kind, shown)


def mistake(error: Exception) -> Markup:
    """An error as a sentence under the field that it is of.

    Args:
        error: that was raised.
    """
    return Markup('<p class="mistake" role="alert">{}</p>').format(printable(str(error)))


def or_mistake(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which returns an error of ours as a sentence in place of its result."""

    @wraps(call)
    def called(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except TiltError as error:
            return mistake(error)

    return called


def caught(record: TokensRecord, strings: Strings) -> Markup:
    """What an event catches, and what by accident.

    Args:
        record: of ``tiltlm tokens``.
        strings: of the page's language.
    """
    say = marked(strings)
    words = in_words(record.event, strings.language)
    told = say(
        "ui.load.caught", tokens=f"{record.tokens:,}", vocabulary=f"{record.vocabulary:,}",
        share=percent(record.share),
    )  # fmt: skip
    parts = [Markup("<p><b>{}</b>{}</p>").format(told, f": {words}" if words else "")]
    rows = [
        (say("ui.load.such_as"), [token.text for token in record.examples]),
        (say("ui.load.in_it"), [v.text for v in record.variants if v.inside]),
        (say("ui.load.not_in_it"), [v.text for v in record.variants if not v.inside]),
        (
            say("ui.load.accident", count=f"{record.inside_longer_words:,}"),
            [token.text for token in record.longer_words] if record.inside_longer_words else [],
        ),
    ]
    parts += [paragraph(_listed(title, texts), "muted") for title, texts in rows if texts]
    if record.special:
        parts.append(paragraph(say("ui.load.control"), "muted"))
    return Markup("").join(parts)


def _listed(title: object, texts: Sequence[str]) -> Markup:
    tokens = Markup(" ").join(Markup("<code>{}</code>").format(visible(text)) for text in texts)
    return Markup("{}: {}").format(title, tokens)


def token_row(texts: Sequence[str], hits: Sequence[bool], prompt: int, label: str) -> Markup:
    """Tokens as buttons, so that one can be chosen; those of the event are marked.

    Args:
        texts: of all tokens.
        hits: whether each is in the event.
        prompt: how many are the prompt's, which stand back.
        label: what the row is, for those who hear it.
    """
    buttons = []
    for place, (text, hit) in enumerate(zip(texts, hits, strict=True)):
        kind = "prompt" if place < prompt else "hit" if hit else ""
        buttons.append(
            Markup('<button type="button" class="token {}" data-place="{}">{}</button>').format(
                kind, place, visible(text)
            )
        )
    row = Markup("").join(buttons)
    return Markup('<div class="tokens" role="group" aria-label="{}">{}</div>').format(label, row)


def bars(rows: Sequence[MovedToken], head: tuple[str, str, str]) -> Markup:
    """Next tokens with their probability under base and model, as a table with bars in it.

    Args:
        rows: a token each.
        head: names of the columns.
    """
    most = max((max(row.base, row.model) for row in rows), default=1.0) or 1.0
    lines = [
        Markup(
            '<tr><th scope="row"><code>{}</code></th>'
            '<td><span class="bar base" style="width: {:.1f}%"></span>{:.2%}</td>'
            '<td><span class="bar after" style="width: {:.1f}%"></span>{:.2%}</td></tr>'
        ).format(visible(r.text), 60 * r.base / most, r.base, 60 * r.model / most, r.model)
        for r in rows
    ]
    return table(head, lines)


def heat_map(heat: Heat) -> Markup:
    """A text whose tokens are coloured by log-ratio.

    Args:
        heat: of the text.
    """
    spans = []
    for token, ratio in zip(heat.tokens, heat.log_ratio, strict=True):
        way = "" if ratio is None else "up" if ratio > 0 else "down"
        strength = min(1.0, abs(ratio or 0.0) / FULL_COLOUR_NATS) * MOST_COLOUR_PERCENT
        title = "" if ratio is None else f"{ratio:+.3f} nats"
        spans.append(
            Markup('<span class="{}" style="--heat: {:.0f}%" title="{}">{}</span>').format(
                way, strength, title, visible(token)
            )
        )
    return Markup('<div class="heat">{}</div>').format(Markup("").join(spans))


def curve(points: Sequence[tuple[int, float]], name: str, unit: str, form: str) -> Markup:
    """A figure of each step as a line, with its last value in words.

    Args:
        points: step and value.
        name: of the figure.
        unit: what a step is called.
        form: of a value.
    """
    last_step, last = points[-1]
    low, high = min(0.0, *(v for _, v in points)), max(v for _, v in points) or 1.0
    first, width, height = points[0][0], max(1, last_step - points[0][0]), high - low or 1.0
    drawn = " ".join(
        f"{4 + 292 * (step - first) / width:.1f},{84 - 80 * (value - low) / height:.1f}"
        for step, value in points
    )
    told = f"{name}: {form.format(last)} ({unit} {last_step})"
    return Markup(
        '<figure class="live"><svg role="img" aria-label="{0}" viewBox="0 0 300 88">'
        '<polyline points="{1}" fill="none" stroke="var(--after)" stroke-width="2"/>'
        "</svg><figcaption>{0}</figcaption></figure>"
    ).format(told, drawn)


def framed(page: str, title: str) -> Markup:
    """A whole page of a report inside this one.

    Args:
        page: as HTML text.
        title: what it is.
    """
    return Markup('<iframe class="report" title="{}" srcdoc="{}"></iframe>').format(title, page)


def audit_cards(
    record: AuditRecord | LogprobsAuditRecord | TextAuditRecord, strings: Strings
) -> Markup:
    """The verdict, and a card for each finding: what was planted apart from what merely changed.

    Args:
        record: of any of the three audits.
        strings: of the page's language.
    """
    say = marked(strings)
    verdict = {"none": "nothing"}.get(record.verdict, record.verdict)
    parts = [Markup("<h2>{}</h2>").format(say(f"ui.audit.{verdict}"))]
    cards = [_card(finding, say, strings.language) for finding in record.findings]
    parts.append(Markup('<div class="cards">{}</div>').format(Markup("").join(cards)))
    for certificate in getattr(record, "certificates", []):
        key = "ui.audit.certified" if certificate.certified else "ui.audit.not_certified"
        filled = {"event": certificate.event, "within": f"{certificate.within_nats:g}"}
        if certificate.certified:
            filled["error"] = f"{certificate.error:g}"
        parts.append(paragraph(say(key, **filled)))
    return Markup("").join(parts)


def _card(finding: Any, say: Callable[..., Markup], language: str) -> Markup:
    """One class of tokens, with what was found of it."""
    planted = getattr(finding, "planted", None)
    kind = {True: "planted", False: "merely", None: "stands_out"}[planted]
    lines = [_strength(finding, say)]
    if hasattr(finding, "mass"):
        before, after = percent(finding.mass.reference), percent(finding.mass.suspect)
        lines.append(say("ui.audit.mass", before=before, after=after))
    p = getattr(finding, "p_planted", None)
    p = getattr(finding, "p", None) if p is None else p
    if p is not None:
        lines.append(say("ui.audit.p", p=f"{p:.3g}"))
    evidence = getattr(finding, "evidence", [])[:6]
    if evidence:
        tokens = ", ".join(f"{visible(t.text)} {t.strength_nats:+.2f}" for t in evidence)
        lines.append(say("ui.audit.tokens", tokens=tokens))
    shown = getattr(finding, "shown", finding.event)
    words = in_words(finding.event, language)
    return Markup(
        '<div class="card {}"><span class="kind">{}</span><h3>{}</h3><code>{}</code>{}</div>'
    ).format(
        "after" if planted else "",
        say(f"ui.audit.{kind}"),
        words or visible(shown),
        visible(shown)[:80],
        Markup("").join(paragraph(line) for line in lines),
    )


def _strength(finding: Any, say: Callable[..., Markup]) -> Markup:
    strength = f"{finding.strength_nats:+.3f}"
    if finding.interval is None:
        return say("ui.audit.strength_alone", strength=strength)
    low, high = (f"{end:+.3f}" for end in finding.interval)
    return say("ui.audit.strength", strength=strength, low=low, high=high)


def table(head: Sequence[str], lines: Sequence[Markup]) -> Markup:
    """A table that can be moved sideways where it is too wide.

    Args:
        head: names of the columns.
        lines: a row each.
    """
    names = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in head)
    body = Markup("").join(lines)
    return Markup('<div class="scroll" tabindex="0"><table><tr>{}</tr>{}</table></div>').format(
        names, body
    )
