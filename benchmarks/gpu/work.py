"""What a call makes a GPU do, counted from the code, and how long an H100 takes for it at the least."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import astuple, dataclass
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from invgen.core.kernels import Kernels
from invgen.core.launch import Kernel

__all__ = ["Work", "counted"]

aten = torch.ops.aten

#: Of an H100 SXM: bytes a second of a copy; operations a second in single precision and in bfloat16's matrix
#: products; bytes a second of the first-level caches (132 multiprocessors, 128 bytes, 1.98 GHz).
_COPY, _SINGLE, _MATRIX, _CACHE = 3.0e12, 67e12, 989e12, 33e12

#: Seconds between the starts of two kernels, where the host is what they wait for.
_LAUNCH = 5e-6


@dataclass(frozen=True)
class Work:
    """Kernels, bytes that memory moves, operations, products of matrices, and bytes that caches give.

    Each tensor that a kernel takes or gives moves once: what it reads again comes from caches.
    """

    kernels: float = 0
    moved: float = 0
    operations: float = 0
    products: float = 0
    cached: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, factor: float) -> Work:
        return Work(*(factor * a for a in astuple(self)))

    def __sub__(self, other: Work) -> Work:
        return self + other * -1

    def _limits(self) -> dict[str, float]:
        return {
            f"{_si(self.moved)}B / 3.0 TB/s": self.moved / _COPY,
            f"{_si(self.operations)}FLOP / 67 TFLOP/s": self.operations / _SINGLE,
            f"{_si(self.products)}FLOP of products / 989 TFLOP/s": self.products / _MATRIX,
            f"{_si(self.cached)}B from caches / 33 TB/s": self.cached / _CACHE,
            f"{self.kernels:.0f} kernels, 5 us each": self.kernels * _LAUNCH,
        }

    @property
    def seconds(self) -> float:
        """The longest of the times that each resource takes: all work at once, none of them better."""
        return max(self._limits().values())

    @property
    def derivation(self) -> str:
        """How `seconds` come about, the limit first."""
        limits = sorted(self._limits().items(), key=lambda item: -item[1])
        first, *others = (f"{text} = {1e3 * time:.3g} ms" for text, time in limits if time > 0)
        return "; ".join([f"**{first}**", *others])


def _si(number: float) -> str:
    for factor, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= factor:
            return f"{number / factor:.3g} {name}"
    return f"{number / 1e3:.3g} k"


class _Operations(TorchDispatchMode):
    """Adds up PyTorch's operations, each a kernel, transforms a kernel for each axis."""

    def __init__(self, zeros: bool, host: bool) -> None:
        super().__init__()
        self.work, self.paused, self._zeros, self._host = Work(), False, zeros, host

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        packet = function.overloadpacket
        if packet in _EMPTY:
            return result.zero_() if self._zeros else result
        counts = not (self.paused or function.is_view or packet in _FREE)
        if counts and (self._host or any(x.is_cuda for x in _tensors((args, kwargs, result)))):
            self.work += _work(packet, (args, kwargs), result)
        return result


_EMPTY = {aten.empty, aten.new_empty, aten.empty_like, aten.empty_strided, aten.new_empty_strided}
_FREE = {aten.detach, aten._local_scalar_dense, aten._unsafe_view, aten.lift_fresh, aten.alias}
_TRANSFORMS = {aten._fft_c2c, aten._fft_r2c, aten._fft_c2r}


def _work(packet: Any, given: Any, result: Any) -> Work:
    inputs, outputs = _tensors(given), _tensors(result)
    inputs = [x for x in inputs if not any(x is y for y in outputs)] if packet in _FILLS else inputs
    moved = sum(map(_size, (*inputs, *(y for y in outputs if not any(x is y for x in inputs)))))
    # what is overwritten in place is read and written
    moved += sum(_size(y) for y in outputs if any(x is y for x in inputs))
    if packet in _TRANSFORMS:
        axes = given[0][1]
        points = max(x.numel() for x in (*inputs, *outputs))
        length = math.prod(max(x.shape[a] for x in (*inputs, *outputs)) for a in axes)
        real = 1 if packet is aten._fft_c2c else 0.5
        return Work(len(axes), moved * len(axes), 5 * real * points * math.log2(max(2, length)))
    if packet in flop_registry:
        flops = flop_registry[packet](*given[0], **(given[1] or {}), out_val=result)
        half = any(x.dtype in (torch.bfloat16, torch.float16) for x in inputs)
        return Work(1, moved, 0 if half else flops, flops if half else 0)
    operations = sum(x.numel() * (6 if x.is_complex() else 1) for x in (*inputs, *outputs)[-1:])
    return Work(1, moved, operations)


_FILLS = {aten.zero_, aten.fill_, aten.copy_}


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]


def _size(x: torch.Tensor) -> int:
    """Bytes of the memory that a tensor covers, of one that is expanded those that are there."""
    there = math.prod(n for n, stride in zip(x.shape, x.stride(), strict=True) if stride)
    return there * x.element_size()


@contextmanager
def _counting(execute: bool, host: bool) -> Iterator[_Operations]:
    mode = _Operations(not execute, host)
    launch, serve = Kernel.launch, Kernels.serving

    def counted_launch(self: Kernel, grid: Any, arguments: tuple[Any, ...]) -> None:
        if not mode.paused:
            mode.work += Work(1, sum(map(_size, _tensors(arguments))))
        if execute:
            before, mode.paused = mode.paused, True  # Triton's interpreter computes in PyTorch, too
            launch(self, grid, arguments)
            mode.paused = before

    def unproven(self: Kernels[Any], x: torch.Tensor) -> Any:
        if self._gpu is None and self._cpu is not None and x.device.type == "cuda":
            raise NotImplementedError("There are no kernels for GPUs, and plain PyTorch takes minutes here.")
        return self._gpu() if self._gpu is not None and x.device.type == "cuda" else serve(self, x)

    serving = nullcontext() if execute else mock.patch.object(Kernels, "serving", unproven)
    with mock.patch.object(Kernel, "launch", counted_launch), serving, mode:
        yield mode


def counted(call: Callable[[], object], execute: bool, host: bool = False) -> Work:
    """What a call does, once its constants are on the device.

    Parameters
    ----------
    call : function
    execute : bool
        Whether kernels of the package run; else what they write is zero.
    host : bool
        Whether what is computed on the host counts as well.
    """
    with _counting(execute, host) as mode:
        call()
    return mode.work
