"""Readouts of an ISMRMRD file as samples along a trajectory."""

from __future__ import annotations

import math

import numpy as np
import torch

from invgen.core.checks import nonfinite
from invgen.core.errors import DataError, InvgenError
from invgen.io.mri.contents import KSpace, check_size, samples_of
from invgen.io.mri.measurement import Measurement
from invgen.io.mri.trajectory import cycles_per_pixel, moving_axes
from invgen.io.options import TrajectoryUnit

__all__ = ["Paths", "axes_of"]


def axes_of(measurement: Measurement, axes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Axes of the image of a trajectory, x, y or z as 0, 1 or 2, of those of the header; and remarks.

    A coordinate that is the same in all samples of the middle slice, as kz of spirals in a plane, is no axis.

    Raises
    ------
    DataError
        When fewer than two are left.
    """
    table = measurement.table
    places = measurement.of(len(measurement.slices) // 2, 0)
    step = table["kspace_encode_step_2"]
    check_size(measurement.coils, int(table["number_of_samples"][places].sum()), table.what)
    try:
        paths = [
            # of a stack kz is that of the encoding step
            np.column_stack([each.trajectory, np.full(len(each.trajectory), step[each.index])])
            if each.trajectory.shape[1] == 2
            else each.trajectory
            for each in table.read(places)
        ]
        k = np.concatenate(paths).astype(np.float64)
    except (InvgenError, ValueError):  # it is said where the slice is used
        return axes, ()
    if not len(k) or k.shape[1] < 3 or not np.isfinite(k).all():
        return axes, ()
    coordinates = axes[::-1]
    moving, notes = moving_axes(k[:, coordinates], [f"k{'xyz'[axis]}" for axis in coordinates])
    given = int(table["trajectory_dimensions"][places[0]])
    if given > len(axes) and np.ptp(k[:, -1]):
        notes += ("the trajectory's last coordinate is taken as a density, and left out",)
    return tuple(coordinates[i] for i in reversed(moving)), notes


class Paths:
    """Samples of a measurement, and their positions in k-space.

    The trajectory is that of the readouts, coordinates in the order kx, ky, kz; a further one is a density
    compensation, which is left out: the operator needs none. Stacks of stars and spirals have kz from
    ``kspace_encode_step_2``. Averages are samples like any others.

    Parameters
    ----------
    measurement : Measurement
    grid : tuple of int
        (D, H, W) or (H, W): the trajectory is in cycles per pixel of it.
    unit : str
    field_of_view : tuple of float
        In m; zero where it is not stated.
    axes : tuple of int
        What the axes of the grid are: x, y or z, as 0, 1 or 2.

    Raises
    ------
    DataError
        When readouts have no trajectory, or differ in their number of coordinates.
    """

    def __init__(
        self,
        measurement: Measurement,
        grid: tuple[int, ...],
        unit: TrajectoryUnit,
        field_of_view: tuple[float, ...],
        axes: tuple[int, ...],
    ):
        self._measurement, self._grid, self._unit = measurement, grid, unit
        self._field_of_view = field_of_view if min(field_of_view) > 0 else None
        table = self._table = measurement.table
        check_size(measurement.coils, math.prod(grid), f"{table.what}: the header")
        dimensions = np.unique(table["trajectory_dimensions"][measurement.imaging])
        if len(dimensions) != 1 or not 2 <= dimensions[0] <= 4:
            raise DataError(
                f"{table.what}: the header says {measurement.encoding.trajectory!r}, and readouts have "
                f"{dimensions.tolist()} coordinates of a trajectory; they need 2, or 3 with kz or a density. "
                "Write the trajectory to the file, or k-space and trajectory to plain arrays, with "
                'axes="coil,shot,sample" and trajectory=...'
            )
        self._stacked = dimensions[0] == 2 and 2 in axes
        self._columns = [axis for axis in axes if axis < dimensions[0]]
        self.notes: tuple[str, ...] = ()
        if self._stacked:
            self.notes += ("kz of each readout is that of its encoding step 2",)

    def read(self, slice: int, frame: int) -> KSpace:
        """Samples of an image: (coils, shots, samples) if readouts have one length, else (coils, n)."""
        places = self._measurement.of(slice, frame)
        lengths = self._table["number_of_samples"][places]
        check_size(self._measurement.coils, int(lengths.sum()), self._table.what)
        samples, paths = [], []
        for readout in self._table.read(places):
            samples.append(readout.samples)
            paths.append(readout.trajectory[:, self._columns].astype(np.float64))
        if not sum(len(path) for path in paths):
            raise DataError(
                f"{self._table.what}: nothing is left of the readouts but what is to be discarded."
            )
        even = len({len(path) for path in paths}) == 1
        data = np.stack(samples, axis=1) if even else np.concatenate(samples, axis=1)
        k = np.stack(paths) if even else np.concatenate(paths)
        names = ("shot", "sample") if even else ("sample",)
        if found := nonfinite(torch.from_numpy(k), (*names, "coordinate")):
            raise DataError(f"{self._table.what}: the trajectory holds {found}.")
        axes = k.shape[-1]  # without the one along which readouts are stacked
        size = None if self._field_of_view is None else self._field_of_view[-axes:]
        trajectory = cycles_per_pixel(torch.from_numpy(k), self._unit, self._grid[-axes:], size)
        if self._stacked:
            planes = np.repeat(self._planes(places), [len(path) for path in paths])
            kz = torch.from_numpy(planes / self._grid[0]).reshape(*k.shape[:-1], 1)
            trajectory = torch.cat([kz, trajectory], dim=-1)
        covariance, remarks = self._measurement.noise
        return KSpace(
            samples_of(data, self._table.what, ("coil", *names)),
            self._grid,
            trajectory=trajectory,
            covariance=covariance,
            report=(
                f"{len(places)} readouts, {len(k.reshape(-1, k.shape[-1]))} samples of each coil",
                *remarks,
            ),
        )

    def _planes(self, places: np.ndarray) -> np.ndarray:
        """Plane of k-space of each readout, counted from the middle one."""
        n = self._grid[0]
        planes = self._measurement.step(2, n)[places]
        if planes.min() < 0 or planes.max() >= n:
            raise DataError(
                f"{self._table.what}: kspace_encode_step_2 places readouts in planes {planes.min()} to "
                f"{planes.max()} of k-space, which has {n}: it does not fit the header's encodedSpace and "
                "encodingLimits."
            )
        return planes - n // 2
