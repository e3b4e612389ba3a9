"""A device that any machine has: tensors that say they are a GPU's, and keep their values on the CPU.

PyTorch's own fake tensors have no values, so that no loop ends as it would, and a build without CUDA aborts
where it differentiates them. These compute on the CPU what a GPU would, and see what a GPU would object to or
wait for: tensors of the CPU among its own, and values that are read on the host.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch._C import _functorch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

import invgen
import invgen.operators
import invgen.priors
import invgen.solvers

__all__ = ["CUDA", "FakeDevice", "to_cpu", "to_device"]

#: Not the device that code would name by habit: that of the input is to be followed.
CUDA = torch.device("cuda", 7)
_CPU = torch.device("cpu")
_ROOT = Path(invgen.__file__).resolve().parents[1]

aten = torch.ops.aten
#: What a GPU cannot answer without the host waiting for it: values, and shapes that depend on them.
_READS = {
    aten._local_scalar_dense,
    aten._linalg_check_errors,
    aten.bincount,
    aten.equal,
    aten.masked_select,
    aten.nonzero,
    aten.repeat_interleave,
    aten._unique2,
    aten.unique_consecutive,
    aten.unique_dim,
    aten.linalg_eigh,
    aten._linalg_eigh,
    aten._linalg_svd,
    aten._linalg_eigvals,
    aten.linalg_eig,
}
#: These take no tensor of another device, not even one number, which others take as an argument.
_STRICT = {aten.cat, aten.stack, aten.index, aten.gather, aten.take_along_dim, aten.mm, aten.bmm}
_FOREIGN = (
    "A tensor of the CPU, of the shape {}, among those of the device in {}: constants are moved once, by "
    "`Constant`, and others are made where they are needed."
)


class OnDevice(torch.Tensor):
    """A tensor of the fake device, with its values on the CPU as `inner`."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnDevice:
        # for PyTorch itself a tensor of the CPU, by which it differentiates without a driver
        made: Any = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=_CPU,
        )
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = function.overloadpacket
        kwargs = kwargs or {}
        if packet in _READS or (packet is aten.index and any(map(_is_mask, args[1]))):
            FakeDevice.note("reads")
        moves = packet is aten.copy_

        def inner(x: Any) -> Any:
            if isinstance(x, OnDevice):
                return x.inner
            if isinstance(x, torch.Tensor) and (x.ndim or packet in _STRICT):
                if not moves:
                    raise RuntimeError(_FOREIGN.format(tuple(x.shape), function))
                FakeDevice.note("uploads")
            return x

        with torch._C._DisableTorchDispatch():
            result = function(*tree_map(inner, args), **tree_map(inner, kwargs))
        if function._schema.is_mutable and isinstance(args[0], OnDevice) and args[0].inner is result:
            return args[0]
        return tree_map(_wrapped, result)

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    @property
    def is_cpu(self) -> bool:
        return False

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.inner.untyped_storage()

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({self.inner})"

    def __deepcopy__(self, memo: Any) -> OnDevice:
        return memo.setdefault(id(self), OnDevice(self.inner.clone()))


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def _wrapped(x: Any) -> Any:
    """On the device what is on the CPU, without what `torch.func` wraps around constants."""
    if not isinstance(x, torch.Tensor) or isinstance(x, OnDevice):
        return x
    x = _innermost(x)
    # what is conjugate or negative by a flag would have to tell PyTorch so
    return OnDevice(x.resolve_conj().resolve_neg() if x.is_conj() or x.is_neg() else x)


def _innermost(x: torch.Tensor) -> torch.Tensor:
    while _functorch.is_functorch_wrapped_tensor(x):
        x = _functorch.get_unwrapped(x)
    return x


def _is_on_device(x: torch.Tensor) -> bool:
    return isinstance(_innermost(x), OnDevice)


def _device_of(x: torch.Tensor) -> torch.device:
    """The device, also of what `torch.func` has wrapped."""
    return CUDA if _is_on_device(x) else _CPU


def to_device(data: Any) -> Any:
    """Tensors, and trees of them, on the fake device."""
    return tree_map(lambda x: _wrapped(x.detach().clone()) if isinstance(x, torch.Tensor) else x, data)


def to_cpu(data: Any) -> Any:
    """Their values, which a test may see."""
    return tree_map(lambda x: x.detach().inner if isinstance(x, OnDevice) else x, data)


class _Generator(torch.Generator):
    """A generator of random numbers, which may be one of the fake device."""

    def __new__(cls, device: Any = _CPU) -> _Generator:
        made = super().__new__(cls, _CPU)
        made.place = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        return self.place


class _Stream:
    """The queue of the fake device; an event of it is what has been copied so far."""

    def __init__(self, device: FakeDevice) -> None:
        self._device = device

    def record_event(self) -> _Stream:
        event = _Stream(self._device)
        event.copies, self._device._coming = self._device._coming, []
        return event

    def synchronize(self) -> None:
        """Only now the copies have their values."""
        for come, values in self.copies:
            come.copy_(values)


class FakeDevice(TorchFunctionMode):
    """While it is entered there is the device `CUDA`.

    Attributes
    ----------
    reads, uploads : Counter
        How often the host waited for a value, and how often it sent some, each by the file and the function
        of the package that did so.
    """

    _entered: FakeDevice | None = None

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[tuple[str, str]] = Counter()
        self.uploads: Counter[tuple[str, str]] = Counter()
        self._coming: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forget(self) -> None:
        """Count from zero."""
        self.reads.clear()
        self.uploads.clear()

    def __enter__(self) -> FakeDevice:
        super().__enter__()
        FakeDevice._entered = self
        self._generator, torch.Generator = torch.Generator, _Generator  # type: ignore[misc]
        self._stream, torch.cuda.current_stream = torch.cuda.current_stream, lambda _: _Stream(self)
        self._properties = torch.cuda.get_device_properties
        torch.cuda.get_device_properties = lambda device: SimpleNamespace(total_memory=80 << 30)
        # PyTorch leaves modes while it differentiates, but not what it calls for that
        self._backward, torch.autograd._engine_run_backward = (
            torch.autograd._engine_run_backward,
            self._differentiated,
        )
        self._overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        return self

    def __exit__(self, *error: Any) -> None:
        torch.Generator = self._generator  # type: ignore[misc]
        torch.cuda.current_stream = self._stream
        torch.cuda.get_device_properties = self._properties
        torch.autograd._engine_run_backward = self._backward
        torch.__future__.set_overwrite_module_params_on_conversion(self._overwrites)
        FakeDevice._entered = None
        super().__exit__(*error)

    def _differentiated(self, *arguments: Any, **options: Any) -> Any:
        torch.overrides._push_mode(self)
        try:
            return self._backward(*arguments, **options)
        finally:
            torch.overrides._pop_mode()

    @classmethod
    def note(cls, what: str) -> None:
        """Count a read or an upload for the function of the package that it happens in."""
        if cls._entered is not None:
            getattr(cls._entered, what)[_caller()] += 1

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch._C._nn._parse_to:
            return function(*args, **kwargs)
        if function in _PROPERTIES:
            return _PROPERTIES[function](_is_on_device(args[0]))
        if function in _MOVES:
            return self._moved(*_MOVES[function](*args, **kwargs))
        if function in _LOOKS and _is_on_device(args[0]):
            self.note("reads")
            return function(to_cpu(args[0]), *args[1:], **kwargs)
        if function in _MAKES and _is_on_device(args[0]):
            return _wrapped(function(to_cpu(args[0]), *args[1:], **kwargs))
        device = kwargs.get("device")
        if device is None and function is torch.Tensor.new_tensor and _is_on_device(args[0]):
            device = CUDA
        if device is None:
            return function(*args, **kwargs)
        device = torch.device(device)
        result = function(*args, **{**kwargs, "device": _CPU})
        if device == _CPU:
            return to_cpu(result)
        if device != CUDA:
            raise RuntimeError(f"There is no device {device}: that of the input, {CUDA}, is to be followed.")
        if function in _FROM_HOST and not isinstance(result, OnDevice):
            self.note("uploads")
        return result if _is_on_device(result) else _wrapped(result)

    def _moved(
        self, x: torch.Tensor, device: Any, dtype: torch.dtype | None, copy: bool, waits: bool
    ) -> torch.Tensor:
        converted = torch.Tensor.to(x, dtype=x.dtype if dtype is None else dtype, copy=copy)
        device = _device_of(x) if device is None else torch.device(device)
        if device == _device_of(x):
            return converted
        if device == CUDA:
            if waits:
                self.note("uploads")
            return _wrapped(converted.detach().clone())
        if device != _CPU:
            raise RuntimeError(f"There is no device {device}: that of the input, {CUDA}, is to be followed.")
        if waits:
            self.note("reads")
            return to_cpu(converted)
        come = torch.full_like(to_cpu(converted), _NOT_YET[converted.dtype.is_floating_point])
        self._coming.append((come, to_cpu(converted).clone()))
        return come


def _caller() -> tuple[str, str]:
    """File and name of the innermost function of the package."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(str(_ROOT)) and "/tests/" not in path:
            return str(Path(path).relative_to(_ROOT)), frame.f_code.co_qualname
        frame = frame.f_back  # type: ignore[assignment]
    return "a test", ""


def _to(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """What `Tensor.to` is asked for: the tensor, a device, a type, and whether it is copied."""
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    waits = not kwargs.get("non_blocking", False)
    for given in (*args, kwargs.get("other")):
        if isinstance(given, torch.Tensor):
            device, dtype = _device_of(given), given.dtype
        elif isinstance(given, torch.dtype):
            dtype = given
        elif isinstance(given, str | int | torch.device) and not isinstance(given, bool):
            device = given
    return x, device, dtype, kwargs.get("copy", False), waits


_PROPERTIES = {
    torch.Tensor.device.__get__: lambda on: CUDA if on else _CPU,
    torch.Tensor.is_cuda.__get__: lambda on: on,
    torch.Tensor.is_cpu.__get__: lambda on: not on,
}
_MOVES = {
    torch.Tensor.to: _to,
    torch.Tensor.cpu: lambda x, *_, **__: (x, _CPU, None, False, True),
    torch.Tensor.cuda: lambda x, device=CUDA, **_: (x, device, None, False, True),
    torch.Tensor.type_as: lambda x, other: _to(x, other),
}
#: What a copy holds before it has come: for flags what nobody hopes for, else NaN.
_NOT_YET = {True: torch.nan, False: True}
_LOOKS = {torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__}
#: These make tensors where PyTorch takes their argument to be: on the CPU.
_MAKES = {torch.nn.functional.one_hot}
_FROM_HOST = {torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.new_tensor}
