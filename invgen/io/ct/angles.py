"""Angles from callers and from files, in radians."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from invgen.core.errors import DataError, ParameterError
from invgen.core.text import brief, quoted
from invgen.io.hdf5 import Dataset, read_all, text_attribute
from invgen.io.options import AngleUnit

__all__ = ["Angles", "angles_in_radians", "as_list", "as_stored", "check_angles", "within"]

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
            f"{what} is in {quoted(unit)}, which is no unit of angle known here (deg, rad). "
            'Say angle_unit="deg" or angle_unit="rad" (command line: --angle-unit).'
        )
    return check_angles(values, what) * scale


@dataclass(frozen=True)
class Angles:
    """Angles as they are stored, of all frames or of some.

    Attributes
    ----------
    values : array
        Numbers, as stored.
    stated : str or None
        The unit that their file, or the definition of its format, states.
    what : str
        What they are, for messages.
    is_given : bool
        Whether they are numbers of the caller, whose statement of a unit is not about them.
    """

    values: np.ndarray
    stated: str | None
    what: str
    is_given: bool = False

    def radians(self, option: AngleUnit | None, used: np.ndarray | None = None) -> np.ndarray:
        """In radians: all of them, or those that are used, which alone have to be finite."""
        values = self.values if used is None else as_list(self.values, self.what)[used]
        unit = None if self.is_given else option
        return angles_in_radians(values, stated=self.stated, option=unit, what=self.what)


def as_stored(array: Any, what: str, by_definition: AngleUnit | None = None) -> Angles:
    """Angles of an array; the unit is the one that a dataset states, else that of the format."""
    if isinstance(array, Dataset):
        return Angles(read_all(array), text_attribute(array, "units") or by_definition, array.name)
    return Angles(np.asarray(array), by_definition, what)


def as_list(values: np.ndarray, what: str) -> np.ndarray:
    """Real numbers as a vector; a column or a row counts as a vector."""
    if values.dtype.kind not in "uif":
        raise DataError(f"{what} should hold real numbers; it holds {brief(values.dtype)}.")
    if values.ndim == 0 or values.size != max(values.shape):
        raise DataError(f"{what} should be a list of angles; it has the shape {values.shape}.")
    return values.reshape(-1)


def check_angles(values: np.ndarray, what: str) -> np.ndarray:
    """Angles as a vector of finite float64; a column or a row counts as a vector."""
    values = as_list(np.asarray(values), what).astype(np.float64)
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
