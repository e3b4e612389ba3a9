"""k-space along trajectories in plain arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from invgen.core.checks import is_count, nonfinite
from invgen.core.errors import DataError, ParameterError
from invgen.core.text import brief
from invgen.io.mri.contents import KSpace, check_size, read_block
from invgen.io.mri.named import NamedArray, joined
from invgen.io.mri.trajectory import cycles_per_pixel, default_matrix, moving_axes
from invgen.io.options import TrajectoryUnit

__all__ = ["ArrayPath"]


class ArrayPath:
    """Samples along a trajectory, which is the same for all slices.

    Parameters
    ----------
    array : NamedArray
    trajectory : array
        With its axes in the order of the file's: complex kx + i ky, or kx, ky and perhaps kz along one more
        axis, the last or the first.
    unit : str
    matrix : tuple of int or None
        None takes the smallest one that resolves the trajectory.
    field_of_view : number, or one for each axis, or None
        In m.

    Raises
    ------
    DataError, ParameterError
        When trajectory, unit and matrix do not fit the array or each other.
    """

    def __init__(
        self, array: NamedArray, trajectory: Any, unit: TrajectoryUnit, matrix: Any, field_of_view: Any
    ):
        self._array = array
        k = _trajectory(array, trajectory)
        moving, self.notes = moving_axes(k.numpy(), ("kz", "ky", "kx")[-k.shape[-1] :])
        matrix, field_of_view = (_of(moving, value, k.shape[-1]) for value in (matrix, field_of_view))
        k = k[..., moving]
        self.oversampling, self.field_of_view = 1.0, field_of_view
        if matrix is None:
            matrix, note = default_matrix(k, unit, field_of_view)
            self.notes += (note,)
        axes = k.shape[-1]
        if not isinstance(matrix, Sequence) or len(matrix) != axes or not all(map(is_count, matrix)):
            raise ParameterError(
                f"matrix={matrix} should have a positive whole number for each of the {axes} axes "
                "of the trajectory."
            )
        self.image_shape = tuple(int(n) for n in matrix)
        check_size(array.size.get("coil", 1), math.prod(self.image_shape), "matrix")
        self._trajectory = cycles_per_pixel(k, unit, self.image_shape, field_of_view)

    def read(self, slice: int, repetition: int) -> KSpace:
        """Samples of a slice."""
        data = self._array.read(slice, repetition)
        report = (f"{math.prod(data.shape[1:])} samples along a trajectory",)
        return KSpace(data, self.image_shape, trajectory=self._trajectory, report=report)


def _of(axes: list[int], given: Any, count: int) -> Any:
    """Of a number for each of `count` axes, those of some; anything else is returned unchanged."""
    return tuple(given[i] for i in axes) if isinstance(given, Sequence) and len(given) == count else given


def _trajectory(array: NamedArray, given: Any) -> torch.Tensor:
    """Trajectory as float64, shape (*samples, 2 or 3), its last axis in the order of the image's axes."""
    shape = tuple(array.size[name] for name in array.stored)
    own = tuple(getattr(given, "shape", ()))
    if own not in (shape, *((*shape, d) for d in (2, 3)), *((d, *shape) for d in (2, 3))):
        raise DataError(
            f"the trajectory has the shape {own}; k-space has {','.join(array.stored)} of {shape}. Give "
            "complex kx + i ky of that shape, or (kx, ky) or (kx, ky, kz) along one more axis, last or first."
        )
    values = joined(read_block(given, (slice(None),) * len(own), "the trajectory"))
    if own == shape:
        if values.dtype.kind != "c":
            raise DataError(f"the trajectory has one number for each sample, {values.dtype} and not complex.")
        values = np.stack([values.real, values.imag], axis=-1)
    elif values.dtype.kind not in "uif":
        raise DataError(f"the trajectory should hold real numbers, (kx, ky); it holds {brief(values.dtype)}.")
    elif own[:-1] != shape:
        values = np.moveaxis(values, 0, -1)
    coordinates = np.ascontiguousarray(array.ordered(values)[..., ::-1], dtype=np.float64)
    trajectory = torch.from_numpy(coordinates)
    if found := nonfinite(trajectory, (*array.grid, "coordinate")):
        raise DataError(f"the trajectory holds {found}.")
    return trajectory
