"""Which part of a CT scan is reconstructed, and how line integrals are made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.io.ct.angles import within
from invgen.io.ct.phase import Paganin
from invgen.io.ct.preprocess import Bin, Projections, Quantity, SelectViews, Step, default_steps

__all__ = ["ALL", "Selection"]


@dataclass(frozen=True)
class Selection:
    """Which views of a scan are used, and what is done to them before the reconstruction.

    Parameters
    ----------
    center : float or "auto"
        Detector column (before binning) of the rotation axis; "auto" finds it once for the scan.
    tilt : float or None
        Angle of the axis to the detector's columns, in radians; `center` is then that of the middle row. None
        finds it together with the center, and is zero where that is given.
    views : slice or None
        Views to use, counted by increasing angle, among those in `angles_range`.
    angles_range : (float, float) or None
        Only views whose angle, as the file counts, is in [start, stop), in radians. Where stop is less than
        start, the range wraps past 2 pi.
    bin : int
        Columns to average into one; of a cone beam, also rows.
    steps : sequence of steps, or None
        What takes the raw projections to line integrals; None means `invgen.io.default_steps`.
    phase : Paganin or None
        Phase retrieval of these, which takes rows together.
    rows : int
        Detector rows to average into one, of which the slice is the first: see `invgen.io.ct.rows.joined`.

    Raises
    ------
    ParameterError
        When `bin` or `rows` is no positive whole number.
    """

    center: float | Literal["auto"] = "auto"
    tilt: float | None = None
    views: slice | None = None
    angles_range: tuple[float, float] | None = None
    bin: int = 1
    steps: Sequence[Step] | None = None
    phase: Paganin | None = None
    rows: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "bin", as_count(self.bin, "bin"))
        object.__setattr__(self, "rows", as_count(self.rows, "rows"))

    def of_views(self, projections: Projections, angles: np.ndarray) -> Projections:
        """Keep the selected views.

        Parameters
        ----------
        projections : Projections
            Of all views of the scan.
        angles : array, shape (views,)
            Their angles in radians, increasing, as the file counts them.

        Raises
        ------
        ParameterError
            When no view is selected, or `angles_range` leaves out views that it seems to contain.
        """
        if self.angles_range is not None:
            projections = _in_range(projections, angles, *self.angles_range)
        return projections if self.views is None else SelectViews(self.views)(projections)

    def chain(self, stored: Quantity) -> tuple[Step, ...]:
        """Steps from what is stored to line integrals, binned."""
        return default_steps(stored, self.bin) if self.steps is None else (*self.steps, Bin(self.bin))

    def parts(self, stored: Quantity) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """The steps of each row alone, and those after rows are averaged, where columns are too."""
        chain = self.chain(stored)
        first = next(i for i, step in enumerate(chain) if isinstance(step, Bin))
        return chain[:first], chain[first:]


#: All views, the default steps, and the rotation axis where it is found.
ALL = Selection()


def _in_range(projections: Projections, angles: np.ndarray, start: float, stop: float) -> Projections:
    """Keep the views whose angle is in a range."""
    keep = within(angles, start, stop)
    text = f"from {np.rad2deg(start):g} to {np.rad2deg(stop):g} degrees"
    if not keep.any():
        first, last = np.rad2deg(angles[[0, -1]])
        raise ParameterError(
            f"there are no views {text}: the scan has {len(angles)}, at {first:g} to {last:g} degrees."
        )
    _require_inside(angles, start, stop, int(keep.sum()))
    out = projections.selected(torch.from_numpy(keep))
    return out.reported(f"kept {out.views} of {projections.views} views, {text}")


def _require_inside(angles: np.ndarray, start: float, stop: float, kept: int) -> None:
    """Refuse a range that extends beyond the scan where other views of the scan lie a turn away."""
    first, last = angles[[0, -1]]
    turn = 2 * math.pi
    inside = first - 1e-9 <= start and stop <= last + turn / len(angles)
    if inside or not start < stop < start + turn:
        return
    wrapped = within(angles, start % turn, stop % turn)
    if wrapped.sum() > kept:
        raise ParameterError(
            f"the scan counts its angles from {math.degrees(first):g} to {math.degrees(last):g} degrees, "
            f"in which only {kept} views are from {math.degrees(start):g} to {math.degrees(stop):g}. "
            f"With those a turn away the range is {math.degrees(start % turn):g} to "
            f"{math.degrees(stop % turn):g}, which wraps."
        )
