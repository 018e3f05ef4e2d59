"""What every realisation begins with: a bound target, contexts in parts, the reference there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peft.tuners.tuners_utils import BaseTunerLayer

from tiltlm.contexts.for_target import ContextMaker
from tiltlm.contexts.reference import Reference
from tiltlm.contexts.splits import Split
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import CONTEXTS
from tiltlm.errors import ConfigError, ModelError
from tiltlm.labels.step import LabelBase, Step
from tiltlm.models.blocks import block_below
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.licences import licence_of
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.names import hub_name
from tiltlm.models.placement import held_dtype, placement_of
from tiltlm.models.places import locate
from tiltlm.models.rounded_weights import is_rounded
from tiltlm.progress import NoProgress, Progress
from tiltlm.realise.training_plan import TrainingPlan
from tiltlm.recipes.training import Training
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.parse import parse_target
from tiltlm.targets.target import Target


@dataclass
class Prepared:
    """A target bound to a model, and the reference at contexts in parts that share none.

    Attributes:
        loaded: the model, whose weights are still those of the reference.
        base: the model as a label names it.
        earlier: what was done to the model before, as its own label says.
        target: bound and fitted.
        sentence: the target in words.
        parts: contexts to fit on, to stop training by, and to take figures from.
        fit: the reference at the contexts to fit on.
        held_out: the reference at the contexts to take figures from.
        seed: of contexts, their split, and training.
        progress: told how far work has come.
        seconds: that each part of the work took.
    """

    loaded: LoadedModel
    base: LabelBase
    target: BoundTarget
    sentence: str
    parts: Split
    fit: Reference
    held_out: Reference
    seed: int
    progress: Progress
    seconds: dict[str, float]
    earlier: Sequence[Step] = ()


def prepare(
    model: LoadedModel | str,
    target: Target | str,
    contexts: TokenContexts | str | None = None,
    *,
    seed: int = 0,
    check: Callable[[BoundTarget], None] | None = None,
    retention: bool = True,
    training: Training | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Bind a target to a model, make and split contexts, and read the reference there.

    Args:
        model: a name for `load`, or what `load` returned.
        target: a target, or its text.
        contexts: contexts, or a source for `make_contexts`; the default is the model's own
            samples, which are kept in the cache. For `choices`, where the model should stay as it
            is besides its own prompts; the default is other prompts with the model's own answers.
        seed: of contexts, their split, and training.
        check: may refuse the bound target, before anything that takes time.
        retention: whether `choices` without contexts need those other prompts; decoding, which
            changes nothing at them, does not.
        training: how, where the target will be trained towards.
        progress: told how far work has come.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    progress = progress or NoProgress()
    loaded = load(model) if isinstance(model, str) else model
    loaded.model.eval()
    _check_has_no_adapter(loaded)
    target = parse_target(target) if isinstance(target, str) else target
    bound = target.bind(loaded.vocabulary, loaded.tokenizer)
    if check is not None:
        check(bound)
    plan = None if training is None else _plan(training, bound, loaded)
    base, watch = label_base(loaded), Stopwatch()
    maker = ContextMaker(loaded, seed, base.sha256, progress, _fewest_contexts(bound, plan))
    parts = maker.parts(bound, contexts, retention=retention)
    watch.lap("contexts")
    upper = plan is not None and plan.trigger_steps > 0
    fit, held_out = _read_reference(loaded, parts, base.sha256, progress, upper=upper)
    watch.lap("reference")
    prepared = Prepared(
        loaded,
        base,
        bound,
        target.sentence(),
        parts,
        fit,
        held_out,
        seed,
        progress,
        watch.seconds,
        _earlier_steps(loaded),
    )
    rebind(prepared, bound)
    return prepared


def rebind(prepared: Prepared, target: BoundTarget) -> None:
    """Take another target over the same model and contexts; fit it where it needs that.

    Args:
        prepared: whose target is replaced.
        target: bound to the same vocabulary.

    Raises:
        TargetError: the target cannot be fitted to these contexts.
    """
    watch = Stopwatch()
    if target.needs_fit():
        target.fit(lambda: prepared.fit.rows(target))
    prepared.target = target
    prepared.seconds["fit"] = watch.total


def _fewest_contexts(target: BoundTarget, plan: TrainingPlan | None) -> int:
    """Contexts that it takes to learn more than what makes a constant shift."""
    descends = plan is not None and not plan.solves
    return CONTEXTS if descends or target.shifts_vary else 0


def _check_has_no_adapter(loaded: LoadedModel) -> None:
    """Refuse a model that an earlier realisation is still in: it is not the base any more."""
    if any(isinstance(module, BaseTunerLayer) for module in loaded.model.modules()):
        raise ModelError(
            "an adapter is in the model already, so it is not the model that it was loaded as",
            where=type(loaded.model).__name__,
            fix="take it out with unload() of the tilted model, or load the model anew",
        )


def _plan(training: Training, target: BoundTarget, loaded: LoadedModel) -> TrainingPlan:
    """How to train; refuses to train all weights of a model whose weights were rounded."""
    plan = TrainingPlan.of(training, target)
    if plan.parameters == "full" and is_rounded(loaded.model):
        raise ConfigError(
            "rounded weights cannot be trained, only adapters beside them",
            where="training.parameters: full, with --quantization",
            fix="--parameters head or body+head, or leave out --quantization",
        )
    return plan


def _earlier_steps(loaded: LoadedModel) -> list[Step]:
    """What the model's own label says was done to it; nothing where it has none."""
    label = locate(loaded.name)[1] if loaded.name else None
    return label.chain if label else []


def label_base(loaded: LoadedModel) -> LabelBase:
    """How a label names a model.

    Args:
        loaded: whose weights are its own.
    """
    name = loaded.name or loaded.model.name_or_path or type(loaded.model).__name__
    return LabelBase(
        name=name,
        sha256=fingerprint(loaded.model),
        hub_name=hub_name(name),
        seed=loaded.seed,
        dtype=held_dtype(loaded.model),
        quantization=placement_of(loaded.model).quantization,
        config=loaded.config,
        license=licence_of(name),
    )


def _read_reference(
    loaded: LoadedModel,
    parts: Split,
    key: str | None,
    progress: Progress,
    *,
    upper: bool,
) -> tuple[Reference, Reference]:
    """The reference at the contexts to fit on, and at those to take figures from."""
    block = block_below(loaded.model) if upper else None
    count = len(parts.fit)
    progress.begin("reading the reference", count + len(parts.held_out))
    fit = Reference(loaded.model, parts.fit, key=key, advance=progress.advance, block=block)
    held_out = Reference(
        loaded.model,
        parts.held_out,
        head=fit.head,
        key=key,
        advance=lambda done: progress.advance(count + done),
        block=block,
    )
    progress.advance(count + len(parts.held_out))  # Where nothing had to be read, none was told of.
    return fit, held_out


def tune_reference(prepared: Prepared) -> Reference:
    """The reference at the contexts to stop training by.

    Args:
        prepared: whose model still has the reference's weights.
    """
    model, tune, fit = prepared.loaded.model, prepared.parts.tune, prepared.fit
    return Reference(model, tune, head=fit.head, key=prepared.base.sha256, block=fit.block)
