"""An adapter, or the target itself, which vLLM puts on the base that it serves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tiltlm.errors import ConfigError
from tiltlm.models.structure import vocabulary_size
from tiltlm.reading import read_json
from tiltlm.serving.export.engines import check_vllm_lora
from tiltlm.serving.export.source import Source
from tiltlm.serving.export.whole import write_whole
from tiltlm.serving.plugins.requests import KEY

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

PROCESSOR = "tiltlm.serving.plugins.vllm:TiltLogitsProcessor"
"""What vLLM's ``--logits-processors`` is given."""


def write_base(source: Source, folder: Path) -> str | None:
    """Write the base where vLLM could not load it: out of a GGUF file, or drawn by a seed.

    Args:
        source: what is exported.
        folder: a new one.

    Returns:
        what vLLM is to be given in place of the folder; None where it was written.
    """
    base = source.label.base
    if source.gguf is None and base.name != "model5":
        return base.hub_name or base.name
    write_whole(source.base, folder)
    return None


def check_adapter(source: Source) -> int:
    """Refuse what is no adapter that vLLM takes, before anything is written.

    Args:
        source: what is exported.

    Returns:
        what ``--max-lora-rank`` has to be.

    Raises:
        ConfigError: it is none.
    """
    if not source.is_adapter:
        raise ConfigError(
            "there is no adapter in this folder",
            where=str(source.folder),
            fix="leave --adapter out, or tilt without --merge",
        )
    config = read_json(source.folder / _CONFIG)
    model = source.base.model
    architecture = (model.config.architectures or [type(model).__name__])[0]
    return check_vllm_lora(architecture, vocabulary_size(model), config, str(source.folder))


def write_adapter(source: Source, folder: Path) -> None:
    """Copy an adapter as it is.

    Args:
        source: what is exported.
        folder: a new one.
    """
    folder.mkdir(parents=True)
    for name in (_CONFIG, _WEIGHTS):
        shutil.copyfile(source.folder / name, folder / name)


def adapter_command(base: str, folder: Path, rank: int) -> str:
    """The command that serves a base with an adapter on it.

    Args:
        base: as vLLM loads it.
        folder: of the adapter.
        rank: the largest that is taken.
    """
    return (
        f"vllm serve {base} --enable-lora --max-lora-rank {rank} "
        f"--lora-modules tilted={folder} --generation-config vllm"
    )


def processor_command(base: str, label: Path) -> str:
    """The command that serves a base with the plugin's processor.

    Args:
        base: as vLLM loads it.
        label: the folder that holds the label.
    """
    told = json.dumps({KEY: {"label": str(label)}})
    return (
        f"vllm serve {base} --served-model-name tilted --logits-processors {PROCESSOR} "
        f"--additional-config '{told}' --logprobs-mode processed_logprobs --generation-config vllm"
    )
