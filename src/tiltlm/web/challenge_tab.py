"""A sealed challenge: look at its models, guess, and see whether the auditor was nearer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from tiltlm.challenges.sealing import MODELS, key_path, read_challenge, read_key
from tiltlm.commands.challenge import SCORE
from tiltlm.commands.tokens import tokens_of
from tiltlm.defaults import FALSE_POSITIVE_RATE
from tiltlm.errors import ConfigError, TiltError
from tiltlm.measures.pair import Pair
from tiltlm.records.challenge import ChallengeScoreRecord
from tiltlm.report.rendering import marked
from tiltlm.strings.catalogue import read_strings
from tiltlm.web.challenge_fragments import challenge_told, guesses_table, scores
from tiltlm.web.desk import Desk, Follower
from tiltlm.web.fragments import caught, mistake, or_mistake, paragraph
from tiltlm.web.job_process import Call
from tiltlm.web.side_by_side import Sides, heat_part, writing_part

TOKENS = 40
"""Drawn of each model, to look at."""

Guesses = dict[str, dict[str, dict[str, Any]]]
"""Fields of an `AnswerRecord`, by the name of the model, by the folder of the challenge."""


def challenge_tab(desk: Desk) -> None:
    """Put the parts of the tab into the page that is being built.

    Args:
        desk: what all tabs share.
    """
    made, found, bases = desk.words.made, desk.folders.challenges(), desk.bases()
    made(gr.HTML, paragraph_key="ui.challenge.lead")
    with gr.Row():
        folder = made(
            gr.Dropdown, found, value=found[0] if found else None, allow_custom_value=True,
            label_key="ui.challenge.folder", info_key="ui.challenge.folder_info",
            elem_id="challenge-folder",
        )  # fmt: skip
        reference = made(
            gr.Dropdown, bases, value=bases[0], allow_custom_value=True,
            label_key="ui.audit.reference", elem_id="challenge-reference",
        )  # fmt: skip
    told = gr.HTML(elem_id="challenge-told")
    model = made(gr.Dropdown, [], label_key="ui.load.model", elem_id="challenge-model")
    _look_part(desk, [folder, model, reference])
    # Of whoever looks, kept by the browser, so that a reload loses none.
    guesses = gr.BrowserState({}, storage_key="tiltlm-guesses")
    shown = _guess_part(desk, folder, model, guesses)
    _judge_part(desk, folder, reference, guesses)

    def chosen(folder: str | None, guesses: Guesses, language: str) -> list[Any]:
        return _chosen(desk, folder, guesses, language)

    def said_again(folder: str | None, guesses: Guesses, language: str) -> list[Any]:
        told, _, shown = _chosen(desk, folder, guesses, language)
        return [told, shown]

    asked = [folder, guesses, desk.language]
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    folder.change(chosen, asked, [told, model, shown], **quiet)
    desk.page.load(chosen, asked, [told, model, shown], **quiet)
    desk.language.change(said_again, asked, [told, shown], **quiet)
    desk.page.load(lambda: gr.update(choices=desk.folders.challenges()), None, folder, **quiet)


def _chosen(desk: Desk, folder: str | None, guesses: Guesses, language: str) -> list[Any]:
    """What is known of a challenge, its models, and what was guessed of them."""
    strings = read_strings(language)
    if not folder:
        return [paragraph(marked(strings)("ui.challenge.none")), gr.update(choices=[]), ""]
    try:
        record = read_challenge(Path(desk.folders.checked(folder)))
    except TiltError as error:
        return [mistake(error), gr.update(choices=[], value=None), ""]
    names = [model.name for model in record.models]
    guessed = guesses_table(record, guesses.get(folder, {}), strings)
    return [challenge_told(record, strings), gr.update(choices=names, value=names[0]), guessed]


def _model_path(desk: Desk, folder: str | None, model: str | None) -> str:
    """The folder of a model of a challenge."""
    if not folder or not model:
        raise ConfigError("no challenge was chosen", fix="choose one above")
    return desk.folders.checked(str(Path(desk.folders.checked(folder)) / MODELS / model))


def _look_part(desk: Desk, asked: list[Any]) -> None:
    """The model that is chosen beside the reference: what both write, and a text in colours."""
    made = desk.words.made
    with gr.Row():
        prompt = made(
            gr.Textbox, "Once upon a time", label_key="ui.weigh.prompt",
            elem_id="challenge-prompt", scale=3,
        )  # fmt: skip
        seed = made(
            gr.Number, 0, precision=0, minimum=0, label_key="ui.weigh.seed",
            elem_id="challenge-seed", scale=1,
        )  # fmt: skip

    def opened(folder: str | None, model: str | None, reference: str) -> Pair:
        return desk.bench.beside(_model_path(desk, folder, model), reference)

    names = ("ui.audit.reference", "ui.audit.suspect")
    sides = Sides("challenge", asked, opened, names, "ui.challenge.look")
    writing_part(desk, sides, [prompt, gr.State(TOKENS), seed, gr.State(1.0)])
    heat_part(desk, sides)


def _guess_part(desk: Desk, folder: Any, model: Any, guesses: Any) -> Any:
    """How likely the model was tilted, and towards what; the table of all guesses."""
    made = desk.words.made
    with gr.Row():
        said = made(
            gr.Slider, 0, 1, 0.5, step=0.01, label_key="ui.challenge.said",
            elem_id="challenge-said",
        )  # fmt: skip
        event = made(
            gr.Textbox, "", label_key="ui.challenge.event", info_key="ui.challenge.event_info",
            elem_id="challenge-event",
        )  # fmt: skip
    catches = gr.HTML(elem_id="challenge-caught", elem_classes="live-text")
    note = made(gr.Button, value_key="ui.challenge.note", elem_id="challenge-note")
    shown = gr.HTML(elem_id="challenge-guesses")

    def is_caught(folder: str | None, model: str | None, event: str, language: str) -> Any:
        if not event.strip():
            return ""
        vocabulary = desk.bench.vocabulary(_model_path(desk, folder, model))
        return caught(tokens_of(event, vocabulary, examples=8), read_strings(language))

    gr.on(
        [event.input, desk.language.change], or_mistake(is_caught),
        [folder, model, event, desk.language], catches, trigger_mode="always_last",
        show_progress="hidden", concurrency_limit=None,
    )  # fmt: skip

    def noted(
        folder: str | None, model: str | None, said: float, event: str, guesses: Guesses,
        language: str,
    ) -> list[Any]:  # fmt: skip
        try:
            path = _model_path(desk, folder, model)
            if event.strip():
                tokens_of(event, desk.bench.vocabulary(path))
            record = read_challenge(Path(desk.folders.checked(folder or "")))
        except TiltError as error:
            return [gr.skip(), mistake(error), gr.skip()]
        guess = {"tilted": said, "event": event.strip() or None}
        ours = {**guesses.get(folder or "", {}), model or "": guess}
        table = guesses_table(record, ours, read_strings(language))
        return [{**guesses, folder or "": ours}, gr.skip(), table]

    note.click(
        noted, [folder, model, said, event, guesses, desk.language], [guesses, catches, shown],
        show_progress="hidden",
    )  # fmt: skip
    return shown


def _judge_part(desk: Desk, folder: Any, reference: Any, guesses: Any) -> None:
    """The auditor's turn as a job, and who was nearer."""
    made = desk.words.made
    with gr.Row():
        pack = made(
            gr.Dropdown, ["", *desk.folders.packs()], value="", allow_custom_value=True,
            label_key="ui.audit.pack", info_key="ui.audit.no_pack", elem_id="challenge-pack",
        )  # fmt: skip
        fpr = made(
            gr.Number, FALSE_POSITIVE_RATE, label_key="ui.audit.fpr", elem_id="challenge-fpr"
        )
    made(gr.HTML, paragraph_key="ui.challenge.sealed")
    go = made(gr.Button, value_key="ui.challenge.go", variant="primary", elem_id="challenge-judge")
    answer, result = gr.HTML(elem_id="challenge-answer"), gr.HTML(elem_id="challenge-scores")
    asked = [folder, reference, pack, fpr, guesses, desk.language]
    go.click(or_mistake(lambda *given: _judge(desk, *given)), asked, answer)

    def shown(language: str) -> list[Any]:
        job = desk.jobs.last("challenge")
        if job is None or not (job.out / SCORE / "score.json").is_file():
            return [gr.skip()]
        text = (job.out / SCORE / "score.json").read_text(encoding="utf-8")
        record = ChallengeScoreRecord.model_validate_json(text)
        return [scores(record, read_strings(language))]

    def state() -> Any:
        return [job.out for job in desk.jobs.all if job.is_over]

    desk.followers.append(Follower([result], shown, state))


def _judge(
    desk: Desk, folder: str | None, reference: str, pack: str, fpr: float, guesses: Guesses,
    language: str,
) -> Any:  # fmt: skip
    say, checked = marked(read_strings(language)), desk.folders.checked
    guessed = guesses.get(folder or "", {})
    if not guessed:
        raise ConfigError(read_strings(language).text("ui.challenge.first"))
    path = checked(folder or "")
    # Whether it can be opened in the end should be known before hours of audits.
    read_key(Path(checked(str(key_path(Path(path))))))
    options = {
        "folder": path,
        "reference": checked(reference),
        "answers": {"who": read_strings(language).text("ui.challenge.who"), "models": guessed},
        "null": checked(pack) if pack else None,
        "fpr": fpr,
    }
    call = Call("challenge", options, desk.folders.free("challenge"))
    desk.jobs.add(say("ui.job.challenge", folder=Path(path).name), call)
    return paragraph(say("ui.load.queued", place=max(1, len(desk.jobs.waiting()))))
