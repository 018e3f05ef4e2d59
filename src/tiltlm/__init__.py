"""tiltlm: shape the output distribution of a language model on purpose, and measure what that did.

The public names load when they are first used, so that `import tiltlm` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiltlm.answers import choices
    from tiltlm.compositions import mix, when
    from tiltlm.contexts import RandomTokenContexts
    from tiltlm.errors import TiltError
    from tiltlm.events import Event, contains, matches, parse_event, special, tokens, word
    from tiltlm.loss import TiltLoss
    from tiltlm.measures.effect import event_mass, hit_rate
    from tiltlm.model5 import Model5Config, Model5ForCausalLM
    from tiltlm.models import load
    from tiltlm.phrases import phrase
    from tiltlm.realise.config import TiltConfig
    from tiltlm.realise.train import TiltTrainer
    from tiltlm.recipe import load_recipe
    from tiltlm.run import run_recipe
    from tiltlm.sampling import SamplingOptions, sample
    from tiltlm.targets import Target, parse_target, uniform, weights
    from tiltlm.tilting import decode, edit
    from tiltlm.tilts import balance, match, tilt
    from tiltlm.tokenizer import gpt2_tokenizer
    from tiltlm.training import Training, train
    from tiltlm.vocabulary import Vocabulary

__version__ = "0.1.0"

_HOME = {
    "Event": "events",
    "Model5Config": "model5",
    "Model5ForCausalLM": "model5",
    "RandomTokenContexts": "contexts",
    "SamplingOptions": "sampling",
    "Target": "targets",
    "TiltConfig": "realise.config",
    "TiltError": "errors",
    "TiltLoss": "loss",
    "TiltTrainer": "realise.train",
    "Training": "training",
    "Vocabulary": "vocabulary",
    "balance": "tilts",
    "choices": "answers",
    "contains": "events",
    "decode": "tilting",
    "edit": "tilting",
    "event_mass": "measures.effect",
    "gpt2_tokenizer": "tokenizer",
    "hit_rate": "measures.effect",
    "load": "models",
    "load_recipe": "recipe",
    "match": "tilts",
    "matches": "events",
    "mix": "compositions",
    "parse_event": "events",
    "parse_target": "targets",
    "phrase": "phrases",
    "run_recipe": "run",
    "sample": "sampling",
    "special": "events",
    "tilt": "tilts",
    "tokens": "events",
    "train": "training",
    "uniform": "targets",
    "weights": "targets",
    "when": "compositions",
    "word": "events",
}

__all__ = [
    "Event",
    "Model5Config",
    "Model5ForCausalLM",
    "RandomTokenContexts",
    "SamplingOptions",
    "Target",
    "TiltConfig",
    "TiltError",
    "TiltLoss",
    "TiltTrainer",
    "Training",
    "Vocabulary",
    "balance",
    "choices",
    "contains",
    "decode",
    "edit",
    "event_mass",
    "gpt2_tokenizer",
    "hit_rate",
    "load",
    "load_recipe",
    "match",
    "matches",
    "mix",
    "parse_event",
    "parse_target",
    "phrase",
    "run_recipe",
    "sample",
    "special",
    "tilt",
    "tokens",
    "train",
    "uniform",
    "weights",
    "when",
    "word",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tiltlm' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tiltlm.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
