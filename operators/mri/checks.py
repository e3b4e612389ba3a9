"""Checks of the arguments of operators of magnetic resonance imaging."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.core.space import as_shape, check_finite

__all__ = ["checked_coils", "checked_image_shape", "checked_trajectory"]

#: Trajectories may exceed half a cycle by rounding in single precision.
_ROUNDING = 1e-6


def checked_image_shape(image_shape: tuple[int, ...], who: str) -> tuple[int, ...]:
    """Shape of an image (H, W) or a volume (D, H, W)."""
    if len(image_shape) not in (2, 3):
        raise ShapeError(f"{who} expects images (H, W) or (D, H, W); got image_shape={tuple(image_shape)}.")
    return as_shape(image_shape, f"{who}'s image_shape")


def checked_coils(coils: Any, shape: tuple[int, ...], who: str) -> torch.Tensor:
    """Coil maps as complex numbers (coils, *shape), contiguous on the CPU."""
    maps = torch.as_tensor(coils).detach().cpu()
    if tuple(maps.shape[1:]) != shape or not maps.numel():
        sizes = ", ".join(["coils", *map(str, shape)])
        raise ShapeError(f"{who} expects coil maps of shape ({sizes}); got {tuple(maps.shape)}.")
    check_finite(maps, f"{who}'s coil maps")
    # compiled code reads memory, where a lazy conjugation is not visible
    return maps.to(torch.promote_types(maps.dtype, torch.complex64)).resolve_conj().contiguous()


def checked_trajectory(trajectory: Any, dimensions: int, who: str) -> torch.Tensor:
    """The trajectory as float64, shape (..., dimensions), in cycles per pixel."""
    k = torch.as_tensor(trajectory).detach().cpu()
    order = "(ky, kx)" if dimensions == 2 else "(kz, ky, kx)"
    if k.is_complex():
        raise DtypeError(
            f"{who} expects a trajectory of real numbers, {order} along the last axis; got complex ones. "
            "For kx + i ky give torch.stack([k.imag, k.real], -1)."
        )
    if k.ndim < 2 or k.shape[-1] != dimensions or not k.numel():
        raise ShapeError(
            f"{who} expects a trajectory of shape (..., {dimensions}), {order} along the last axis; "
            f"got {tuple(k.shape)}."
        )
    k = k.double().contiguous()
    check_finite(k, f"{who}'s trajectory")
    reach = float(k.abs().max())
    if reach > 0.5 + _ROUNDING:
        raise ParameterError(
            f"{who} expects a trajectory in cycles per pixel, at most half a cycle; got up to {reach:.6g}. "
            "Divide radians per pixel by 2 pi, and cycles per field of view (-N/2 to N/2) by the number of "
            "pixels N; multiply 1/m by the size of a pixel in m, which is the field of view / N: see "
            "operators.trajectories.to_cycles_per_pixel. If the unit is right, take more pixels."
        )
    return k
