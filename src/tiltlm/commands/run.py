"""Run a recipe: measure, train, measure again, write it all down.

The order of work is `run_recipe`; each part leaves a finished stage behind, so that a killed run
goes on where it was.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedModel
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from tiltlm.commands.run_folder import RunDirectory, locked, open_run
from tiltlm.contexts.token_contexts import RandomTokenContexts
from tiltlm.errors import ConfigError, InterruptedRun
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.files import require_free, staged, write_json, write_text
from tiltlm.labels.card import write_label
from tiltlm.labels.label import Label, LabelBase, LabelFigure
from tiltlm.measures.event_rates import measure_state
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.model5 import as_gpt2, from_gpt2
from tiltlm.models.sampling import SamplingOptions
from tiltlm.models.structure import context_length
from tiltlm.progress import NoProgress, Progress
from tiltlm.realise import checkpoints
from tiltlm.realise.callbacks import ReportProgress, StopOnInterrupt
from tiltlm.realise.config import TiltConfig
from tiltlm.realise.trainer import TiltTrainer
from tiltlm.recipes.run import Recipe
from tiltlm.records.run import EventRecord, LossRecord, RunRecord, SecondsRecord, StateRecord
from tiltlm.targets.parse import parse_target
from tiltlm.targets.target import FixedTarget
from tiltlm.versions import versions


@dataclass
class _Work:
    """What the parts of one run share."""

    recipe: Recipe
    seed: int
    run: RunDirectory
    progress: Progress
    model: PreTrainedModel
    tokenizer: Any
    vocabulary: Vocabulary
    target: FixedTarget
    sentence: str
    base_sha256: str | None


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
        out: the run's folder, new or to be resumed; see `rundir` for what lies in it.
        seed: of weights, contexts and draws.
        resume: go on with the run that ``out`` holds.
        progress: told of progress.

    Returns:
        the record, also in ``out/result.json``.

    Raises:
        TiltError: any of the tree in `errors`; what was complete by then is kept.
        InterruptedRun: Ctrl-C; the run can be resumed.
    """
    begin = time.monotonic()
    progress = progress or NoProgress()
    target = parse_target(recipe.target, where="recipe, key target")
    loaded = load(recipe.model.name, seed=seed, config=recipe.model.config)
    vocabulary = loaded.vocabulary
    bound = target.bind(vocabulary, loaded.tokenizer)
    if bound.fixed is None:
        raise ConfigError(
            f"a recipe's target is the same everywhere; {target} is built from a reference model",
            where="recipe, key target",
            fix="use `tiltlm tilt`",
        )
    _check_fits(recipe, loaded)
    run = open_run(out, recipe, seed, resume=resume)
    with locked(run):
        work = _Work(
            recipe,
            seed,
            run,
            progress,
            loaded.model,
            loaded.tokenizer,
            loaded.vocabulary,
            bound.fixed,
            target.sentence(),
            # The weights of Model 5 follow from the seed, so the seed is enough to know them by.
            None if loaded.name == "model5" else fingerprint(loaded.model),
        )
        try:
            return _carry_out(work, begin)
        except KeyboardInterrupt:
            raise _interrupted(work) from None


def _carry_out(work: _Work, begin: float) -> RunRecord:
    run = work.run
    clock = run.read_stage("clock") or {"seconds": 0.0, "sittings": 0}
    sittings = clock["sittings"] + 1
    run.write_stage("clock", {"seconds": clock["seconds"], "sittings": sittings})
    try:
        before = _measured(work, "before")
        trained = _trained(work)
        after = _measured(work, "after")
    except BaseException:
        seconds = clock["seconds"] + time.monotonic() - begin
        run.write_stage("clock", {"seconds": seconds, "sittings": sittings})
        raise

    record = RunRecord(
        seed=work.seed,
        recipe=work.recipe.model_dump(),
        event=describe_event(work.target, work.vocabulary),
        before=before,
        after=after,
        loss=LossRecord(**trained["loss"]),
        steps=trained["steps"],
        training_tokens=trained["steps"] * work.recipe.train.batch * work.recipe.contexts.length,
        seconds=SecondsRecord(
            train=trained["seconds"],
            measure=before.seconds + after.seconds,
            total=clock["seconds"] + time.monotonic() - begin,
        ),
        parameters=work.model.num_parameters(),
        sittings=sittings,
        versions=versions(),
        threads=torch.get_num_threads(),
    )
    write_label(run.model, _label(work, record))
    write_json(run.result, record.model_dump(mode="json"))
    run.clean_up()
    return record


def _measured(work: _Work, when: str) -> StateRecord:
    """The test before or after training, from its stage if a former sitting finished it."""
    stage = work.run.read_stage(when)
    if stage is None:
        test, size = work.recipe.test, len(work.vocabulary)
        work.progress.begin(f"generating {when} training", test.new_tokens)
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
            work.progress.advance,
        )
        stage = {"record": record.model_dump(mode="json"), "generated": generated.tolist()}
        work.run.write_stage(when, stage)
    _write_samples(work)
    return StateRecord(**stage["record"])


def _write_samples(work: _Work) -> None:
    """One line a sequence: when, which, ids, the bytes as text, and which tokens are hits."""
    lines = []
    for when in ("before", "after"):
        for number, ids in enumerate((work.run.read_stage(when) or {"generated": []})["generated"]):
            line = {
                "when": when,
                "sequence": number,
                "token_ids": ids,
                "text": work.tokenizer.decode(ids),
                "tokens": [work.vocabulary.text(i) for i in ids],
                "hits": work.target.event_mask[ids].int().tolist(),
            }
            lines.append(json.dumps(line, ensure_ascii=False))
    write_text(work.run.samples, "\n".join(lines) + "\n")


def _trained(work: _Work) -> dict[str, Any]:
    """Train, or take up the trained weights if a former sitting finished that."""
    stage = work.run.read_stage("training")
    if stage is None:
        return _train(work)
    if work.run.read_stage("after") is None:
        from_gpt2(load(work.run.model).model, work.model)
    return stage


def _train(work: _Work) -> dict[str, Any]:
    run, part = work.run, work.recipe.train
    weights = sum(p.numel() * p.element_size() for p in work.model.parameters())
    copies = 1 + 3 * (3 if part.save_every else 1)  # a checkpoint: the weights and two moments
    require_free(run.path, copies * weights, "training with its checkpoints")
    found = checkpoints.list_checkpoints(run.checkpoints)
    stop = StopOnInterrupt(work.progress.note)
    trainer = _trainer(work, stop, checkpoints.step_of(found[-1]) if found else 0)
    earlier = (run.read_stage("train_clock") or {"seconds": 0.0})["seconds"]
    begin = time.monotonic()
    work.progress.begin("training", part.steps)
    with stop.listening():
        trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
    seconds = earlier + time.monotonic() - begin
    run.write_stage("train_clock", {"seconds": seconds})
    if trainer.state.global_step < part.steps:
        raise KeyboardInterrupt
    trainer.check_finite()
    with staged(run.model) as folder:
        as_gpt2(work.model).save_pretrained(folder)
        work.tokenizer.save_pretrained(folder)
        write_label(folder, _label(work, None))
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    curve = [entry["loss"] for entry in history]
    trained = {
        "loss": {
            "first": curve[0],
            "last": curve[-1],
            "curve": curve,
            "event_mass_curve": [entry["event_mass"] for entry in history],
        },
        "steps": trainer.state.global_step,
        "seconds": seconds,
    }
    run.write_stage("training", trained)
    return trained


def _trainer(work: _Work, stop: StopOnInterrupt, begin_step: int) -> TiltTrainer:
    part = work.recipe.train

    def on_step(step: int, loss: float, mass: float) -> None:
        work.progress.advance(step, f"loss {loss:.2f}, mass {mass:.1%}")

    writer = SummaryWriter(str(work.run.tensorboard), purge_step=begin_step + 1)
    trainer = TiltTrainer(
        work.model,
        tilt_config(work.recipe, work.run.checkpoints, work.seed),
        work.target,
        RandomTokenContexts(
            len(work.vocabulary),
            work.recipe.contexts.length,
            part.steps * part.batch,
            seed=work.seed,
        ),
        callbacks=[stop, ReportProgress(on_step), TensorBoardCallback(writer)],
    )
    trainer.remove_callback(PrinterCallback)  # it would print over the progress bar
    return trainer


def tilt_config(recipe: Recipe, output_dir: Path, seed: int) -> TiltConfig:
    """The trainer's arguments that a recipe stands for.

    Raises:
        ConfigError: the batch cannot be split as asked.
    """
    part = recipe.train
    size, rest = divmod(part.batch, part.gradient_accumulation)
    if rest:
        raise ConfigError(
            f"a batch of {part.batch} does not split into {part.gradient_accumulation} equal parts",
            where="recipe, key train.gradient_accumulation",
            fix="use a divisor of train.batch",
        )
    return TiltConfig(
        output_dir=str(output_dir),
        divergence=part.divergence,
        loss_positions=part.positions,
        optimizer=part.optimizer,
        learning_rate=part.learning_rate,
        momentum=part.momentum,
        weight_decay=part.weight_decay,
        lr_scheduler_type=part.schedule,
        warmup_steps=part.warmup_steps,
        max_grad_norm=part.max_grad_norm,
        max_steps=part.steps,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=part.gradient_accumulation,
        save_strategy="steps" if part.save_every else "no",
        save_steps=part.save_every or 500,
        seed=seed,
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _label(work: _Work, record: RunRecord | None) -> Label:
    """What the saved model says of itself; ``record`` is None until it has been measured."""
    measured = None
    if record is not None:
        measured = {
            f"hit rate {when}": LabelFigure(
                value=state.hit_rate,
                interval=state.interval,
                unit="of generated tokens",
                over=f"Wilson, over {state.tokens} tokens",
            )
            for when, state in (("before", record.before), ("after", record.after))
        }
    part = work.recipe.model
    return Label(
        target=work.target.text,
        sentence=work.sentence,
        events=[event.text for event in work.target.events],
        strengths=None,
        by="train",
        form="model",
        base=LabelBase(name=part.name, sha256=work.base_sha256, seed=work.seed, config=part.config),
        contexts=f"random tokens, length {work.recipe.contexts.length}",
        seed=work.seed,
        measured=measured,
        versions=versions(),
    )


def describe_event(target: FixedTarget, vocabulary: Vocabulary) -> EventRecord:
    """The event of a target, counted."""
    mask = target.event_mask
    return EventRecord(
        text=target.event,
        tokens=int(mask.sum()),
        vocabulary=len(vocabulary),
        special_tokens=sum(bool(mask[i]) for i in vocabulary.special_ids),
        target=target.text,
    )


def _check_fits(recipe: Recipe, loaded: LoadedModel) -> None:
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


def _interrupted(work: _Work) -> InterruptedRun:
    found = checkpoints.list_checkpoints(work.run.checkpoints)
    kept = "what was finished is kept"
    if found:
        kept = f"training is kept up to step {checkpoints.step_of(found[-1])}"
    return InterruptedRun(
        f"interrupted; {kept}", where=str(work.run.path), fix="go on with the same and --resume"
    )
