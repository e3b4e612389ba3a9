"""Masks for inpainting: true where a pixel is measured, false where it is lost."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from invgen.core.checks import as_count, is_count
from invgen.core.errors import ParameterError, ShapeError
from invgen.core.space import as_shape

__all__ = ["box", "random_pixels", "strokes"]


def random_pixels(shape: tuple[int, ...], fraction: float, seed: int) -> torch.Tensor:
    """Measure a fraction of the pixels, drawn uniformly without replacement.

    Parameters
    ----------
    shape : tuple of int
        Shape of the mask, ``(H, W)`` or ``(D, H, W)``.
    fraction : float
        Fraction of pixels that are measured, from 0 to 1; their number is exact, to rounding.
    seed : int

    Returns
    -------
    bool tensor of `shape`
    """
    if not 0 <= fraction <= 1:
        raise ParameterError(f"random_pixels: fraction must be from 0 to 1; got {fraction}.")
    size = math.prod(as_shape(shape, "random_pixels"))
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    return (order < round(fraction * size)).reshape(shape)


def box(
    shape: tuple[int, ...], size: tuple[int, ...] | int, corner: tuple[int, ...] | None = None
) -> torch.Tensor:
    """Measure all pixels but those of a box.

    Parameters
    ----------
    shape : tuple of int
        Shape of the mask.
    size : int or tuple of int
        Edge lengths of the box, in pixels.
    corner : tuple of int, optional
        First pixel of the box along each axis; by default it is in the middle.

    Returns
    -------
    bool tensor of `shape`
    """
    shape = as_shape(shape, "box")
    size = tuple(size) if isinstance(size, Iterable) else (size,) * len(shape)
    if corner is None:
        corner = tuple((n - k) // 2 for n, k in zip(shape, size, strict=False))
    if not len(size) == len(corner) == len(shape) or not all(
        is_count(k, n) and is_count(c, n - k, least=0) for n, k, c in zip(shape, size, corner, strict=True)
    ):
        raise ShapeError(f"box: {size} at {corner} does not lie within {shape}.")
    mask = torch.ones(shape, dtype=torch.bool)
    mask[tuple(slice(c, c + k) for k, c in zip(size, corner, strict=True))] = False
    return mask


def strokes(
    shape: tuple[int, int], seed: int, count: int = 6, width: float | None = None, vertices: int = 8
) -> torch.Tensor:
    """Measure all pixels but those under brush strokes, Yu et al. (2019), "Free-form image inpainting".

    A stroke starts at a random place and reverses its direction at each vertex, with a random turn of up to
    72 degrees to alternating sides; the brush is round.

    Parameters
    ----------
    shape : (H, W)
    seed : int
    count : int
        Number of strokes.
    width : float, optional
        Diameter of the brush in pixels; by default a sixteenth of the image's shorter side.
    vertices : int
        Number of vertices of each stroke.

    Returns
    -------
    bool tensor of `shape`
    """
    if len(shape) != 2:
        raise ShapeError(f"strokes are drawn on images (H, W); got the shape {tuple(shape)}.")
    sizes = as_shape(shape, "strokes")
    count, vertices = as_count(count, "strokes: count", least=0), as_count(vertices, "strokes: vertices")
    if width is not None and not 0 < width < math.inf:
        raise ParameterError(f"strokes: width must be a positive number of pixels; got {width}.")
    width = min(sizes) / 16 if width is None else width
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.stack(torch.meshgrid(*(torch.arange(n) + 0.5 for n in sizes), indexing="ij"), dim=-1)
    size = torch.tensor(sizes, dtype=pixels.dtype)
    mask = torch.ones(sizes, dtype=torch.bool)
    for _ in range(count):
        start = torch.rand(2, generator=generator) * size
        angle = float(torch.rand((), generator=generator)) * 2 * math.pi
        for i in range(vertices):
            turn, length = torch.rand(2, generator=generator).tolist()
            angle += math.pi + (-1) ** i * turn * 0.4 * math.pi if i else 0.0
            step = min(sizes) * (0.1 + 0.2 * length)
            end = start + step * torch.tensor([math.sin(angle), math.cos(angle)])
            end = torch.minimum(end.clamp(min=0), size)
            mask &= _distance(pixels, start, end) > width / 2
            start = end
    return mask


def _distance(pixels: torch.Tensor, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Distance from each pixel's center to a line segment."""
    along = end - start
    place = ((pixels - start) @ along / along.square().sum().clamp(min=1e-12)).clamp(0, 1)
    return torch.linalg.vector_norm(pixels - start - place[..., None] * along, dim=-1)
