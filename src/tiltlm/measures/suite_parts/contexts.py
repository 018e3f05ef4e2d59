"""Effects at several kinds of context: own samples, random tokens, chat, text, languages."""

from __future__ import annotations

import math

from tiltlm.contexts import evaluation
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.measures.effects import by_position, effect_of, strength_parts, unmeasured_of
from tiltlm.measures.suite_parts.work import SuiteWork, first_of
from tiltlm.measures.token_changes import heat_of, token_changes_of
from tiltlm.measures.token_metrics import TokenMetrics, read_token_metrics
from tiltlm.models.structure import context_length
from tiltlm.records.measure import Effect
from tiltlm.statistics.comparisons import compare_ratio, compare_shift

MOST_CHATS = 16
"""Requests that the base answers at most."""


def measure_contexts(work: SuiteWork) -> None:
    """Read every kind of context through base and model."""
    for contexts in _kinds(work):
        metrics = _read(work, contexts)
        effect = _keep_effect(work, metrics)
        _compare_strength(work, metrics, effect)
        if contexts is work.own_samples:
            work.measured.moved = token_changes_of(metrics, work.pair.vocabulary)
            work.measured.heat = heat_of(metrics, work.pair.vocabulary)
    _measure_text(work)
    _measure_far(work)
    _measure_languages(work)


def _kinds(work: SuiteWork) -> list[TokenContexts]:
    """Contexts of every kind but text, made before any of them is read."""
    base, sizes, seed = work.pair.base, work.sizes, work.seed
    own = work.own_samples
    work.progress.begin("answers to requests", 1)
    count = min(sizes.contexts, MOST_CHATS)
    chats = evaluation.chats(base, count, sizes.length, seed, work.key)
    work.progress.advance(1)
    kinds = [own, evaluation.random_tokens(base, sizes.contexts // 2, sizes.length, seed)]
    if chats is None:
        work.missing("chat", "the model reads too few tokens for a request and an answer")
    else:
        kinds.append(chats)
    return kinds


def _read(work: SuiteWork, contexts: TokenContexts) -> TokenMetrics:
    work.progress.begin(f"reading: {contexts.kind}", len(contexts))
    return read_token_metrics(work.pair, contexts, work.progress.advance)


def _keep_effect(work: SuiteWork, metrics: TokenMetrics) -> Effect:
    """Keep effect and event mass by position, and say what of them could not be measured."""
    effect = effect_of(metrics)
    work.measured.effects.append(effect)
    edges = position_edges(max(len(ids) for ids in metrics.contexts.sequences))
    work.measured.buckets[effect.kind] = by_position(metrics, edges)
    for name, reason in unmeasured_of(metrics, effect).items():
        work.missing(f"{name}, {effect.kind}", reason)
    return effect


def _compare_strength(work: SuiteWork, metrics: TokenMetrics, effect: Effect) -> None:
    if effect.strength is not None:
        name = f"strength, {effect.kind}"
        work.compare(compare_shift(name, "context", *strength_parts(metrics), worth=0.1))


def _measure_text(work: SuiteWork) -> None:
    """Effect on real text, bits per byte of it, and one piece of it token by token."""
    if work.text_pieces is None:
        return
    metrics = _read(work, first_of(work.text_pieces, work.sizes.contexts))
    effect = _keep_effect(work, metrics)
    _compare_strength(work, metrics, effect)
    _compare_bits_per_byte(work, metrics)
    work.measured.heat = heat_of(metrics, work.pair.vocabulary)


def _compare_bits_per_byte(work: SuiteWork, metrics: TokenMetrics) -> None:
    lengths = [len(token) for token in work.pair.vocabulary.tokens]
    bytes_ = [float(sum(lengths[t] for t in row.tolist() if t >= 0)) for row in metrics.following]
    base, model = (
        [-nats / math.log(2) for nats in metrics.sums(f"next_{who}")] for who in ("base", "model")
    )
    per_byte = [(b / n, m / n) for b, m, n in zip(base, model, bytes_, strict=True)]
    work.keep_items("bits per byte of each piece", per_byte)
    work.compare(compare_ratio("bits per byte of text", "piece", base, model, bytes_, worth=0.01))


def _measure_far(work: SuiteWork) -> None:
    """Effect in contexts of text that are as long as the model can read."""
    limit, length = context_length(work.pair.base.model), work.sizes.far_length
    far = work.text_of(work.sizes.far, length) if work.sizes.far else None
    if far is None:
        return
    far.kind = "text, far on"
    if limit is not None and limit < length:
        work.missing(f"positions up to {length}", f"the model reads at most {limit} tokens at once")
    _keep_effect(work, _read(work, far))


def _measure_languages(work: SuiteWork) -> None:
    """Effect on one text in each of several languages, without intervals."""
    texts = evaluation.languages(work.pair.base)
    work.progress.begin("reading: languages", len(texts))
    reasons: dict[str, str] = {}
    for index, name in enumerate(texts.kind.split(", ")):
        text = texts.choose([index])
        text.kind = name
        metrics = read_token_metrics(work.pair, text)
        effect = effect_of(metrics)
        work.measured.languages.append(effect)
        reason = unmeasured_of(metrics, effect).get("strength")
        if reason is not None:
            reasons[name] = reason
        work.progress.advance(index + 1)
    if reasons:
        names, whys = ", ".join(reasons), "; ".join(dict.fromkeys(reasons.values()))
        work.missing(f"strength, {names}", whys)


def position_edges(length: int) -> list[int]:
    """Numbers of tokens between which event masses are averaged: powers of two up to a length.

    >>> position_edges(11)
    [0, 1, 2, 4, 8, 11]
    """
    edges = [0]
    while (nxt := max(1, 2 * edges[-1])) < length:
        edges.append(nxt)
    return [*edges, length]
