"""Levels of a periodized wavelet transform, written for GPUs: each axis is one pass through memory.

Along an axis, pairs of neighbors, of samples or of a low and a high coefficient, go through a circulant
matrix of blocks of two, see `invgen.operators.transforms.wavelet_torch.Circulant`. Complex numbers are real
and imaginary parts side by side.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from invgen.core.launch import kernel
from invgen.operators.transforms.wavelet_torch import Circulant, corner

__all__ = ["merge", "split"]


def split(y: torch.Tensor, matrix: Circulant, levels: int) -> None:
    """Split the approximations of images `y`, (batch, *sizes), `levels` times along all axes, in place."""
    _transform(y, matrix, range(levels), True)


def merge(y: torch.Tensor, matrix: Circulant, levels: int) -> None:
    """Merge the approximation and the details of all levels of `y`, (batch, *sizes), in place."""
    _transform(y, matrix, reversed(range(levels)), False)


def _transform(y: torch.Tensor, matrix: Circulant, levels: Iterable[int], split: bool) -> None:
    other, parts, missing = torch.empty_like(y), 2 if y.is_complex() else 1, 4 - y.ndim
    memory = [torch.view_as_real(z) if parts == 2 else z for z in (y, other)]
    shape = (1,) * missing + tuple(y.shape[1:])
    for level in levels:
        sizes = (1,) * missing + tuple(n >> level for n in y.shape[1:])
        source, target = memory
        # from one memory to the other, and back
        for axis in range(2, missing - 1, -1):
            _along(source, shape, sizes, axis, parts, matrix, split, target)
            source, target = target, source
        if source is memory[1]:
            approximation = corner(n >> level for n in y.shape[1:])
            y[approximation] = other[approximation]


def _along(
    x: torch.Tensor,
    shape: tuple[int, ...],
    sizes: tuple[int, ...],
    axis: int,
    parts: int,
    matrix: Circulant,
    split: bool,
    y: torch.Tensor,
) -> None:
    """Transform an axis of the corner `sizes` of each image, of (depth, height, width) `shape`: x to y."""
    strides = (shape[1] * shape[2] * parts, shape[2] * parts, parts)
    # what lies side by side at each place of the axis, and the two axes besides
    inner = parts if axis == 2 else sizes[2] * parts
    planes, rows = (sizes[a] if a != axis else 1 for a in (0, 1))
    pairs, taps = sizes[axis] // 2, matrix.taps.like(x).contiguous()
    lines = len(x) * planes * rows
    _filter(
        lambda blocks: (lines * triton.cdiv(pairs * inner, blocks["BLOCK"]),),
        *(x, taps, y, shape[0] * strides[0], planes, strides[0], rows, strides[1]),
        *(pairs, inner, strides[axis], matrix.first % pairs, len(taps), int(split)),
    )


@kernel(
    {"BLOCK": 256, "num_warps": 4},
    {"BLOCK": 128, "num_warps": 4},
    {"BLOCK": 512, "num_warps": 4},
    {"BLOCK": 1024, "num_warps": 8},
    key=("planes", "rows", "pairs", "inner", "reach"),
)
def _filter(
    x,
    taps,
    y,
    size,
    planes,
    plane_stride,
    rows,
    row_stride,
    pairs,
    inner,
    stride,
    first,
    reach,
    SPLIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write lines of `pairs`, BLOCK numbers of each member in a program: `inner` of them lie side by side.

    Of samples the members of a pair are neighbors, of coefficients they lie half the line apart: from samples
    to coefficients if SPLIT, else back.
    """
    blocks = tl.cdiv(pairs * inner, BLOCK)
    line = tl.program_id(0) // blocks
    begin = (line // (planes * rows)).to(tl.int64) * size
    begin += (line // rows % planes).to(tl.int64) * plane_stride + (line % rows).to(tl.int64) * row_stride
    number = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    live = number < pairs * inner
    pair = (number // inner).to(tl.int64)
    begin += number % inner
    low = tl.zeros((BLOCK,), dtype=y.dtype.element_ty)
    high = tl.zeros((BLOCK,), dtype=y.dtype.element_ty)
    for j in range(reach):
        p = (pair + first + j) % pairs
        if SPLIT:
            even = x + begin + 2 * p * stride
            odd = even + stride
        else:
            even = x + begin + p * stride
            odd = even + pairs * stride
        a = tl.load(even, mask=live, other=0.0)
        b = tl.load(odd, mask=live, other=0.0)
        low += tl.load(taps + 4 * j) * a + tl.load(taps + 4 * j + 1) * b
        high += tl.load(taps + 4 * j + 2) * a + tl.load(taps + 4 * j + 3) * b
    if SPLIT:
        even = y + begin + pair * stride
        odd = even + pairs * stride
    else:
        even = y + begin + 2 * pair * stride
        odd = even + stride
    tl.store(even, low, mask=live)
    tl.store(odd, high, mask=live)
