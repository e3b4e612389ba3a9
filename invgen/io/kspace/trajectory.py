"""Trajectories in other units."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import torch

from invgen.errors import DataError, ParameterError

Unit = Literal["cycles/pixel", "rad/pixel", "1/m", "cycles/fov"]

#: How far beyond half a cycle per pixel rounding in single precision can take a trajectory.
_ROUNDING = 1e-5


def cycles_per_pixel(
    k: torch.Tensor, unit: Unit, matrix: tuple[int, ...], field_of_view: Any = None
) -> torch.Tensor:
    """The trajectory in cycles per pixel of the matrix.

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
        When it goes beyond half a cycle per pixel, which no matrix of that size resolves.
    ParameterError
        When the unit is none of these, or needs a field of view.
    """
    k = k * factor(unit, matrix, field_of_view)
    most = float(k.abs().max())
    if most > 0.5 + _ROUNDING:
        raise DataError(
            f"the trajectory goes to {most:.4g} cycles per pixel, beyond the half cycle that a pixel "
            f'resolves, with trajectory_unit="{unit}" and the matrix {" x ".join(map(str, matrix))}. Usual '
            'units: "rad/pixel" (divided by 2 pi), "cycles/fov", from -N/2 to N/2 (divided by N), and "1/m" (times '
            "the size of a pixel, field_of_view in m over N). Give trajectory_unit, or a larger matrix."
        )
    return k.clamp(-0.5, 0.5)


def factor(unit: Unit, matrix: tuple[int, ...], field_of_view: Any) -> torch.Tensor:
    """What takes the unit to cycles per pixel, one number for each axis."""
    size = torch.tensor(matrix, dtype=torch.float64)
    if unit not in get_args(Unit):
        raise ParameterError(f"trajectory_unit should be one of {', '.join(get_args(Unit))}; got {unit!r}.")
    if unit == "1/m":
        return _lengths(field_of_view, len(matrix)) / size
    ones = torch.ones(len(matrix), dtype=torch.float64)
    return {"cycles/pixel": ones, "rad/pixel": ones / (2 * math.pi), "cycles/fov": 1 / size}[unit]


def default_matrix(k: torch.Tensor, unit: Unit, field_of_view: Any) -> tuple[tuple[int, ...], str]:
    """The smallest matrix, of even sizes, that resolves what the trajectory reaches; and a remark."""
    dimensions = k.shape[-1]
    if unit not in ("1/m", "cycles/fov"):
        raise ParameterError(
            f'a trajectory in "{unit or "cycles/pixel"}" does not tell the size of the image: give '
            "matrix=(H, W) (command line: --matrix)."
        )
    lengths = _lengths(field_of_view, dimensions) if unit == "1/m" else torch.ones(dimensions)
    reach = (k.abs().reshape(-1, dimensions).amax(dim=0) * lengths).tolist()
    if max(reach) > 2**15:
        raise DataError(
            f"the trajectory reaches {max(reach):.4g} cycles per field of view; is its unit {unit!r}, and "
            "the field of view in m?"
        )
    matrix = tuple(max(2, 2 * math.ceil(r - _ROUNDING)) for r in reach)
    return matrix, f"the matrix is the smallest that resolves the trajectory, {' x '.join(map(str, matrix))}"


def _lengths(field_of_view: Any, count: int) -> torch.Tensor:
    if field_of_view is None:
        raise ParameterError(
            'a trajectory in "1/m" needs field_of_view=... in m (command line: --field-of-view).'
        )
    try:
        lengths = np.broadcast_to(np.asarray(field_of_view, dtype=np.float64), (count,))
    except ValueError:
        lengths = np.array([np.nan])
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ParameterError(
            f"field_of_view should be a length in m, or one for each of {count} axes; got {field_of_view!r}."
        )
    return torch.from_numpy(lengths.copy())
