"""Which implementation serves a tensor: compiled for the CPU, written for GPUs, or plain PyTorch.

Kernels lie beside their reference: what `fan_torch.py` computes in plain PyTorch on any device, `fan_cpu.py`
has compiled, by the same names and to the same results. A kernel for GPUs is a third file, `fan_gpu.py`, that
the `Kernels` beside it names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

__all__ = ["Kernels"]

T = TypeVar("T")


class Kernels(Generic[T]):
    """The implementations of one computation.

    Parameters
    ----------
    plain : module or function
        In PyTorch, for any device: the reference that the others agree with.
    cpu, gpu : function without arguments, optional
        Imports and returns the implementation for tensors of that device, with the names of `plain`. It is
        called when such a tensor comes: compilers are slow to import.
    """

    def __init__(
        self, plain: T, *, cpu: Callable[[], T] | None = None, gpu: Callable[[], T] | None = None
    ) -> None:
        self._plain = plain
        self._compiled = {"cpu": cpu, "cuda": gpu}

    def serving(self, x: torch.Tensor) -> T:
        """The implementation for tensors like `x`."""
        load = self._compiled.get(x.device.type)
        return self._plain if load is None else load()
