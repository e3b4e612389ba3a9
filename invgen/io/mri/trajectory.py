"""Trajectories in the units that files have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from invgen.core.errors import DataError, ParameterError
from invgen.io.options import TrajectoryUnit
from invgen.operators.mri.trajectories import to_cycles_per_pixel

__all__ = ["cycles_per_pixel", "default_matrix", "moving_axes"]

#: Excess over half a cycle per pixel that rounding in single precision can cause.
_ROUNDING = 1e-5
#: Extent of a coordinate, relative to the largest one, that is rounding in single precision.
_STILL = 1e-5
_MAX_SIZE = 2**14


def cycles_per_pixel(
    k: torch.Tensor, unit: TrajectoryUnit, matrix: tuple[int, ...], field_of_view: Any = None
) -> torch.Tensor:
    """Convert a trajectory to cycles per pixel of the matrix.

    Parameters
    ----------
    k : float64 tensor, shape (*samples, axes)
    unit : {"cycles/pixel", "rad/pixel", "1/m", "cycles/fov"}
    matrix : tuple of int
        In the order of the last axis of `k`.
    field_of_view : number, or one for each axis
        In m; needed for "1/m".

    Raises
    ------
    DataError
        When it exceeds half a cycle per pixel, which no matrix of that size resolves.
    ParameterError
        When a field of view is needed, and not given.
    """
    if unit != "cycles/pixel":
        _require_field_of_view(unit, field_of_view)
        k = to_cycles_per_pixel(k, unit, matrix, field_of_view)
    most = float(k.abs().max())
    if most > 0.5 + _ROUNDING:
        raise DataError(
            f"the trajectory goes to {most:.4g} cycles per pixel, beyond the half cycle that a pixel "
            f'resolves, with trajectory_unit="{unit}" and the matrix {" x ".join(map(str, matrix))}. Usual '
            'units: "rad/pixel" (divided by 2 pi), "cycles/fov", from -N/2 to N/2 (divided by N), "1/m" '
            "(times the size of a pixel, field_of_view in m over N). Give trajectory_unit, or more pixels."
        )
    return k.clamp(-0.5, 0.5)


def moving_axes(k: np.ndarray, names: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Axes along which a trajectory moves; along others its image has one pixel, and no axis.

    A coordinate that stays the same, whatever it is, gives the image a phase at most.

    Parameters
    ----------
    k : array, shape (*samples, axes)
    names : sequence of str
        Of the axes.

    Returns
    -------
    axes, notes
        Indices of those that are left, and a remark on the others.

    Raises
    ------
    DataError
        When fewer than two are left.
    """
    extent = np.ptp(k.reshape(-1, k.shape[-1]), axis=0)
    moving = extent > _STILL * extent.max()
    axes, still = (np.flatnonzero(where).tolist() for where in (moving, ~moving))
    if len(axes) < 2:
        raise DataError(
            f"the trajectory moves along {len(axes)} of the axes {', '.join(names)}, and an image takes two."
        )
    constant = ", ".join(f"{names[i]} is {k[..., i].flat[0]:.4g}" for i in still)
    return axes, (f"{constant} everywhere: images have {len(axes)} axes",) if still else ()


def default_matrix(k: torch.Tensor, unit: TrajectoryUnit, field_of_view: Any) -> tuple[tuple[int, ...], str]:
    """The smallest matrix, of even sizes, that resolves the extent of the trajectory; and a remark."""
    if unit not in ("1/m", "cycles/fov"):
        raise ParameterError(
            f'a trajectory in "{unit}" does not determine the size of the image: give matrix=(H, W) '
            "(command line: --matrix)."
        )
    _require_field_of_view(unit, field_of_view)
    dimensions = k.shape[-1]
    reach = k.reshape(-1, dimensions).abs().amax(dim=0)
    if unit == "1/m":  # on a matrix of one pixel these are cycles per field of view
        reach = to_cycles_per_pixel(reach, unit, (1,) * dimensions, field_of_view)
    if float(reach.max()) > _MAX_SIZE / 2:
        raise DataError(
            f"the trajectory reaches {float(reach.max()):.4g} cycles per field of view; is its unit "
            f"{unit!r}, and the field of view in m?"
        )
    matrix = tuple(max(2, 2 * math.ceil(r - _ROUNDING)) for r in reach.tolist())
    return matrix, f"the matrix is the smallest that resolves the trajectory, {' x '.join(map(str, matrix))}"


def _require_field_of_view(unit: TrajectoryUnit, field_of_view: Any) -> None:
    if unit == "1/m" and field_of_view is None:
        raise ParameterError(
            'a trajectory in "1/m" needs field_of_view=... in m (command line: --field-of-view).'
        )
