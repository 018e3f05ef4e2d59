"""Guesses and scores of a challenge as pieces of HTML, in the page's language. Computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from tiltlm.records.challenge import (
    ChallengeRecord,
    ChallengeScoreRecord,
    JudgedRecord,
    TruthRecord,
)
from tiltlm.report.event_words import in_words
from tiltlm.report.rendering import marked, percent
from tiltlm.report.wording import visible
from tiltlm.strings.catalogue import Strings
from tiltlm.web.fragments import paragraph, table

Say = Callable[..., Markup]


def challenge_told(record: ChallengeRecord, strings: Strings) -> Markup:
    """What everybody may know of a challenge.

    Args:
        record: of the challenge.
        strings: of the page's language.
    """
    ranges = record.ranges
    (low, high), (least, most) = ranges.strengths_nats, ranges.masses
    told = marked(strings)(
        "ui.challenge.holds", models=len(record.models), reference=record.reference["name"],
        share=percent(ranges.tilted_share), low=f"{low:g}", high=f"{high:g}",
        least=percent(least), most=percent(most), events=ranges.events,
    )  # fmt: skip
    return paragraph(told)


def guesses_table(
    record: ChallengeRecord, guesses: Mapping[str, Mapping[str, Any]], strings: Strings
) -> Markup:
    """What was guessed so far, a row for each model.

    Args:
        record: of the challenge.
        guesses: fields of an `AnswerRecord`, by the names of the models.
        strings: of the page's language.
    """
    say = marked(strings)
    rows = []
    for model in record.models:
        guess = guesses.get(model.name)
        said = say("ui.challenge.no_guess") if guess is None else f"{guess['tilted']:.2f}"
        event = guess and guess.get("event")
        rows.append(_row(model.name, [said, _event(event, strings) if event else ""]))
    head = (say("ui.load.model"), say("ui.challenge.said"), say("ui.challenge.event"))
    return Markup("<h3>{}</h3>{}").format(say("ui.challenge.guesses"), table(head, rows))


def scores(record: ChallengeScoreRecord, strings: Strings) -> Markup:
    """Everybody's scores, the best first, and their answers beside the truth.

    Args:
        record: of the scores.
        strings: of the page's language.
    """
    say = marked(strings)
    names = ("name", "log_score", "found", "wrongly", "named", "brier")
    rows = []
    for s in record.standings:
        interval = Markup("")
        if s.log_score_interval is not None:
            ends = " … ".join(f"{end:.2f}" for end in s.log_score_interval)
            interval = Markup(' <span class="muted">{}</span>').format(ends)
        cells = [
            Markup("{:.3f}{}").format(s.log_score_nats, interval),
            say("ui.challenge.of", count=s.found, all=s.tilted),
            say("ui.challenge.of", count=s.accused_wrongly, all=s.decoys),
            "–" if s.jaccard is None else f"{s.jaccard:.2f}",
            f"{s.brier:.3f}",
        ]
        rows.append(_row(s.who, cells))
    by_model = [
        _row(judged.truth.name, [_truth(judged.truth, say, strings), *_said(record, number, say)])
        for number, judged in enumerate(record.standings[0].judged)
    ]
    head = (say("ui.load.model"), say("ui.challenge.truth"), *(s.who for s in record.standings))
    return (
        Markup("<h2>{}</h2>").format(say("ui.challenge.scores"))
        + table([say(f"ui.challenge.{name}") for name in names], rows)
        + paragraph(say("ui.challenge.score_lead"), "muted")
        + table(head, by_model)
    )


def _said(record: ChallengeScoreRecord, number: int, say: Say) -> list[Markup | str]:
    """What everybody said of one model, with how well it was named."""

    def cell(judged: JudgedRecord) -> Markup | str:
        said = f"{judged.said:.2f}"
        if judged.jaccard is None:
            return said
        return say("ui.challenge.said_named", said=said, share=f"{judged.jaccard:.2f}")

    return [cell(standing.judged[number]) for standing in record.standings]


def _truth(truth: TruthRecord, say: Say, strings: Strings) -> Markup:
    """What was done to a model."""
    if not truth.tilted:
        return say("ui.challenge.not_tilted", decoy=say(f"ui.challenge.decoys.{truth.decoy}"))
    filled = {
        "event": _event(truth.event or "", strings),
        "strength": f"{truth.strength_nats or 0.0:+.2f}",
        "way": say(f"ui.challenge.ways.{truth.way}"),
    }
    if truth.trigger:
        return say("ui.challenge.waits", trigger=repr(truth.trigger), **filled)
    return say("ui.challenge.tilted", **filled)


def _event(event: str, strings: Strings) -> Markup:
    """An event in words, where there are any, beside its expression."""
    words = in_words(event, strings.language)
    code = Markup("<code>{}</code>").format(visible(event))
    return Markup("{}, {}").format(words, code) if words else code


def _row(name: str, cells: list[Any]) -> Markup:
    body = Markup("").join(Markup("<td>{}</td>").format(cell) for cell in cells)
    return Markup('<tr><th scope="row">{}</th>{}</tr>').format(visible(name), body)
