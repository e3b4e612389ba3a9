"""Guard values around every buffer that a kernel gets, by which reads and writes out of bounds are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch

from invgen.core.launch import Kernel

#: Elements on either side of a buffer.
_MARGIN = 1 << 12


@contextmanager
def guarded() -> Iterator[list[Kernel]]:
    """Launch kernels on copies of their tensors between guard values; gives the kernels that were launched.

    Before and after each buffer lie NaN, and of whole numbers the largest: what is read there spoils results,
    which the caller compares with a reference. What is written there is an error here.
    """
    launch, launched = Kernel.launch, []

    def guard(self, grid, arguments):
        launched.append(self)
        buffers = {a.data_ptr(): _Guarded(a) for a in arguments if _holds(a)}
        launch(self, grid, tuple(buffers[a.data_ptr()].inside(a) if _holds(a) else a for a in arguments))
        for buffer in buffers.values():
            buffer.give_back(self)

    with mock.patch.object(Kernel, "launch", guard):
        yield launched


def _holds(argument: object) -> bool:
    return isinstance(argument, torch.Tensor) and argument.numel() > 0


class _Guarded:
    """A copy of a tensor's memory between guard values."""

    def __init__(self, tensor: torch.Tensor) -> None:
        extent = 1 + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
        self._memory = tensor.as_strided((extent,), (1,))
        guard = torch.nan if tensor.dtype.is_floating_point else torch.iinfo(tensor.dtype).max
        self._whole = torch.full((extent + 2 * _MARGIN,), guard, dtype=tensor.dtype)
        self._whole[_MARGIN:-_MARGIN] = self._memory
        self._before = self._whole.clone()

    def inside(self, tensor: torch.Tensor) -> torch.Tensor:
        """The copy, laid out like the tensor."""
        return self._whole.as_strided(tensor.shape, tensor.stride(), _MARGIN)

    def give_back(self, kernel: Kernel) -> None:
        """Check the guard values, and write the copy back."""
        for part in (slice(0, _MARGIN), slice(-_MARGIN, None)):
            unchanged = torch.equal(self._whole[part].nan_to_num(-1.0), self._before[part].nan_to_num(-1.0))
            assert unchanged, f"{kernel.name} writes out of bounds"
        self._memory.copy_(self._whole[_MARGIN:-_MARGIN])
