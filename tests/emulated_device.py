"""An accelerator that is none: tensors that lie on the processor and refuse to be treated so.

On a machine without a GPU a forgotten ``.to(device)`` goes unnoticed. An `EmulatedTensor` holds
an ordinary tensor, says that its device is ``emulated:0``, and raises where CUDA would: when it
meets a tensor of the processor's in one operation, is asked for an array, or is drawn from with
the processor's generator. What CUDA allows is allowed: numbers without dimensions from the
processor, copies between devices, and indices that lie on the processor. Shapes that an operation
changes in place (``resize_``) are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "emulated"

_aten = torch.ops.aten
_COPIES = {_aten.copy_.default, _aten._to_copy.default}
_INDEXED = {
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}


_libraries: list[torch.library.Library] = []
"""What was registered holds only as long as these are there."""


class EmulatedTensor(torch.Tensor):
    """A tensor of the emulated device.

    Attributes:
        held: the ordinary tensor with its numbers.
    """

    held: torch.Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> EmulatedTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    @property
    def data(self) -> torch.Tensor:
        """The same numbers without their history."""
        return torch.Tensor.data.__get__(self)  # type: ignore[attr-defined]

    @data.setter
    def data(self, other: EmulatedTensor) -> None:
        torch.Tensor.data.__set__(self, other)  # type: ignore[attr-defined]
        self.held = other.held

    def __repr__(self) -> str:
        return f"Emulated({self.held!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy with numbers of its own, once for each tensor of what is copied."""
        if id(self) not in memo:
            copied: torch.Tensor = EmulatedTensor(self.held.clone())
            if isinstance(self, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied, requires_grad=self.requires_grad)
            memo[id(self)] = copied
        return memo[id(self)]

    def tolist(self) -> Any:
        """Its numbers, which CUDA copies too."""
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refuse, as CUDA does."""
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy; use Tensor.cpu()")

    def untyped_storage(self) -> torch.UntypedStorage:
        """By which files tell weights that are shared."""
        return self.held.untyped_storage()

    def storage(self) -> Any:
        """The same with a type."""
        return self.held.storage()

    def data_ptr(self) -> int:
        """Where its numbers begin."""
        return self.held.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation that at least one emulated tensor takes part in."""
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on what the tensors hold, and put its results where they belong."""
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
    emulated = [t for t in tensors if isinstance(t, EmulatedTensor)]
    _check_devices(func, args, kwargs, emulated)
    there = bool(emulated)
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if there and kwargs.get("generator") is not None:
        raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu'")
    held_args, held_kwargs = tree_map_only(EmulatedTensor, lambda t: t.held, (args, kwargs))
    result = func(*held_args, **held_kwargs)
    if func is _aten.copy_.default:
        return args[0]
    if not there:
        return tree_map_only(torch.Tensor, lambda t: t.clone(), result)
    known = {id(t.held): t for t in emulated}
    wrapped = tree_map_only(
        torch.Tensor, lambda t: known[id(t)] if id(t) in known else EmulatedTensor(t), result
    )
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


def _check_devices(func: Any, args: Any, kwargs: Any, emulated: list[EmulatedTensor]) -> None:
    """Refuse an operation in which tensors of both devices meet, as CUDA does."""
    if not emulated or func in _COPIES:
        return
    looked_at = (args, kwargs)
    if func in _INDEXED and isinstance(args[0], EmulatedTensor):
        looked_at = ((args[0], *args[2:]), {})
    for tensor in tree_flatten(looked_at)[0]:
        on_processor = isinstance(tensor, torch.Tensor) and not isinstance(tensor, EmulatedTensor)
        if on_processor and tensor.device.type == "cpu" and tensor.ndim:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{NAME}:0 and cpu! (in {func})"
            )


class _Factories(TorchDispatchMode):
    """Makes the tensors that are asked for on the emulated device from nothing, or from copies."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        there = device is not None and torch.device(device).type == NAME
        if there or any(issubclass(t, EmulatedTensor) for t in types):
            return _run(func, args, kwargs)
        return func(*args, **kwargs)


class _Module(_DummyBackendModule):
    """What torch asks of a device; random numbers are drawn by the processor's generator."""

    def get_rng_state(self, _device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, _device: Any = None) -> None:
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


@contextmanager
def emulated_device() -> Iterator[torch.device]:
    """Let the device exist for the length of the context."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME, _Module())
        # An autocast around what lies there does nothing.
        library = torch.library.Library("_", "IMPL")
        library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
        _libraries.append(library)
    torch._C._set_only_lift_cpu_tensors(True)  # so that torch.tensor(…, device=…) is seen here
    # A module's parameters change their kind in place, so that shared ones stay shared.
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Factories():
            yield torch.device(NAME, 0)
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_swap_module_params_on_conversion(False)
