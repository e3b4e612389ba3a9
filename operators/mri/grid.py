"""The grid of k-space, its middle, and the checks that its masks share."""

from __future__ import annotations

import math

import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.core.space import as_shape

__all__ = ["center_box", "checked_sizes", "radius", "too_many"]


def radius(shape: tuple[int, ...]) -> torch.Tensor:
    """Distance from the origin in units of half of each axis: one is the edge of k-space; float64."""
    axes = [(torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()


def center_box(shape: tuple[int, ...], sizes: tuple[int, ...]) -> torch.Tensor:
    """True in a rectangle around the middle, placed as in fastMRI."""
    mask = torch.zeros(shape, dtype=torch.bool)
    starts = [(n - low + 1) // 2 for n, low in zip(shape, sizes, strict=True)]
    mask[tuple(slice(start, start + low) for start, low in zip(starts, sizes, strict=True))] = True
    return mask


def checked_sizes(shape: tuple[int, ...], acceleration: float) -> tuple[int, ...]:
    """The sizes of a mask and its acceleration, checked."""
    sizes = as_shape(shape, "A mask")
    if not sizes:
        raise ShapeError("A mask needs at least one axis; got the shape ().")
    if not (acceleration >= 1 and math.isfinite(acceleration)):
        raise ParameterError(f"acceleration is a number of at least 1; got {acceleration}.")
    return sizes


def too_many(what: str, wanted: float, unit: str) -> ParameterError:
    """The error for a middle of k-space with more samples than the acceleration allows."""
    return ParameterError(
        f"{what} are more than the {wanted:.4g} {unit} that this acceleration allows; "
        f"make the middle smaller, or accelerate less."
    )
