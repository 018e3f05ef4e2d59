"""Realise a target while decoding: exact, weights untouched."""

from __future__ import annotations

import torch
from transformers import LogitsProcessor

from tiltlm.errors import TargetError
from tiltlm.events.automaton import State
from tiltlm.targets.target import BoundTarget

LARGEST_LOGIT_BIAS = 100.0
"""What OpenAI-compatible servers accept."""


class TiltLogitsProcessor(LogitsProcessor):
    """Turn the reference's logits into the target's, for ``generate(logits_processor=[…])``.

    Exact at temperature 1 without other processors; warpers such as temperature or top-p come
    after it in ``generate``, so they act on the target.

    Args:
        target: bound, and fitted if it needs that.
        pad_token_id: of left padding in batches; leading ones are not read as context.

    Raises:
        TargetError: the target must be fitted first.
    """

    def __init__(self, target: BoundTarget, pad_token_id: int | None = None) -> None:
        if target.needs_fit():
            raise TargetError(
                f"{target.text} must be fitted to contexts before it can be decoded",
                fix="tiltlm.decode(target, model, tokenizer, contexts) does both",
            )
        self.target, self.pad_token_id = target, pad_token_id
        self._known: dict[tuple[int, ...], State] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(batch, length) ids so far and (batch, V) logits → (batch, V) logits of the target."""
        self.target.check_vocabulary(scores.shape[-1], where="the logits to be processed")
        return self.target.logits(scores, self._states(input_ids))

    def _states(self, input_ids: torch.Tensor) -> list[State]:
        """Each row's state: one token on from the last call where the row is known, else read."""
        if not self.target.depends_on_context:
            return [None] * len(input_ids)
        known: dict[tuple[int, ...], State] = {}
        states = []
        for row in input_ids.tolist():
            ids = tuple(row)
            before = self._known.get(ids[:-1])
            state = self._read(ids) if before is None else self.target.advance(before, ids[-1])
            known[ids] = state
            states.append(state)
        self._known = known
        return states

    def _read(self, ids: tuple[int, ...]) -> State:
        begin = 0
        while begin < len(ids) and ids[begin] == self.pad_token_id:
            begin += 1
        found = self.target.read(ids[begin:])
        return found[-1] if found else self.target.start()


def logit_bias(target: BoundTarget) -> dict[str, float]:
    """The target as the ``logit_bias`` of an OpenAI-compatible server: token id → bias.

    Raises:
        TargetError: a list of biases cannot express it: only a tilt, or a fitted match, of events
            that do not depend on the context.
    """
    shifts = None if target.needs_fit() else target.constant_shifts()
    if shifts is None or target.depends_on_context:
        raise TargetError(
            f"{target.text} is no fixed list of biases, so no server can be given it as one",
            fix="use decode in transformers, or edit; tilt and match over plain events can",
        )
    classes, found = target.classes(), {}
    assert classes is not None
    for mask, shift in zip(classes, shifts.tolist(), strict=True):
        if abs(shift) > LARGEST_LOGIT_BIAS:
            raise TargetError(f"a bias of {shift:g} is beyond ±{LARGEST_LOGIT_BIAS:g}")
        for token in mask.nonzero()[:, 0].tolist():
            if shift:
                found[str(token)] = round(shift, 6)
    return found
