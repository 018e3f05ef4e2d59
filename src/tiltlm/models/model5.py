"""Model 5, the article's architecture: GPT-2's blocks with large tied embeddings.

Importing this module registers it with transformers' Auto classes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    GPT2PreTrainedModel,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions
from transformers.pytorch_utils import Conv1D

from tiltlm.errors import ConfigError


@strict
class Model5Config(GPT2Config):
    """Sizes and options of Model 5; the defaults are the article's.

    Args:
        n_positions: context length, 256.
        logits_scaling: logits are divided by it; None stands for √n_embd (√768).
        initialisation: ``torch``: N(0, 1) embeddings and torch's own defaults elsewhere, as plain
            ``nn.Embedding`` and ``nn.Linear`` have them; ``gpt2``: N(0, 0.02²) everywhere.
        return_log_probs: ``logits`` of the output are log-probabilities.

    Dropout (``resid_pdrop``, ``embd_pdrop``, ``attn_pdrop``) is off and the head is tied
    (``tie_word_embeddings``); both are GPT2Config's own fields. There is no end-of-text token:
    the article's model never stops.

    Source: article, section "Model 5".
    """

    model_type = "model5"

    n_positions: int = 256
    resid_pdrop: float | int = 0.0
    embd_pdrop: float | int = 0.0
    attn_pdrop: float | int = 0.0
    activation_function: str = "gelu_pytorch_tanh"
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    logits_scaling: float | int | None = None
    initialisation: str = "torch"
    return_log_probs: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        if self.initialisation not in ("torch", "gpt2"):
            raise ConfigError(
                f"initialisation is {self.initialisation!r}", fix="one of torch, gpt2"
            )
        if self.n_embd % self.n_head:
            raise ConfigError(
                f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}",
                fix="change one of them",
            )
        if self.logits_scaling is not None and not self.logits_scaling > 0:
            raise ConfigError(f"logits_scaling is {self.logits_scaling}, it must be above 0")


class _Model5Weights(GPT2PreTrainedModel):
    """How the weights begin. Both classes below need it: each initialises its own modules."""

    config: Model5Config
    config_class = Model5Config

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if self.config.initialisation == "gpt2":
            super()._init_weights(module)  # type: ignore[no-untyped-call]
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=1.0)
        elif isinstance(module, nn.Linear) and self.config.tie_word_embeddings:
            init.normal_(module.weight, mean=0.0, std=1.0)  # one tensor with the embedding
        elif isinstance(module, nn.Linear | Conv1D):
            # nn.Linear.reset_parameters; Conv1D keeps its weight as (in, out).
            fan_in = module.weight.shape[0 if isinstance(module, Conv1D) else 1]
            bound = 1 / math.sqrt(fan_in)
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)


class Model5Model(_Model5Weights, GPT2Model):
    """The body: GPT-2's, with the article's initial weights."""


class Model5ForCausalLM(_Model5Weights, GPT2LMHeadModel):
    """GPT-2 with a scaled head. Trains, generates, saves and loads as any transformers model."""

    def __init__(self, config: Model5Config) -> None:
        # Past GPT2LMHeadModel's own, which would draw 124M weights only to be replaced.
        GPT2PreTrainedModel.__init__(self, config)
        self.transformer = Model5Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithCrossAttentions:
        """As `GPT2LMHeadModel`, with scaled logits: (batch, kept positions, V).

        The cache is handed on under whatever name this version of transformers gives it.
        """
        output: CausalLMOutputWithCrossAttentions = super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )
        logits = output.logits
        assert logits is not None
        scaling = self.config.logits_scaling
        logits = logits / (math.sqrt(self.config.n_embd) if scaling is None else scaling)
        if labels is not None:
            output.loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size)
        output.logits = logits.log_softmax(-1) if self.config.return_log_probs else logits
        return output


AutoConfig.register("model5", Model5Config, exist_ok=True)


AutoModelForCausalLM.register(Model5Config, Model5ForCausalLM, exist_ok=True)


def build_model5(seed: int, **config: Any) -> PreTrainedModel:
    """A freshly initialised Model 5; the same seed gives the same weights.

    Args:
        seed: of the weights; the caller's random state is left alone.
        config: fields of `Model5Config`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Model5ForCausalLM(Model5Config(**config))
