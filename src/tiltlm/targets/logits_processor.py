"""Realise a target while decoding, exactly and with all weights untouched.

A `TiltLogitsProcessor` does it in transformers, and `logit_bias` in a server where a list of biases
can express the target. Imports torch.
"""

from __future__ import annotations

import torch
from transformers import LogitsProcessor

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.targets.bound import BoundTarget

LARGEST_LOGIT_BIAS = 100.0
"""The largest bias, up or down, that OpenAI-compatible servers accept."""


class TiltLogitsProcessor(LogitsProcessor):
    """Turn the reference's logits into the target's, for ``generate(logits_processor=[…])``.

    Exact at temperature 1 without other processors; warpers such as temperature or top-p come
    after it in ``generate``, so they act on the target.

    Args:
        target: bound, and fitted if it needs that.
        pad_token_id: the token of left padding in batches; leading ones are not read as context.

    Raises:
        TargetError: the target must be fitted first.
    """

    def __init__(self, target: BoundTarget, pad_token_id: int | None = None) -> None:
        if target.needs_fit():
            raise TargetError(
                f"{target.text} must be fitted to contexts before it can be decoded",
                fix="tiltlm.decode(model, target, contexts) does both",
            )
        self.target, self.pad_token_id = target, pad_token_id
        # The states of the rows of the last call, by their ids.
        self._last_states: dict[tuple[int, ...], State] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Turn the logits of the next token into the target's.

        Args:
            input_ids: (batch, length) tokens so far.
            scores: (batch, V) logits of the reference.

        Returns:
            (batch, V) logits of the target, float32 also where the scores have fewer digits.

        Raises:
            VocabularyError: the logits are over another number of tokens than the target.
        """
        self.target.check_vocabulary(scores.shape[-1], where="the logits to be processed")
        return self.target.logits(_at_least_float32(scores), self._states(input_ids))

    def _states(self, input_ids: torch.Tensor) -> list[State]:
        """The state of each row.

        A row that is one of the last call with one more token is advanced from there, so that a
        text is not read from its beginning for each of its tokens; any other row is read anew.
        """
        if not self.target.depends_on_context:
            return [None] * len(input_ids)
        by_ids: dict[tuple[int, ...], State] = {}
        states = []
        for row in input_ids.tolist():
            ids = tuple(row)
            before = self._last_states.get(ids[:-1])
            state = self._read(ids) if before is None else self.target.advance(before, ids[-1])
            by_ids[ids] = state
            states.append(state)
        self._last_states = by_ids
        return states

    def _read(self, ids: tuple[int, ...]) -> State:
        """The state after all of a row but its left padding."""
        begin = 0
        while begin < len(ids) and ids[begin] == self.pad_token_id:
            begin += 1
        states = self.target.read(ids[begin:])
        return states[-1] if states else self.target.start()


def _at_least_float32(scores: torch.Tensor) -> torch.Tensor:
    """Scores with digits enough for a small shift: in bfloat16 those near 16 are 0.06 apart."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def logit_bias(target: BoundTarget) -> dict[str, float]:
    """The target as the ``logit_bias`` of an OpenAI-compatible server.

    Args:
        target: bound, and fitted if it needs that.

    Returns:
        from token id, as text, to bias in nats; tokens without a bias are left out.

    Raises:
        TargetError: a list of biases cannot express the target, which only a tilt, or a fitted
            match, of events that do not depend on the context allows; or a bias is beyond ±100.
    """
    shifts = None if target.needs_fit() else target.constant_shifts()
    if shifts is None or target.depends_on_context:
        raise TargetError(
            f"{target.text} is no fixed list of biases, so no server can be given it as one",
            fix="use decode in transformers, or edit; tilt and match over plain events can",
        )
    classes, biases = target.classes(), {}
    assert classes is not None
    for mask, shift in zip(classes, shifts.tolist(), strict=True):
        if abs(shift) > LARGEST_LOGIT_BIAS:
            raise TargetError(f"a bias of {shift:g} is beyond ±{LARGEST_LOGIT_BIAS:g}")
        for token in mask.nonzero()[:, 0].tolist():
            if shift:
                biases[str(token)] = round(shift, 6)
    return biases
