"""vLLM's interface to logits processors, as far as plugins see it, in place of vLLM itself.

Written after ``vllm/v1/sample/logits_processor/interface.py`` and
``vllm/v1/worker/gpu/sample/logits_processor/interface.py`` of vLLM 0.32.
"""

import sys
import types
from abc import ABC, abstractmethod
from enum import Enum, auto
from types import SimpleNamespace

import numpy as np
import torch


class MoveDirectionality(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


class Older(ABC):
    @classmethod
    def validate_params(cls, sampling_params):
        return None

    @abstractmethod
    def __init__(self, vllm_config, device, is_pin_memory):
        raise NotImplementedError

    @abstractmethod
    def apply(self, logits):
        raise NotImplementedError

    @abstractmethod
    def is_argmax_invariant(self):
        raise NotImplementedError

    @abstractmethod
    def update_state(self, batch_update):
        raise NotImplementedError


class Newer(ABC):
    def __init__(self, vllm_config, req_states):
        pass

    @classmethod
    def validate_params(cls, sampling_params):
        return None

    def add_request(self, req_idx, sampling_params):
        return True

    def apply_staged_writes(self):
        pass

    @abstractmethod
    def apply(self, logits, ctx):
        raise NotImplementedError


def install(monkeypatch):
    """Let ``import vllm…`` find these in the test."""
    names = {
        "vllm.v1.sample.logits_processor.interface": {
            "LogitsProcessor": Older,
            "MoveDirectionality": MoveDirectionality,
        },
        "vllm.v1.worker.gpu.sample.logits_processor.interface": {"LogitsProcessor": Newer},
    }
    for dotted, content in names.items():
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name not in sys.modules:
                monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        vars(sys.modules[dotted]).update(content)
    monkeypatch.delitem(sys.modules, "tiltlm.serving.plugins.vllm", raising=False)


def config(folder, size, *, told=None, named=True, asynchronous=False, end=0):
    """A VllmConfig, with what a plugin reads of it."""
    return SimpleNamespace(
        model_config=SimpleNamespace(
            tokenizer=str(folder),
            logits_processors=["named"] if named else None,
            hf_config=SimpleNamespace(eos_token_id=end),
            get_vocab_size=lambda: size,
        ),
        scheduler_config=SimpleNamespace(async_scheduling=asynchronous),
        speculative_config=None,
        additional_config={} if told is None else {"tiltlm": told},
    )


def params(target=None):
    """SamplingParams of a request."""
    return SimpleNamespace(extra_args=None if target is None else {"tiltlm": target})


def update(size=0, *, removed=(), added=(), moved=()):
    """A BatchUpdate."""
    return SimpleNamespace(
        batch_size=size, removed=list(removed), added=list(added), moved=list(moved)
    )


class Slots:
    """The newer runner's request states, on the processor."""

    def __init__(self, count, length, size):
        self.device, self.max_num_reqs, self.vocab_size = torch.device("cpu"), count, size
        self.all_token_ids = SimpleNamespace(gpu=torch.zeros(count, length, dtype=torch.int32))
        self.total_len = SimpleNamespace(gpu=torch.zeros(count, dtype=torch.int32))

    def write(self, slot, ids):
        self.all_token_ids.gpu[slot, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
        self.total_len.gpu[slot] = len(ids)


def layout(slots):
    """A LogitsContext: the slot of each row."""
    return SimpleNamespace(idx_mapping_np=np.array(slots), expanded_idx_mapping=torch.tensor(slots))
