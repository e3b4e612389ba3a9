"""Angles from callers and from files, in radians."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from invgen.core.errors import DataError, ParameterError
from invgen.io.hdf5 import read_all, text_attribute
from invgen.io.options import AngleUnit, Options

__all__ = ["angles_in_radians", "check_angles", "dataset_angles", "given_angles", "named_angles", "within"]

_ROUNDING = 1e-9
_ANGLES = {
    "deg": math.pi / 180,
    "degree": math.pi / 180,
    "degrees": math.pi / 180,
    "°": math.pi / 180,
    "rad": 1.0,
    "radian": 1.0,
    "radians": 1.0,
}


def angles_in_radians(values: np.ndarray, *, stated: str | None, option: str | None, what: str) -> np.ndarray:
    """Convert the angles of a file to radians.

    Parameters
    ----------
    values : array, shape (n,)
        Angles as stored.
    stated : str or None
        The unit that the file (or the definition of its format) states.
    option : {"deg", "rad"} or None
        The unit that the caller states; it replaces the file's, whose attributes can be wrong.
    what : str
        What the angles are, for messages.

    Raises
    ------
    DataError
        When neither the file nor the caller states the unit, or when an angle is not finite.
    """
    unit = option if option is not None else stated
    if unit is None:
        raise DataError(
            f"{what} has no unit, and none can be guessed from numbers. "
            'Say angle_unit="deg" or angle_unit="rad" (command line: --angle-unit).'
        )
    scale = _ANGLES.get(unit.strip().lower())
    if scale is None:
        known = ParameterError if option is not None else DataError
        raise known(
            f"{what} is in {unit!r}, which is no unit of angle known here (deg, rad). "
            'Say angle_unit="deg" or angle_unit="rad" (command line: --angle-unit).'
        )
    return check_angles(values, what) * scale


def given_angles(options: Options) -> np.ndarray | None:
    """Angles in radians that the caller gives as numbers; None where there are none."""
    return None if options.angles is None else check_angles(np.asarray(options.angles), "angles")


def dataset_angles(
    dataset: h5py.Dataset, options: Options, by_definition: AngleUnit | None = None
) -> np.ndarray:
    """Angles of a dataset, in radians; the unit is the caller's, else the stated one, else the format's."""
    stated = text_attribute(dataset, "units") or by_definition
    return angles_in_radians(read_all(dataset), stated=stated, option=options.angle_unit, what=dataset.name)


def named_angles(load: Callable[[str], Any], options: Options) -> np.ndarray | None:
    """Angles in radians that the caller gives as numbers, or by the name of an array; None without either."""
    if options.angles is not None:
        return given_angles(options)
    if options.angles_dataset is None:
        return None
    array = load(options.angles_dataset)
    if isinstance(array, h5py.Dataset):
        return dataset_angles(array, options)
    return angles_in_radians(array, stated=None, option=options.angle_unit, what=repr(options.angles_dataset))


def check_angles(values: np.ndarray, what: str) -> np.ndarray:
    """Angles as a vector of finite float64; a column or a row counts as a vector."""
    values = np.asarray(values)
    if values.dtype.kind not in "uif":
        raise DataError(f"{what} should hold real numbers; it holds {values.dtype}.")
    if values.ndim == 0 or values.size != max(values.shape):
        raise DataError(f"{what} should be a list of angles; it has the shape {values.shape}.")
    values = values.reshape(-1).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"{bad.size} of the {values.size} angles in {what} are not finite, the first is number {bad[0]}."
        )
    return values


def within(angles: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Which angles are in ``[start, stop)``; a range whose stop is less than its start wraps past 2 pi.

    Parameters
    ----------
    angles : array, shape (n,)
    start, stop : float
        Radians, as are the angles. A range that wraps counts angles modulo 2 pi, any other as they are.

    Returns
    -------
    array, shape (n,), bool
    """
    if not (math.isfinite(start) and math.isfinite(stop) and start != stop):
        raise ParameterError(
            f"a range of angles goes from one to another; got {math.degrees(start):g} to "
            f"{math.degrees(stop):g} degrees."
        )
    angles = angles + _ROUNDING  # degrees that were converted to radians here and there
    if start < stop:
        return (angles >= start) & (angles < stop)
    return (angles - start) % (2 * math.pi) < (stop - start) % (2 * math.pi)
