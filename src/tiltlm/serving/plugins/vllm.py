"""The logits processor that vLLM loads, by the entry point ``vllm.logits_processors``.

vLLM has two interfaces, of which the model runner that it chooses takes one, and refuses to start
with a plugin of the other; so this class has both. What vLLM is started with says which target all
requests get, ``--additional-config '{"tiltlm": {"label": "FOLDER"}}'``; what a request says under
``tiltlm`` goes before it (see `requests`).

Read and tried with vLLM 0.32. Importing this needs vLLM.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

import torch
from vllm.v1.sample.logits_processor.interface import LogitsProcessor as OlderProcessor
from vllm.v1.sample.logits_processor.interface import MoveDirectionality

from tiltlm.errors import ConfigError, TiltError
from tiltlm.models.loading import load_tokenizer
from tiltlm.serving.plugins.binding import TargetBinder
from tiltlm.serving.plugins.requests import KEY, ServerTargets, check_request
from tiltlm.serving.plugins.rows import OnlyEnd, TargetRow, TargetRows, Tokens
from tiltlm.targets.bound import BoundTarget

try:
    from vllm.v1.worker.gpu.sample.logits_processor.interface import (
        LogitsProcessor as NewerProcessor,
    )
except ImportError:  # before the newer runner took processors

    class NewerProcessor:  # type: ignore[no-redef]
        """Stands for an interface that this vLLM does not have."""


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAME = "tiltlm.serving.plugins.vllm:TiltLogitsProcessor"
"""What ``--logits-processors`` takes."""

_log = logging.getLogger(__name__)


class TiltLogitsProcessor(OlderProcessor, NewerProcessor):  # type: ignore[misc]
    """Turns the logits of each request into those of its target.

    Args:
        vllm_config: of the server.
        device_or_states: the device of the logits; from the newer runner, its requests' states.
        is_pin_memory: of the older interface; not used.

    Raises:
        ValueError: what the server was told makes no sense, or cannot be served this way.
    """

    _first: ClassVar[WeakValueDictionary[int, TiltLogitsProcessor]] = WeakValueDictionary()

    def __init__(
        self, vllm_config: Any, device_or_states: Any, is_pin_memory: bool = False
    ) -> None:
        # Named on the command line too, a plugin is made twice; only the first works.
        first = self._first.setdefault(id(vllm_config), self)
        self._works = first is self
        self._states = None if isinstance(device_or_states, torch.device) else device_or_states
        device = device_or_states if self._states is None else self._states.device
        model = vllm_config.model_config
        self._size, self._end = int(model.get_vocab_size()), _end_of(model)
        self._rows = TargetRows(device)
        self._sees_answers = self._states is not None or _fills_in_answers(vllm_config)
        given = getattr(vllm_config, "additional_config", None)
        try:
            self._server = ServerTargets.of((given or {}).get(KEY) if _is_dict(given) else None)
            self._binder = TargetBinder(self._server, lambda: _tokenizer_of(model), self._size)
            if self._server.default is not None:
                self._checked(self._binder.bind(self._server.default))
        except TiltError as error:
            raise ValueError(f"{KEY}: {error}") from None
        if self._states is not None and getattr(vllm_config, "speculative_config", None):
            raise ValueError(f"{KEY}: targets are not served under speculative decoding")

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request whose target cannot be read; the server answers it with status 400.

        Raises:
            ValueError: it cannot.
        """
        check_request(sampling_params.extra_args)

    def is_argmax_invariant(self) -> bool:
        """False: a target may make another token the likeliest."""
        return False

    # The older interface: rows of a batch, which come, go and move.

    def update_state(self, batch_update: Any) -> None:
        """Take in which requests came, went or moved, in this order: removed, added, moved."""
        if batch_update is None or not self._works:
            return
        for row in batch_update.removed:
            self._rows.put(row, None)
        for row, params, prompt, answer in batch_update.added:
            tokens = _text_of(prompt or [], answer)
            self._rows.put(row, self._row(params, tokens))
        for origin, goal, kind in batch_update.moved:
            self._rows.move(origin, goal, swap=kind == MoveDirectionality.SWAP)

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Turn logits into the targets', in place.

        Args:
            logits: (N, V) float32.
            ctx: of the newer interface: which request each row belongs to.
        """
        if ctx is None or not len(self._rows):
            return self._rows.apply(logits)
        slots = [int(slot) for slot in ctx.idx_mapping_np]
        if not any(slot in self._rows for slot in slots):
            return logits
        return self._rows.apply(logits, slots)

    # The newer interface: requests keep a slot.

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """A request comes into a slot, in place of the one before.

        Returns:
            whether it has a target.
        """
        row = self._row(sampling_params, lambda begin: self._read(req_idx, begin))
        self._rows.put(req_idx, row if self._works else None)
        return row is not None and self._works

    def _read(self, slot: int, begin: int) -> Sequence[int]:
        """Tokens of a slot from a place on; they come from the device."""
        assert self._states is not None
        end = int(self._states.total_len.gpu[slot])
        tokens: list[int] = self._states.all_token_ids.gpu[slot, begin:end].tolist()
        return tokens

    def _row(self, params: Any, tokens: Tokens) -> TargetRow | None:
        """A request with its target; None without one."""
        text = self._server.asked(params.extra_args)
        if text is None:
            return None
        target: BoundTarget
        try:
            target = self._checked(self._binder.bind(text))
        except TiltError as error:
            _log.error(
                "%s: a request is ended at once, its target cannot be served: %s", KEY, error
            )
            target = OnlyEnd(self._size, self._end, text)
        return TargetRow(target, tokens)

    def _checked(self, target: BoundTarget) -> BoundTarget:
        """A target as it is.

        Raises:
            ConfigError: it depends on the text so far, of which vLLM would not tell.
        """
        if target.depends_on_context and not self._sees_answers:
            raise ConfigError(
                f"{target.text[:200]} depends on the text so far, which vLLM with asynchronous "
                "scheduling tells only to processors that are named by --logits-processors",
                fix=f"name {NAME} there when it is started",
            )
        return target


def _text_of(prompt: Sequence[int], answer: Sequence[int]) -> Tokens:
    """Tokens of a request: its prompt, then its answer, a list that grows."""
    size = len(prompt)

    def tokens(begin: int) -> Sequence[int]:
        if begin < size:
            return [*prompt[begin:], *answer]
        return answer[begin - size :]

    return tokens


def _fills_in_answers(vllm_config: Any) -> bool:
    """Whether the older runner tells processors which tokens were drawn.

    With asynchronous scheduling answers hold −1 for tokens that are still being drawn, and these
    are filled in only where processors were named when the server was started.
    """
    named = bool(vllm_config.model_config.logits_processors)
    return named or not vllm_config.scheduler_config.async_scheduling


def _tokenizer_of(model: Any) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(model.tokenizer))


def _end_of(model: Any) -> int:
    """The token that ends a text, by the model's config; 0 where it names none."""
    end = getattr(model.hf_config, "eos_token_id", None)
    return int((end[0] if isinstance(end, list) else end) or 0)


def _is_dict(given: object) -> bool:
    return isinstance(given, dict)
