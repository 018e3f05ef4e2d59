"""Measure what was done to a model: the public function behind ``tiltlm measure``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer

from tiltlm.errors import ConfigError, ModelError, TargetError
from tiltlm.measures.opening import open_pair
from tiltlm.measures.pair import Pair
from tiltlm.measures.suite import measure_pair
from tiltlm.measures.suite_sizes import Sizes, Sources, sizes_of
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.placement import placement_of
from tiltlm.progress import Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.measure import MeasureRecord
from tiltlm.stopwatch import Stopwatch
from tiltlm.targets.bound import BoundTarget
from tiltlm.targets.parse import parse_target
from tiltlm.targets.target import Target
from tiltlm.versions import versions


def measure(
    model: LoadedModel | str | Path,
    base: LoadedModel | str | Path | None = None,
    target: BoundTarget | Target | str | None = None,
    *,
    suite: str | Sizes = "quick",
    sources: Sources | None = None,
    on_tokens: int | None = None,
    decodes: bool = False,
    keep_samples: bool = True,
    placement: Placement | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> MeasureRecord:
    """Measure what a tilt did to a model, what else it did, and how long it lasts.

    Args:
        model: what `load` returned, or a name for it; a name may also be that of a folder that
            ``tiltlm tilt`` wrote, whose label then names base and target.
        base: what the model was made from; None for the label's.
        target: whose event is measured: a target, its text, or what a realisation bound and
            fitted; None for the label's, or for no event at all.
        suite: ``quick``, ``full``, or sizes.
        sources: local files, and tasks.
        on_tokens: tokens to draw on, for the hit rate of each hundred; None for the suite's.
        decodes: whether the target is realised by decoding, so that ``model`` is the base itself.
        keep_samples: whether the base's own samples are kept in the cache.
        placement: of what is given by name, as for `load`.
        seed: of contexts and draws.
        progress: told of each part of the work.

    Returns:
        the figures; those that could not be measured are named in ``missing`` with the reason.

    Raises:
        ConfigError: an argument that cannot be used.
        ModelError: a model that cannot be loaded, or that has an unmerged adapter in it.
        VocabularyError: the two have different tokens.
        TargetError: the target has no strength yet.
        MeasurementError: logits that are not numbers.
    """
    watch = Stopwatch()
    sizes = sizes_of(suite, on_tokens)
    opened = _open(model, base, target, decodes, placement)
    base_sha256 = fingerprint(opened.pair.base.model)
    watch.lap("loading")
    key = base_sha256 if keep_samples else None
    measured = measure_pair(
        opened.pair, sizes, sources or Sources(), seed=seed, key=key, progress=progress
    )
    measured.seconds |= {**watch.seconds, "total": watch.total}
    return MeasureRecord(
        **opened.record_fields(base_sha256),
        **vars(measured),
        suite=suite if isinstance(suite, str) else "own sizes",
        seed=seed,
        versions=versions(),
    )


@dataclass(frozen=True)
class _Opened:
    """A pair with what its record says of where it came from."""

    pair: Pair
    model_name: str
    base_name: str
    by: str | None

    def record_fields(self, base_sha256: str) -> dict[str, Any]:
        """Fields of a `MeasureRecord` that say what was measured."""
        target = self.pair.target
        events = () if target is None else target.events
        return {
            "model": self.model_name,
            "base": {"name": self.base_name, "sha256": base_sha256},
            "target": None if target is None else target.text,
            "by": self.by,
            "event": " | ".join(event.text for event in events) or None,
            "wished_strength": None if target is None else _only_strength(target),
            "shares_body": self.pair.shares_body,
            "placement": placement_of(self.pair.base.model),
        }


def _open(
    model: LoadedModel | str | Path,
    base: LoadedModel | str | Path | None,
    target: BoundTarget | Target | str | None,
    decodes: bool,
    placement: Placement | None,
) -> _Opened:
    """Load what is given by name. Only a model by name alone can have a label."""
    by_name = not isinstance(model, LoadedModel) and not isinstance(base, LoadedModel)
    if by_name and not isinstance(target, BoundTarget) and not decodes:
        pair, base_name, label = open_pair(
            str(model),
            None if base is None else str(base),
            None if target is None else str(target),
            placement,
        )
        return _Opened(pair, str(model), base_name, None if label is None else label.by)
    if base is None:
        raise ConfigError("no base to measure against", fix="give it: measure(model, base, …)")
    loaded_base = _loaded(base, placement)
    loaded = loaded_base if decodes else _loaded(model, placement)
    for role, each in (("base", loaded_base), ("model", loaded)):
        _refuse_adapters(each, role)
    pair = Pair(loaded_base, loaded, _bound(target, loaded_base), decodes=decodes)
    by = "decode" if decodes else None
    return _Opened(pair, _name_of(loaded), _name_of(loaded_base), by)


def _loaded(model: LoadedModel | str | Path, placement: Placement | None) -> LoadedModel:
    return model if isinstance(model, LoadedModel) else load(model, placement=placement)


def _refuse_adapters(loaded: LoadedModel, role: str) -> None:
    """Refuse a model with an adapter in it.

    A realisation puts its adapter into the very model that it was given, so a base with one is
    no base any more.
    """
    if any(isinstance(module, BaseTunerLayer) for module in loaded.model.modules()):
        raise ModelError(
            f"an adapter is in the {role}, so it is not the model that it was loaded as",
            where=type(loaded.model).__name__,
            fix="save the tilted model and give its folder, or load the base anew",
        )


def _bound(target: BoundTarget | Target | str | None, base: LoadedModel) -> BoundTarget | None:
    if target is None or isinstance(target, BoundTarget):
        return target
    parsed = parse_target(target, where="target") if isinstance(target, str) else target
    bound = parsed.bind(base.vocabulary, base.tokenizer)
    if bound.needs_fit():
        raise TargetError(
            f"{bound.text} is fitted to contexts, and without that it has no strength",
            fix="give the target that the realisation fitted, or the folder that it was saved in",
        )
    return bound


def _name_of(loaded: LoadedModel) -> str:
    return loaded.name or type(loaded.model).__name__


def _only_strength(bound: BoundTarget) -> float | None:
    """The strength of a target that is one tilt, the same in every context; else None."""
    strengths = None if bound.shifts_vary else bound.strengths
    return strengths[0] if strengths and len(strengths) == 1 else None
