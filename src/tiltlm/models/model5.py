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
from tiltlm.models.tanh_gelu import TanhGelu

_MOST_WEIGHTS = 10**10
"""Weights of a Model 5 at most; a layer counts as at least a million."""


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
        sizes = ("n_layer", "n_head", "n_embd", "n_positions", "vocab_size")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, it must be at least 1")
        weights = self.n_embd * (12 * self.n_layer * self.n_embd + self.n_positions)
        weights += self.n_embd * self.vocab_size
        if max(weights, self.n_layer * 10**6) > _MOST_WEIGHTS:
            raise ConfigError(
                f"a model of {self.n_layer} layers, n_embd {self.n_embd}, n_positions "
                f"{self.n_positions} and {self.vocab_size} tokens is too large",
                fix="make one of them smaller",
            )
        if self.n_embd % self.n_head:
            raise ConfigError(
                f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}",
                fix="change one of them",
            )
        if self.logits_scaling is not None and not self.logits_scaling > 0:
            raise ConfigError(f"logits_scaling is {self.logits_scaling}, it must be above 0")


class _Model5Weights(GPT2PreTrainedModel):
    """How the weights begin.

    Body and whole model both inherit it, since each initialises its own modules.
    """

    config: Model5Config
    config_class = Model5Config

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if self.config.initialisation == "gpt2":
            super()._init_weights(module)  # type: ignore[no-untyped-call]
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=1.0)
        elif isinstance(module, nn.Linear) and self.config.tie_word_embeddings:
            # The head is one tensor with the embedding.
            init.normal_(module.weight, mean=0.0, std=1.0)
        elif isinstance(module, nn.Linear | Conv1D):
            # As nn.Linear.reset_parameters does; Conv1D keeps its weight as (in, out).
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

    def __init__(self, config: Model5Config) -> None:
        super().__init__(config)
        if config.activation_function == "gelu_pytorch_tanh":
            for block in self.h:
                mlp: Any = block.mlp
                mlp.act = TanhGelu()


class Model5ForCausalLM(_Model5Weights, GPT2LMHeadModel):
    """GPT-2 with a scaled head. Trains, generates, saves and loads as any transformers model."""

    def __init__(self, config: Model5Config) -> None:
        # GPT2LMHeadModel's own constructor would draw 124M weights only for them to be replaced.
        GPT2PreTrainedModel.__init__(self, config)
        self.transformer = Model5Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def logits_divisor(self) -> float:
        """What the logits are divided by, √768 in the article."""
        scaling = self.config.logits_scaling
        return math.sqrt(self.config.n_embd) if scaling is None else float(scaling)

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
        """Run the model as `GPT2LMHeadModel` does, with scaled logits.

        Args:
            input_ids: (batch, length) token ids.
            attention_mask: (batch, length), 1 where a token is no padding.
            position_ids: (batch, length).
            inputs_embeds: (batch, length, D), in place of ids.
            labels: (batch, length) ids for the usual loss; −100 where a position does not count.
            use_cache: whether to return keys and values.
            logits_to_keep: apply the head to so many last positions, or to these; 0 for all.
            kwargs: whatever else GPT-2 takes, the cache among it, which is handed on under the name
                that this version of transformers gives it.

        Returns:
            ``logits`` (batch, kept positions, V), and what GPT-2 returns besides.
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
        logits = logits / self.logits_divisor
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
        config: fields of `Model5Config` that differ from the article's.

    Raises:
        ConfigError: sizes or options of the wrong type, or that do not fit together or in memory.
    """
    with torch.random.fork_rng():
        try:
            torch.manual_seed(seed)
            return Model5ForCausalLM(Model5Config(**config))
        except ConfigError:
            raise
        except Exception as error:  # Types and sizes are checked in many places, each in its way.
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"Model 5 cannot be made with these fields: {reason}") from None


def as_gpt2(model: PreTrainedModel) -> PreTrainedModel:
    """A Model 5 as plain GPT-2, which loads wherever GPT-2 does; any other model as it is.

    GPT-2 divides its logits by nothing, so the head is untied from the embedding and divided by
    √768 (`Model5Config.logits_scaling`) instead. The distribution is the same up to rounding.

    Args:
        model: left as it is; the body's weights are shared with what is returned.
    """
    if not isinstance(model, Model5ForCausalLM):
        return model
    own_fields = Model5Config().to_dict().keys() - GPT2Config().to_dict().keys()
    fields = {
        key: value
        for key, value in model.config.to_dict().items()
        if key not in own_fields | {"model_type", "architectures"}
    }
    config = GPT2Config(**{**fields, "tie_word_embeddings": False})
    with torch.device("meta"):
        plain = GPT2LMHeadModel(config)
    head = (model.lm_head.weight / model.logits_divisor).detach()
    state = {**model.state_dict(), "lm_head.weight": head}
    plain.load_state_dict(state, assign=True)
    plain.train(model.training)
    return plain


def from_gpt2(saved: PreTrainedModel, model: PreTrainedModel) -> None:
    """Take the weights of a Model 5 back from what `as_gpt2` made of it.

    They are the same bit for bit where the head is tied to the embedding, as the article's is;
    else the head comes back up to rounding.

    Args:
        saved: the plain GPT-2.
        model: a Model 5 of the same sizes, whose weights are replaced. A model of another kind
            takes the weights as they are.
    """
    state = saved.state_dict()
    if isinstance(model, Model5ForCausalLM):
        head = state["lm_head.weight"] * model.logits_divisor
        tied = model.config.tie_word_embeddings
        state["lm_head.weight"] = state["transformer.wte.weight"] if tied else head
    model.load_state_dict(state)
