"""`tiltlm measure`, the Python function behind the command: open, measure, record, page."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tiltlm.errors import ConfigError, TargetError
from tiltlm.files import staged, write_json, write_text
from tiltlm.measure_records import MeasureRecord
from tiltlm.measures.found import SUITES, Sizes, Sources
from tiltlm.measures.pair import Pair
from tiltlm.measures.suite import measure_pair
from tiltlm.models import LoadedModel, load, vocabulary_size
from tiltlm.saving import check_out, fingerprint
from tiltlm.targets import BoundTarget, parse_target
from tiltlm.tilts import BoundTilt
from tiltlm.versions import versions
from tiltlm.vocabulary import Vocabulary
from tiltlm.watching import Watcher


def run_measure(
    model: str,
    out: Path | None = None,
    *,
    against: str | None = None,
    target: str | None = None,
    suite: str | Sizes = "quick",
    sources: Sources | None = None,
    on_tokens: int | None = None,
    seed: int = 0,
    watcher: Watcher | None = None,
) -> MeasureRecord:
    """Measure what was done to a model.

    Args:
        model: as for `load`; also a folder that ``tiltlm tilt`` wrote, ``decode`` included.
        out: a new folder for ``measure.json`` and ``measure.html``; None to write nothing.
        against: the base; by default the one that the model's label names.
        target: whose event is measured; by default the label's.
        suite: ``quick``, ``full``, or sizes.
        sources: local files, and tasks.
        on_tokens: draw so many tokens on, for the hit rate of each hundred; full draws 2,000.
        seed: of contexts and draws.
        watcher: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; ``out`` is then not there.
    """
    begin = time.monotonic()
    if isinstance(suite, str) and suite not in SUITES:
        raise ConfigError(f"no such suite: {suite!r}", fix="one of " + ", ".join(SUITES))
    if out is not None:
        check_out(out)
    sizes = SUITES[suite] if isinstance(suite, str) else suite
    if on_tokens is not None:
        sizes = replace(sizes, on=max(sizes.on, 4), on_tokens=on_tokens)
    pair, base_name, label = open_pair(model, against, target)
    key = fingerprint(pair.base.model)
    loading = time.monotonic() - begin
    found = measure_pair(pair, sizes, sources or Sources(), seed=seed, key=key, watcher=watcher)
    bound = pair.target
    strengths = bound.strength if isinstance(bound, BoundTilt) else []
    record = MeasureRecord(
        model=model,
        base={"name": base_name, "sha256": key},
        suite=suite if isinstance(suite, str) else "own sizes",
        target=None if bound is None else bound.text,
        by=label.get("by"),
        event=" | ".join(e.text for e in bound.events) if bound and bound.events else None,
        wished_strength=strengths[0] if len(strengths) == 1 else None,
        shares_body=pair.shares_body,
        seed=seed,
        versions=versions(),
        **{name: getattr(found, name) for name in _FOUND},
        seconds={**found.seconds, "loading": loading, "total": time.monotonic() - begin},
    )
    if out is not None:
        from tiltlm.report.measure_page import render_measure

        with staged(out) as folder:
            folder.mkdir(parents=True)
            write_json(folder / "measure.json", record.model_dump(mode="json"))
            write_text(folder / "measure.html", render_measure(record))
    return record


_FOUND = (
    "effects",
    "languages",
    "buckets",
    "drawn",
    "on",
    "comparisons",
    "items",
    "survivals",
    "moved",
    "heat",
    "missing",
)


def open_pair(
    model: str, against: str | None = None, target: str | None = None
) -> tuple[Pair, str, dict[str, Any]]:
    """Load a model and its base, with the target that its label names.

    Returns:
        the pair, the base's name, and the label ({} without one).

    Raises:
        ConfigError: no base was given and no label names one.
        VocabularyError: the two have different tokens.
    """
    folder, label = _labelled(model)
    base_name = against or _base_name(label)
    if base_name is None:
        raise ConfigError(
            "the model has no label that names its base",
            where=model,
            fix="give it: --against BASE",
        )
    named_model5 = base_name == "model5" and "recipe" in label
    base = load(
        base_name,
        seed=int(label.get("seed", 0)),
        config=label["recipe"]["model"]["config"] if named_model5 else None,
    )
    decodes = label.get("by") == "decode"
    tilted = base if decodes else load(folder)
    bound = _bound(target, label, base)
    if decodes and bound is None:
        raise ConfigError("a model by decode needs its target", where=model, fix="give --target")
    return Pair(base, tilted, bound, decodes=decodes), base_name, label


def _labelled(model: str) -> tuple[str, dict[str, Any]]:
    """The folder that holds the weights, and its label."""
    for folder in (Path(model), Path(model) / "model"):
        label = folder / "tilt.json"
        if label.is_file():
            try:
                found = json.loads(label.read_text(encoding="utf-8"))
                assert isinstance(found, dict)
            except (ValueError, AssertionError):
                raise ConfigError("the label is damaged", where=str(label)) from None
            return str(folder), found
    return model, {}


def _base_name(label: dict[str, Any]) -> str | None:
    base = label.get("base")
    name = base.get("name") if isinstance(base, dict) else base
    return name if isinstance(name, str) else None


def _bound(text: str | None, label: dict[str, Any], base: LoadedModel) -> BoundTarget | None:
    source = text or label.get("target")
    if source is None:
        return None
    target = parse_target(source, where="--target" if text else "tilt.json")
    vocabulary = Vocabulary.from_tokenizer(base.tokenizer, vocabulary_size(base.model))
    bound = target.bind(vocabulary, base.tokenizer)
    if bound.needs_fit():
        strengths = None if text else label.get("strengths")
        if not strengths or not isinstance(bound, BoundTilt):
            raise TargetError(
                f"{bound.text} is fitted to contexts, and no label says with what strength",
                fix='give the tilt itself: --target "tilt(EVENT, STRENGTH)"',
            )
        bound.strength = list(strengths)
    return bound
