"""Draw tokens from a model: with a cache while the text fits its context, then sliding.

A model with learned positions cannot read past its context. The article goes on by reading the last
256 tokens anew for each token drawn; a cache cannot help there, since every token's position has
changed. Knows nothing of targets; a realisation by decoding is a logits processor like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tiltlm.errors import ConfigError, ModelError, ShapeError
from tiltlm.models.drawing import Draws
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.head import full_head
from tiltlm.models.key_value_cache import with_room
from tiltlm.models.precision import Precision, lower_precision
from tiltlm.models.seeding import seeded
from tiltlm.models.structure import can_keep_logits, context_length, input_device
from tiltlm.progress import Advance

POSITIONS_AT_ONCE = 512
"""Positions that a processor reads in one pass where all are read anew for each token.

Products in bfloat16 of 768 to 1,536 rows take up to twice as long a row as those of 512
(`docs/log.md`)."""


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are drawn.

    Args:
        temperature: logits are divided by it; above 0.
        top_k: only the k likeliest tokens; 0 for all.
        top_p: only the likeliest tokens that together have this probability; 1 for all.
        seed: of the draws.
        precision: of the body's matrix products; the residual stream stays in the model's own,
            and logits are float32 of a float32 product in any case. See `resolve_precision`.

    Raises:
        ConfigError: a value out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature}; it must be above 0")
        if self.top_k < 0:
            raise ConfigError(f"top_k is {self.top_k}; it must be at least 0 (0: all tokens)")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it must be above 0 and at most 1")

    def warpers(self) -> LogitsProcessorList:
        """The transformers warpers that these options stand for, in their usual order."""
        warpers = LogitsProcessorList()
        if self.temperature != 1.0:
            warpers.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k:
            warpers.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1.0:
            warpers.append(TopPLogitsWarper(self.top_p))
        return warpers


def sample(
    model: PreTrainedModel,
    prompts: torch.Tensor,
    new_tokens: int,
    options: SamplingOptions | None = None,
    advance: Advance | None = None,
    processor: LogitsProcessor | None = None,
) -> torch.Tensor:
    """Continue each prompt by ``new_tokens`` tokens; an end-of-text token does not stop it.

    Args:
        model: a causal language model; its training mode is restored.
        prompts: (batch, length) token ids, length at least 1.
        new_tokens: how many to draw for each prompt.
        options: how; temperature 1 over all tokens by default.
        advance: told how many tokens of each sequence are done.
        processor: a realisation by `decode`; it sees the whole text and acts before temperature.

    Returns:
        (batch, new_tokens) token ids. The caller's random state is left alone.

    Raises:
        ShapeError: prompts of another shape, or empty.
        ModelError: the model's logits are not finite.
    """
    options = options or SamplingOptions()
    if prompts.ndim != 2 or prompts.shape[1] == 0:
        raise ShapeError(f"prompts have shape {tuple(prompts.shape)}", fix="(batch, length ≥ 1)")
    window = context_length(model)
    length = prompts.shape[1]
    fitting = new_tokens if window is None else min(new_tokens, max(0, window - length))
    with evaluating(model), seeded(options.seed, input_device(model)), torch.no_grad():
        text = prompts.to(input_device(model))
        if fitting:
            text = _continue_cached(model, text, fitting, options, processor, advance)
        if new_tokens > fitting:
            later = _later(advance, fitting)
            left = new_tokens - fitting
            text = _continue_sliding(model, text, left, options, processor, later)
    return text[:, length:].to(prompts.device)


def _later(advance: Advance | None, done_before: int) -> Advance | None:
    """The same for a loop that counts its own tokens from 0, after others were done."""
    return None if advance is None else lambda done: advance(done_before + done)


def _continue_cached(
    model: PreTrainedModel,
    text: torch.Tensor,
    count: int,
    options: SamplingOptions,
    processor: LogitsProcessor | None,
    advance: Advance | None,
) -> torch.Tensor:
    """Draw ``count`` tokens after (batch, length) ids, all of which fit the model's context.

    Returns:
        (batch, length + count), the prompts included.
    """
    config = GenerationConfig(do_sample=False, max_new_tokens=count, pad_token_id=0)
    processors = [*([processor] if processor else []), Draws(options.warpers())]
    with lower_precision(model, options.precision):
        return generated(model, text, torch.ones_like(text), config, processors, advance)


def generated(
    model: PreTrainedModel,
    text: torch.Tensor,
    mask: torch.Tensor,
    config: GenerationConfig,
    processors: Sequence[LogitsProcessor],
    advance: Advance | None = None,
) -> torch.Tensor:
    """Let transformers' ``generate`` go on, by these options and none of the model's own.

    Args:
        model: in evaluation mode.
        text: (batch, length) token ids, padded on the left.
        mask: (batch, length), 1 where a token is no padding.
        config: how, and how far.
        processors: of the logits, in this order.
        advance: told how many tokens of each sequence are done.

    Returns:
        (batch, length + new tokens), the text included.

    Raises:
        ModelError: the model's logits are not finite.
    """
    length = text.shape[1] + int(config.max_new_tokens or 0)
    with _without_own_generation_config(model), full_head(model):
        result: torch.Tensor = model.generate(  # type: ignore[operator]
            text,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([_RefusesNoNumbers(model), *processors]),
            stopping_criteria=StoppingCriteriaList(
                [_ReportingCriterion(advance, text.shape[1])] if advance else []
            ),
            **with_room(model, length),
        )
    return result


class _RefusesNoNumbers(LogitsProcessor):
    """A logits processor that changes nothing, and refuses logits that nothing can be drawn by.

    A draw by such logits on a GPU would end all further use of it by this process.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """(batch, V) logits as they are."""
        _check_finite(self._model, scores)
        return scores


class _ReportingCriterion(StoppingCriteria):
    """A stopping criterion that stops nothing, and reports how many tokens there are."""

    def __init__(self, advance: Advance, prompt_tokens: int) -> None:
        self._advance, self._prompt_tokens = advance, prompt_tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        """Report the length of (batch, length) ids; (batch,) False, so that all rows go on."""
        self._advance(input_ids.shape[1] - self._prompt_tokens)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@contextmanager
def _without_own_generation_config(model: PreTrainedModel) -> Iterator[None]:
    """Generate by the options given and nothing else.

    A model's own generation config fills in what a call leaves out: a repetition penalty, or an
    end token to stop at (which ``min_new_tokens`` would forbid instead of drawing it like any
    other). An adapter keeps a config of its own beside its base's.
    """
    base = getattr(model, "get_base_model", lambda: model)()
    models = [model] if base is model else [model, base]
    configs = [m.generation_config for m in models]
    for m in models:
        m.generation_config = GenerationConfig()
    try:
        yield
    finally:
        for m, config in zip(models, configs, strict=True):
            m.generation_config = config


def _continue_sliding(
    model: PreTrainedModel,
    text: torch.Tensor,
    count: int,
    options: SamplingOptions,
    processor: LogitsProcessor | None,
    advance: Advance | None,
) -> torch.Tensor:
    """Draw ``count`` tokens after (batch, length) ids, each after as many as the model can read.

    Returns:
        (batch, length + count), the prompts included.
    """
    window = context_length(model)
    assert window is not None  # Without a limit every text fits.
    draws = Draws(options.warpers())
    keep = {"logits_to_keep": 1} if can_keep_logits(model) else {}
    start = text.shape[1]
    text = torch.cat([text, text.new_empty(text.shape[0], count)], dim=1)
    # One autocast region for the whole loop: its cache then casts each weight once, not per token.
    with full_head(model), lower_precision(model, options.precision):
        for done in range(count):
            end = start + done
            read = text[:, max(0, end - window) : end]
            parts = read.split(_texts_at_once(read))
            logits = torch.cat(
                [model(input_ids=part, use_cache=False, **keep).logits[:, -1] for part in parts]
            ).float()
            _check_finite(model, logits)
            if processor is not None:
                logits = processor(text[:, :end], logits)
            text[:, end] = draws.tokens(read, logits)
            if advance:
                advance(done + 1)
    return text


def _texts_at_once(read: torch.Tensor) -> int:
    """How many of the (batch, length) ids a pass takes."""
    if read.device.type != "cpu":
        return len(read)
    return max(1, POSITIONS_AT_ONCE // read.shape[1])


def _check_finite(model: PreTrainedModel, logits: torch.Tensor) -> None:
    """Refuse logits (batch, V) that are no numbers to draw by; −∞ rules a token out."""
    if not bool(torch.isfinite(logits.amax(-1)).all()):
        raise ModelError(
            "the model's logits are not finite, so nothing can be drawn from them",
            where=type(model).__name__,
            fix="check its weights; a diverged training run leaves such a model",
        )
