"""Where a model lies and how its weights are held, on this machine.

Turns a `Placement` into what transformers is to be told, and refuses what the machine lacks before
anything is loaded.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from transformers import PreTrainedModel

from tiltlm.errors import ConfigError, ModelError
from tiltlm.models.structure import input_device
from tiltlm.recipes.placement import DEVICE_PATTERN, DTYPES, QUANTIZATIONS, Placement
from tiltlm.records.base import HeldDtype, PlacementRecord


def automatic_device() -> torch.device:
    """The device that ``auto`` means: a CUDA device where there is one, else the processor.

    An Apple GPU is taken only when it is asked for: nothing was run on one yet, and it has no
    float64. One process of several takes the GPU that its launcher gave it.
    """
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


@dataclass(frozen=True)
class ResolvedPlacement:
    """A placement with nothing left open but the type that weights are stored in.

    Attributes:
        device: where the model lies, or its embedding where it is spread.
        dtype: of the weights; None for the type that they are stored in.
        device_map: ``auto`` or None.
        quantization: ``8bit``, ``4bit`` or None.
    """

    device: torch.device
    dtype: torch.dtype | None
    device_map: str | None
    quantization: str | None

    def arguments(self, stored: torch.dtype | None) -> dict[str, Any]:
        """What ``from_pretrained`` is given.

        Args:
            stored: the type in which the config says that the weights are stored, if it says so.

        Returns:
            ``dtype``, ``device_map``, and ``quantization_config`` where weights are rounded.
        """
        given: dict[str, Any] = {"dtype": self.dtype or "auto"}
        if self.dtype is None and not computes_in(self.device, stored):
            given["dtype"] = torch.float32
        if self.device_map or self.quantization or self.device.type == "cuda":
            # A map of one device reads the weights straight onto it.
            given["device_map"] = self.device_map or {"": self.device}
        if self.quantization:
            given["quantization_config"] = _quantization_config(self.quantization)
        return given


def resolve(placement: Placement | None) -> ResolvedPlacement:
    """Find out what a placement means on this machine.

    Args:
        placement: as a user said it; None leaves everything open.

    Raises:
        ConfigError: there is no such device, precision or library here; says what there is.
    """
    placement = placement or Placement()
    _check_words(placement)
    device = _device(placement.device)
    dtype = None if placement.dtype == "auto" else getattr(torch, placement.dtype)
    if not computes_in(device, dtype):
        raise ConfigError(
            f"{device} does not compute in {placement.dtype}",
            where="--dtype",
            fix="--dtype auto, or float32",
        )
    if placement.device_map:
        _check_spread(placement, device)
    if placement.quantization:
        _check_quantization(placement.quantization, device)
    return ResolvedPlacement(device, dtype, placement.device_map, placement.quantization)


def with_dtype(placement: Placement | None, dtype: HeldDtype | None) -> Placement | None:
    """A placement in which a precision that the user left open is the one given.

    Args:
        placement: as a user said it.
        dtype: to hold weights in unless the user said otherwise; None changes nothing.
    """
    if dtype is None or dtype == "float64" or (placement and placement.dtype != "auto"):
        return placement
    return replace(placement or Placement(), dtype=dtype)


def held_dtype(model: Any) -> HeldDtype:
    """The type in which a model's weights are held.

    Raises:
        ModelError: it is none that is computed in here.
    """
    name: Any = str(model.dtype).removeprefix("torch.")
    if name not in get_args(HeldDtype):
        raise ModelError(
            f"its weights are held in {name}",
            where=type(model).__name__,
            fix="load it with --dtype float32 or bfloat16",
        )
    dtype: HeldDtype = name
    return dtype


def computes_in(device: torch.device, dtype: torch.dtype | None) -> bool:
    """Whether a device multiplies matrices of a type; None and float32 are no question.

    Processors convert float16 back and forth for each product, which is slow and, in the absence
    of a range for it, overflows where bfloat16 does not; they are not asked to.
    """
    if dtype == torch.float16:
        return device.type != "cpu"
    if dtype == torch.bfloat16 and device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return True


def placement_of(model: Any) -> PlacementRecord:
    """What a record says of where a model lies and how its weights are held.

    Args:
        model: of transformers, with or without an adapter around it.
    """
    device = input_device(model)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    spread = getattr(model, "hf_device_map", None) or {}
    quantization = getattr(model.config, "quantization_config", None)
    return PlacementRecord(
        device=device.type,
        device_name=name,
        devices=max(1, len({str(d) for d in spread.values()})),
        dtype=held_dtype(model),
        quantization=None if quantization is None else _quantization_name(quantization),
    )


def check_no_offloading(model: PreTrainedModel, name: str) -> None:
    """Refuse a model parts of which a device map left to the processor or the disk.

    Args:
        model: loaded by a device map.
        name: for the message.

    Raises:
        ConfigError: some part has no GPU; its weights come and go, so that none can be read.
    """
    places = {str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()}
    left = sorted(places & {"cpu", "disk"})
    if left and places - {"cpu"}:
        raise ConfigError(
            f"the GPUs have no room for the whole model: the device map leaves parts to "
            f"{' and '.join(left)}",
            where=name,
            fix="--dtype bfloat16, --quantization 8bit or 4bit, or more GPUs",
        )


def _check_words(placement: Placement) -> None:
    """Refuse words that mean nothing, as a recipe would."""
    if not re.fullmatch(DEVICE_PATTERN, placement.device):
        raise ConfigError(
            f"no such device: {placement.device!r}",
            where="--device",
            fix="auto, cpu, cuda, cuda:N or mps",
        )
    if placement.dtype not in DTYPES:
        raise ConfigError(
            f"no such precision: {placement.dtype!r}",
            where="--dtype",
            fix="one of " + ", ".join(DTYPES),
        )
    if placement.device_map not in (None, "auto"):
        raise ConfigError(
            f"no such device map: {placement.device_map!r}",
            where="--device-map",
            fix="auto, or leave it out",
        )
    if placement.quantization not in (None, *QUANTIZATIONS):
        raise ConfigError(
            f"no such quantization: {placement.quantization!r}",
            where="--quantization",
            fix="one of " + ", ".join(QUANTIZATIONS),
        )


def _device(name: str) -> torch.device:
    """The device of a name, which must be there."""
    if name == "auto":
        return automatic_device()
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if count == 0:
            raise ConfigError(
                "there is no CUDA device here", where=f"--device {name}", fix="--device cpu"
            )
        if (device.index or 0) >= count:
            raise ConfigError(
                f"there is no {name}; this machine has {count}, numbered from cuda:0",
                where="--device",
                fix="--device cuda:0",
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("there is no Apple GPU here", where="--device mps", fix="--device cpu")
    return device


def _check_spread(placement: Placement, device: torch.device) -> None:
    """Refuse a device map where there is nothing to spread a model over."""
    if placement.device != "auto":
        raise ConfigError(
            "a model is either on one device or spread over all",
            where=f"--device {placement.device} --device-map {placement.device_map}",
            fix="leave one of the two out",
        )
    if device.type != "cuda":
        raise ConfigError(
            "there are no GPUs here to spread a model over",
            where="--device-map",
            fix="leave it out",
        )


def _check_quantization(name: str, device: torch.device) -> None:
    """Refuse to round weights where bitsandbytes does not compute, or is not installed."""
    if device.type not in ("cuda", "cpu"):
        raise ConfigError(
            f"weights are rounded by bitsandbytes, which does not compute on {device.type}",
            where=f"--quantization {name}",
            fix="leave it out, or --dtype bfloat16",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            "bitsandbytes is not installed",
            where=f"--quantization {name}",
            fix="pip install 'tiltlm[gpu]'",
        )


def _quantization_config(name: str) -> Any:
    """How bitsandbytes rounds the body; transformers leaves the head as it is.

    With a threshold, 8bit computes columns in which anything of a batch is large in half precision.
    A text's figures then hang on its own end and on the texts beside it: hidden states of SmolLM2
    differ by a tenth. Without, each position is computed by itself.
    """
    from transformers import BitsAndBytesConfig

    if name == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )


def _quantization_name(config: Any) -> str:
    """What a model's own quantization is called."""
    given = config if isinstance(config, dict) else vars(config)
    if given.get("load_in_4bit") or given.get("_load_in_4bit"):
        return "4bit"
    if given.get("load_in_8bit") or given.get("_load_in_8bit"):
        return "8bit"
    return str(given.get("quant_method", "unknown"))


def float64_device(tensor: torch.Tensor) -> torch.device:
    """Where a tensor can be reckoned with in float64.

    Args:
        tensor: anywhere.

    Returns:
        the tensor's own device, or the processor where there is no float64: Apple's GPUs.
    """
    return torch.device("cpu") if tensor.device.type == "mps" else tensor.device
