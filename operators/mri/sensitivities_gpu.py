"""What goes through memory in multi-coil MRI, written for GPUs: one pass each.

Complex numbers are real and imaginary parts side by side. Each program has pixels of one image: all coils of
them together where they are summed, in order.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from invgen.core.launch import Grid, kernel

__all__ = ["combine", "expand"]


def expand(maps: torch.Tensor, x: torch.Tensor, starts: tuple[int, ...]) -> torch.Tensor:
    """Images (batch, *image_shape) times maps (coils, *image_shape), in the order of the maps.

    The maps begin at the image's pixel `starts`, and go around.
    """
    y = x.new_empty(len(x), *maps.shape)
    _expand(_grid(x), _parts(maps), _parts(x), _parts(y), *_place(maps, starts))
    return y


def combine(maps: torch.Tensor, z: torch.Tensor, starts: tuple[int, ...], x: torch.Tensor) -> None:
    """Adjoint of `expand`: coil images (batch, coils, *image_shape), added to the images `x`."""
    new = torch.empty_like(x)
    _combine(_grid(x), _parts(maps), _parts(z), _parts(x), _parts(new), *_place(maps, starts))
    x.copy_(new)


def _grid(x: torch.Tensor) -> Grid:
    return lambda blocks: (triton.cdiv(x[0].numel(), blocks["BLOCK"]) * len(x),)


def _parts(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(x.contiguous())


def _place(maps: torch.Tensor, starts: tuple[int, ...]) -> tuple[int, ...]:
    """Coils, pixels, rows and columns, and the slice, row and column where the maps begin."""
    return (len(maps), maps[0].numel(), *maps.shape[-2:], *(0,) * (3 - len(starts)), *starts)


@triton.jit
def _turned(pixel, pixels, rows, columns, layer, top, left):
    """The image's pixel that is the given one of the maps."""
    z = (pixel // (rows * columns) + layer) % (pixels // (rows * columns))
    y = (pixel // columns % rows + top) % rows
    return (z * rows + y) * columns + (pixel % columns + left) % columns


@kernel(
    {"BLOCK": 256, "num_warps": 4},
    {"BLOCK": 512, "num_warps": 4},
    {"BLOCK": 1024, "num_warps": 8},
    key=("coils", "pixels"),
)
def _expand(maps, x, y, coils, pixels, rows, columns, layer, top, left, BLOCK: tl.constexpr):
    """Write ``maps_c x``, BLOCK pixels of an image in a program."""
    blocks = tl.cdiv(pixels, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    live = pixel < pixels
    place = 2 * (image * pixels + _turned(pixel, pixels, rows, columns, layer, top, left))
    a = tl.load(x + place, mask=live, other=0.0)
    b = tl.load(x + place + 1, mask=live, other=0.0)
    source = 2 * pixel.to(tl.int64)
    target = source + 2 * image * coils * pixels
    for _ in range(coils):
        s = tl.load(maps + source, mask=live, other=0.0)
        t = tl.load(maps + source + 1, mask=live, other=0.0)
        tl.store(y + target, s * a - t * b, mask=live)
        tl.store(y + target + 1, s * b + t * a, mask=live)
        source += 2 * pixels
        target += 2 * pixels


@kernel(
    {"BLOCK": 256, "num_warps": 4},
    {"BLOCK": 128, "num_warps": 4},
    {"BLOCK": 512, "num_warps": 8},
    key=("coils", "pixels"),
)
def _combine(maps, z, x, new, coils, pixels, rows, columns, layer, top, left, BLOCK: tl.constexpr):
    """Write ``x + sum_c conj(maps_c) z_c`` to `new`, the transpose of `_expand`."""
    blocks = tl.cdiv(pixels, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    live = pixel < pixels
    place = 2 * (image * pixels + _turned(pixel, pixels, rows, columns, layer, top, left))
    real = tl.load(x + place, mask=live, other=0.0)
    imaginary = tl.load(x + place + 1, mask=live, other=0.0)
    weight = 2 * pixel.to(tl.int64)
    source = weight + 2 * image * coils * pixels
    for _ in range(coils):
        s = tl.load(maps + weight, mask=live, other=0.0)
        t = tl.load(maps + weight + 1, mask=live, other=0.0)
        a = tl.load(z + source, mask=live, other=0.0)
        b = tl.load(z + source + 1, mask=live, other=0.0)
        real += s * a + t * b
        imaginary += s * b - t * a
        weight += 2 * pixels
        source += 2 * pixels
    tl.store(new + place, real, mask=live)
    tl.store(new + place + 1, imaginary, mask=live)
