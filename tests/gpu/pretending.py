"""Tensors of the CPU on the way of those on a GPU: in Triton's interpreter, and between guard values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch

from invgen.core.kernels import Kernels
from invgen.core.launch import Kernel
from invgen.operators.nonuniform.gridding import Gridding
from invgen.operators.nufft import NUFFT

from .guards import guarded


@contextmanager
def on_a_gpu() -> Iterator[list[Kernel]]:
    """Within the block kernels for GPUs serve, and NUFFTs are ours; gives the kernels that were launched.

    Operators are built within the block: an NUFFT keeps its plans.
    """

    def ours(self, like):
        return Gridding(self.shape, self._points.value.T / (2 * math.pi), like)

    with (
        mock.patch.object(torch.Tensor, "is_cuda", property(lambda self: True)),
        mock.patch.object(Kernels, "serving", lambda self, x: self._gpu() if self._gpu else self._plain),
        mock.patch.object(NUFFT, "_make", ours),
        guarded() as launched,
    ):
        yield launched
