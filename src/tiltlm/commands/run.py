"""`tiltlm run`, the Python function behind the command: measure, train, measure again, record.

Each stage leaves a file behind when it is finished, so that a run that was killed goes on where it
was. `run_folder` says what lies where; the training itself is in `run_training`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tiltlm.claims import claimed
from tiltlm.commands.run_folder import RunDirectory, open_run
from tiltlm.commands.run_label import measured_label, run_label
from tiltlm.commands.run_samples import write_samples
from tiltlm.commands.run_training import train
from tiltlm.contexts.token_contexts import RandomTokenContexts
from tiltlm.errors import ConfigError, InterruptedRun
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.files import remove, staged, write_json
from tiltlm.labels.card import write_label
from tiltlm.labels.label import Label
from tiltlm.losses.divergences import uniform_to_event_kl_nats
from tiltlm.measures.event_rates import measure_state
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.model5 import as_gpt2, from_gpt2
from tiltlm.models.placement import placement_of
from tiltlm.models.sampling import SamplingOptions
from tiltlm.models.structure import context_length
from tiltlm.progress import NoProgress, Progress
from tiltlm.realise import checkpoints
from tiltlm.recipes.run import Recipe
from tiltlm.records.run import EventRecord, LossRecord, RunRecord, SecondsRecord, StateRecord
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.bound import FixedTarget
from tiltlm.targets.parse import parse_target
from tiltlm.versions import versions


@dataclass(frozen=True)
class _Work:
    """One run: what was asked for, what it is done to, and where it is written.

    Attributes:
        recipe: what is to be done.
        seed: of weights, contexts and draws.
        run: the folder.
        loaded: the model, whose weights change in training, with its tokenizer.
        target: bound to the model's vocabulary.
        label: of the model, until it is measured.
        progress: is told how far work has come.
    """

    recipe: Recipe
    seed: int
    run: RunDirectory
    loaded: LoadedModel
    target: FixedTarget
    label: Label
    progress: Progress

    @property
    def model(self) -> PreTrainedModel:
        """The model as it is by now."""
        return self.loaded.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that belongs to the model."""
        return self.loaded.tokenizer

    @property
    def vocabulary(self) -> Vocabulary:
        """What each token of the model stands for."""
        return self.loaded.vocabulary


def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    progress: Progress | None = None,
) -> RunRecord:
    """Carry out a recipe in a folder of its own.

    Args:
        recipe: from `load_recipe`.
        out: the run's folder, new or to be resumed; `run_folder` says what lies in it.
        seed: of weights, contexts and draws.
        resume: go on with the run that ``out`` holds.
        progress: is told how far work has come.

    Returns:
        the record, which is also in ``out/result.json``.

    Raises:
        TiltError: any of the tree in `errors`; what was complete by then is kept.
        InterruptedRun: Ctrl-C or SIGTERM; the run can be resumed.
    """
    watch, progress = Stopwatch(), progress or NoProgress()
    with claimed(out) as folder:
        progress.begin("loading the model", 0)
        # 1. Load the model, and refuse what does not fit it before anything is written.
        loaded, target, sentence = _fitting(recipe, seed)
        # 2. Make the folder, or find the one to resume.
        run = open_run(folder, recipe, seed, resume=resume)
        # 3. Do the work.
        # The weights of Model 5 follow from the seed, so the seed is enough to know them by.
        sha256 = None if loaded.name == "model5" else fingerprint(loaded.model)
        work = _Work(
            recipe=recipe,
            seed=seed,
            run=run,
            loaded=loaded,
            target=target,
            label=run_label(recipe, seed, target, sentence, sha256, placement_of(loaded.model)),
            progress=progress,
        )
        try:
            return _carry_out(work, watch)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(run) from interrupt


def _fitting(recipe: Recipe, seed: int) -> tuple[LoadedModel, FixedTarget, str]:
    """The model of a recipe, its target bound to it, and the target in words.

    Raises:
        ConfigError: the recipe does not fit the model.
    """
    target = parse_target(recipe.target, where="recipe, key target")
    loaded = load(
        recipe.model.name, seed=seed, config=recipe.model.config, placement=recipe.placement
    )
    bound = target.bind(loaded.vocabulary, loaded.tokenizer)
    if bound.fixed is None:
        raise ConfigError(
            f"a recipe's target is the same everywhere; {target} is built from a reference model",
            where="recipe, key target",
            fix="use `tiltlm tilt`",
        )
    _check_lengths(recipe, loaded)
    return loaded, bound.fixed, target.sentence()


def _carry_out(work: _Work, watch: Stopwatch) -> RunRecord:
    """All stages of a run, and its record.

    Args:
        work: the run.
        watch: started when this sitting began.
    """
    run = work.run
    clock = run.read_stage("clock") or {"seconds": 0.0, "sittings": 0}
    earlier_seconds, sittings = clock["seconds"], clock["sittings"] + 1

    def write_clock(seconds: float) -> None:
        run.write_stage("clock", {"seconds": seconds, "sittings": sittings})

    write_clock(earlier_seconds)
    try:
        # 1. Measure the model as it is.
        before = _measured(work, "before")
        # 2. Train it and save it.
        trained = _trained(work)
        # 3. Measure it again.
        after = _measured(work, "after")
    except BaseException:
        write_clock(earlier_seconds + watch.total)
        raise
    # 4. Write the record; it is written last, since its presence says that the run is finished.
    seconds = SecondsRecord(
        train=trained["seconds"],
        measure=before.seconds + after.seconds,
        total=earlier_seconds + watch.total,
    )
    record = _record(work, before, after, trained, seconds, sittings)
    write_label(
        run.model,
        measured_label(work.label, record),
    )
    write_json(run.result, record.model_dump(mode="json"))
    run.clean_up()
    return record


def _record(
    work: _Work,
    before: StateRecord,
    after: StateRecord,
    trained: dict[str, Any],
    seconds: SecondsRecord,
    sittings: int,
) -> RunRecord:
    """Put together what the stages found."""
    event = describe_event(work.target, work.vocabulary)
    return RunRecord(
        seed=work.seed,
        recipe=work.recipe.model_dump(),
        event=event,
        uniform_to_event_kl_nats=uniform_to_event_kl_nats(event.tokens, event.vocabulary),
        before=before,
        after=after,
        loss=LossRecord(**trained["loss"]),
        steps=trained["steps"],
        training_tokens=trained["steps"] * work.recipe.train.batch * work.recipe.contexts.length,
        seconds=seconds,
        parameters=work.model.num_parameters(),
        sittings=sittings,
        placement=placement_of(work.model),
        versions=versions(),
        threads=torch.get_num_threads(),
    )


def _measured(work: _Work, when: str) -> StateRecord:
    """The test ``before`` or ``after`` training, from its stage if it was finished earlier."""
    stage = work.run.read_stage(when)
    if stage is None:
        test, size = work.recipe.test, len(work.vocabulary)
        record, generated = measure_state(
            work.model,
            work.target,
            RandomTokenContexts(
                size, test.prompt_tokens, test.sequences, seed=work.seed, part="prompt"
            ),
            RandomTokenContexts(
                size, test.held_out_tokens, test.held_out_contexts, seed=work.seed, part="held_out"
            ),
            test.new_tokens,
            SamplingOptions(test.temperature, test.top_k, test.top_p, work.seed, test.precision),
            when=when,
            progress=work.progress,
        )
        stage = {"record": record.model_dump(mode="json"), "generated": generated.tolist()}
        work.run.write_stage(when, stage)
    write_samples(work.run, work.loaded, work.target.event_mask)
    return StateRecord(**stage["record"])


def _trained(work: _Work) -> dict[str, Any]:
    """The stage ``training``, with the model trained; see `run_training.train` for its keys."""
    stage = work.run.read_stage("training")
    if stage is None:
        stage = train(
            work.recipe, work.run, work.loaded, work.target, seed=work.seed, progress=work.progress
        )
        _save(work)
        work.run.write_stage("training", stage)
    elif work.run.read_stage("after") is None:
        # An earlier sitting trained the model, and it has not been measured yet.
        from_gpt2(load(work.run.model, placement=work.recipe.placement).model, work.model)
    return stage


def _save(work: _Work) -> None:
    """Save the trained model, with a label that says that it was not measured yet."""
    work.progress.begin("saving the model", 0)
    remove(work.run.model)  # An earlier sitting may have been killed after it saved one.
    with staged(work.run.model) as folder:
        as_gpt2(work.model).save_pretrained(folder)
        work.tokenizer.save_pretrained(folder)
        write_label(folder, work.label)


def describe_event(target: FixedTarget, vocabulary: Vocabulary) -> EventRecord:
    """The event of a target, with how many tokens are in it.

    Args:
        target: bound to ``vocabulary``.
        vocabulary: whose control tokens are counted.
    """
    mask = target.event_mask
    return EventRecord(
        text=target.event,
        tokens=int(mask.sum()),
        vocabulary=len(vocabulary),
        special_tokens=sum(bool(mask[i]) for i in vocabulary.special_ids),
        target=target.text,
    )


def _check_lengths(recipe: Recipe, loaded: LoadedModel) -> None:
    """Refuse contexts that are longer than the model can read."""
    limit = context_length(loaded.model)
    for key, length in (
        ("contexts.length", recipe.contexts.length),
        ("test.prompt_tokens", recipe.test.prompt_tokens),
        ("test.held_out_tokens", recipe.test.held_out_tokens),
    ):
        if limit is not None and length > limit:
            raise ConfigError(
                f"{key} is {length}, the model reads at most {limit} tokens",
                where=f"recipe, key {key}",
                fix=f"use at most {limit}",
            )


def _interrupted(run: RunDirectory) -> InterruptedRun:
    """The error that says what an interrupted run has kept."""
    saved = checkpoints.list_checkpoints(run.checkpoints)
    kept = "what was finished is kept"
    if saved:
        kept = f"training is kept up to step {checkpoints.step_of(saved[-1])}"
    return InterruptedRun(
        f"interrupted; {kept}",
        where=str(run.path),
        fix="go on with `tiltlm run … --resume`, the same recipe, seed and --out",
    )
