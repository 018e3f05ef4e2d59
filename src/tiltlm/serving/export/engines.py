"""What each engine takes, as read in its sources and tried; see docs/serving.md.

vLLM: `vllm/model_executor/models`, `vllm/lora`, of 0.32. llama.cpp: `src/models`, of the version in
llama-cpp-python 0.3.36.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiltlm.errors import ConfigError

LORA_VOCABULARY = 258_048
"""Tokens beyond which vLLM takes no LoRA on a head."""

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What ``--max-lora-rank`` may be."""

OPENAI_BIASES, VLLM_BIASES = 300, 1_024
"""Entries of a ``logit_bias`` that servers take."""

_LORA_HEADS = frozenset(
    {
        *("LlamaForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "GraniteForCausalLM"),
        *("GraniteMoeForCausalLM", "Exaone4ForCausalLM", "MixtralForCausalLM"),
        *("NemotronForCausalLM", "SolarForCausalLM", "PhimoeForCausalLM", "JambaForCausalLM"),
    }
)
"""Architectures whose classes in vLLM name ``lm_head`` among the modules that a LoRA may change."""

_VLLM_TIED = frozenset({"CohereForCausalLM", "Cohere2ForCausalLM"})
"""Architectures of which vLLM never loads a head of its own."""

_GGUF_TIED = frozenset({"gemma", "gemma2", "command-r", "cohere2", "bitnet", "openelm"})
"""Architectures of which llama.cpp never reads ``output.weight``."""


def check_vllm_head(architecture: str) -> None:
    """Refuse an architecture whose head vLLM takes from the embedding whatever is in the file.

    Raises:
        ConfigError: it is one.
    """
    if architecture in _VLLM_TIED:
        raise ConfigError(
            f"vLLM takes the head of {architecture} from its embedding, so a tilted head would be "
            "passed over",
            where="--for vllm",
            fix="export the target itself: --processor",
        )


def check_vllm_lora(architecture: str, size: int, config: Mapping[str, Any], folder: str) -> int:
    """Refuse an adapter that vLLM would not take, or would pass over.

    Args:
        architecture: of the base, as its config names it.
        size: V.
        config: of the adapter.
        folder: of the adapter, for messages.

    Returns:
        what ``--max-lora-rank`` has to be.

    Raises:
        ConfigError: vLLM takes no LoRA on this head, or not of this kind or rank.
    """
    reason = None
    if architecture not in _LORA_HEADS:
        reason = f"vLLM's {architecture} takes no LoRA on its head"
    elif size > LORA_VOCABULARY:
        reason = f"vLLM takes no LoRA on a head of more than {LORA_VOCABULARY:,} tokens ({size:,})"
    elif config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("use_rslora"):
        reason = "vLLM takes plain LoRA alone"
    elif config.get("modules_to_save"):
        reason = "vLLM takes no modules_to_save"
    rank = int(config.get("r", 0))
    fitting = [allowed for allowed in LORA_RANKS if allowed >= max(rank, 8)]
    if reason is None and not fitting:
        reason = f"vLLM takes no LoRA of rank {rank}"
    if reason is not None:
        raise ConfigError(
            reason,
            where=folder,
            fix="leave --adapter out, for a whole model, or give --processor",
        )
    return fitting[0]


def check_gguf_head(architecture: str, file: str) -> None:
    """Refuse an architecture whose head llama.cpp takes from the embedding whatever is in the file.

    Args:
        architecture: as the file names it.
        file: for messages.

    Raises:
        ConfigError: it is one.
    """
    if architecture in _GGUF_TIED:
        raise ConfigError(
            f"llama.cpp takes the head of {architecture} from its embedding and does not load a "
            "file that has another",
            where=file,
            fix="serve it by vLLM: --for vllm",
        )
