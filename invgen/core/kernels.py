"""Which implementation serves a tensor: compiled for the CPU, written for GPUs, or plain PyTorch.

Kernels lie beside their reference: what `fan_torch.py` computes in plain PyTorch on any device, `fan_cpu.py`
has compiled, and `fan_gpu.py` written in Triton, by the same names and to the same results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import getmodule
from typing import Generic, TypeVar

import torch

from invgen.core.disk import is_on_disk
from invgen.core.errors import CapabilityError, InvgenWarning

__all__ = ["KernelWarning", "Kernels"]

T = TypeVar("T")

#: Largest difference of a GPU's results in single precision from those of plain PyTorch, over the largest.
_AGREE = 1e-5


class KernelWarning(InvgenWarning):
    """Plain PyTorch serves instead of kernels written for GPUs, exact but slower."""


class Kernels(Generic[T]):
    """The implementations of one computation.

    Kernels for GPUs are compared with plain PyTorch on each device before their first use there, once. Where
    they differ, or Triton is missing, plain PyTorch serves, and a `KernelWarning` says why.

    Parameters
    ----------
    plain : module or function
        In PyTorch, for any device: the reference that the others agree with.
    cpu, gpu : function without arguments, optional
        Imports and returns the implementation for tensors of that device, with the names of `plain`. It is
        called when such a tensor comes: compilers are slow to import.
    disk : function without arguments, optional
        Likewise for tensors on disk, see `invgen.core.disk`; where it is left out, those are refused.
    trial : function of an implementation and a device, optional
        Returns tensors of small results in single precision, by which the GPU's kernels are compared.
    """

    def __init__(
        self,
        plain: T,
        *,
        cpu: Callable[[], T] | None = None,
        gpu: Callable[[], T] | None = None,
        disk: Callable[[], T] | None = None,
        trial: Callable[[T, torch.device], tuple[torch.Tensor, ...]] | None = None,
    ) -> None:
        if (gpu is None) != (trial is None):
            raise TypeError("Kernels for GPUs need a trial, by which they are compared with plain PyTorch.")
        self._plain, self._cpu, self._gpu, self._disk, self._trial = plain, cpu, gpu, disk, trial
        self._on_device: dict[torch.device, T] = {}

    @property
    def name(self) -> str:
        """The computation, by the file of its reference."""
        return (getmodule(self._plain) or self._plain).__name__.rpartition(".")[2].removesuffix("_torch")  # type: ignore[union-attr]

    def written_for(self, x: torch.Tensor) -> str:
        """How what serves tensors like `x` is written: "compiled", "Triton" or "PyTorch"."""
        file = (getmodule(self.serving(x)) or self._plain).__name__  # type: ignore[union-attr]
        return {"cpu": "compiled", "gpu": "Triton"}.get(file.rpartition("_")[2], "PyTorch")

    def serving(self, x: torch.Tensor) -> T:
        """The implementation for tensors like `x`."""
        if is_on_disk(x):
            if self._disk is None:
                raise CapabilityError("This is not computed slice by slice, as volumes on disk need it.")
            return self._disk()
        if x.device.type == "cpu":
            return self._plain if self._cpu is None else self._cpu()
        if x.device.type == "cuda" and self._gpu is not None:
            if x.device not in self._on_device:
                self._on_device[x.device] = self._proven(x.device)
            return self._on_device[x.device]
        return self._plain

    def _proven(self, device: torch.device) -> T:
        assert self._gpu is not None
        assert self._trial is not None
        try:
            written = self._gpu()
        except ImportError as error:
            why = f"Triton cannot be imported ({error}; pip install triton)"
        else:
            with torch.no_grad():
                results, references = (self._trial(each, device) for each in (written, self._plain))
            pairs = zip(results, references, strict=True)
            distances = [float((a - b).abs().max() / b.abs().max()) for a, b in pairs]
            if all(distance <= _AGREE for distance in distances):  # NaN is not
                return written
            differences = ", ".join(f"{distance:.1e}" for distance in distances)
            why = f"its kernels differ from plain PyTorch by {differences}"
        warnings.warn(f"{self._trial.__module__} on {device}: {why}.", KernelWarning, stacklevel=3)
        return self._plain
