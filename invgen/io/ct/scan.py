"""A scan: what is in the file, its slices on demand, and the reconstruction problem of each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from invgen.core.errors import InvgenWarning, ParameterError
from invgen.io.ct.angles import within
from invgen.io.ct.axis import LimitedAngles, axis_of_beam
from invgen.io.ct.center import Center, CenterEstimate, find_center
from invgen.io.ct.contents import Contents
from invgen.io.ct.preprocess import Bin, Projections, SelectViews, Step, default_steps
from invgen.io.ct.problems import refuse_cone, to_operator, to_problem
from invgen.io.ct.projections import require
from invgen.io.ct.raw import RawScan, Rotation
from invgen.io.ct.truncation import truncation
from invgen.io.ct.volume import Panel, panel, refuse_slices, to_volume_operator, to_volume_problem

if TYPE_CHECKING:
    from invgen.problem import Problem


class Scan(RawScan):
    """A tomographic scan in a file, opened by `open_scan`; close it, or use it in a ``with`` statement.

    What it holds is told by the attributes of `RawScan`: views, slices, columns, angles, unit, beam, ...
    """

    def __init__(
        self,
        path: Path,
        contents: Contents,
        quantity: Literal["transmission", "absorption"] | None,
        close: Callable[[], None],
        rotation: Rotation = "counterclockwise",
    ):
        super().__init__(path, contents, quantity, close, rotation)
        self._centers: dict[int, CenterEstimate] = {}
        self._axis: tuple[float, str] | None = None
        self._warned = False

    def find_center(self, slice: int | None = None) -> CenterEstimate:
        """Find the centre of rotation from all views of a slice (None: the middle one), once per slice.

        Returns
        -------
        CenterEstimate
            Detector column, a float with its `uncertainty`; see `invgen.io.ct.center.find_center` and, of fan
            and cone beams, `invgen.operators.calibrate`.

        Raises
        ------
        DataError
            When the angles do not cover what it takes.

        Warns
        -----
        InvgenWarning
            When it is not found clearly, or the views turn the other way than is stated.
        """
        row = self.slices // 2 if slice is None else slice
        if row not in self._centers:
            find = find_center if self.beam is None else axis_of_beam
            self._centers[row] = find(self.preprocess(row))
        return self._centers[row]

    def axis(self) -> tuple[float, str]:
        """Detector column of the rotation axis, found once for the scan, and a remark on where it is from.

        Fan and cone scans of too few angles to find it keep the axis at the middle of the detector, which is
        where files without a word on it have it.

        Raises
        ------
        DataError
            When the angles of a parallel beam do not cover half a turn.
        """
        if self._axis is None:
            try:
                self._axis = self.find_center(), ""
            except LimitedAngles:
                why = "taken at the detector's middle, since the views cover too little of a turn to find it"
                self._axis = (self.columns - 1) / 2, f"{why}; center=... (--center) says otherwise"
        return self._axis

    def line_integrals(
        self,
        slice: int,
        *,
        center: float | Literal["auto"] = "auto",
        views: slice | None = None,
        angles_range: tuple[float, float] | None = None,
        bin: int = 1,
        steps: Sequence[Step] | None = None,
    ) -> Projections:
        """Line integrals of one slice with their centre of rotation: what `problem` is made of.

        The parameters are those of `problem`. The report says what was done.
        """
        projections = self.projections(slice)
        if angles_range is not None:
            projections = self._within(projections, angles_range)
        if views is not None:
            projections = SelectViews(views)(projections)
        # before Bin, which maps the centre; found from all views, whatever the choice of views
        remark = ""
        if center == "auto":
            center, remark = self.axis()
        projections = Center(center)(projections)
        if remark:
            projections = projections.reported(f"rotation axis {remark}")
        chain: tuple[Step, ...] = default_steps(self.stored, bin) if steps is None else (*steps, Bin(bin))
        for step in chain:
            projections = step(projections)
        require(projections, "a reconstruction", "absorption")
        truncated = truncation(projections)
        if truncated:
            projections = projections.reported(str(truncated))
            if not self._warned:
                self._warned = True
                warnings.warn(str(truncated), InvgenWarning, stacklevel=2)
        return projections

    def problem(
        self,
        slice: int,
        *,
        center: float | Literal["auto"] = "auto",
        views: slice | None = None,
        angles_range: tuple[float, float] | None = None,
        bin: int = 1,
        steps: Sequence[Step] | None = None,
        method: str | None = None,
        image_shape: tuple[int, int] | None = None,
        fov: Any = None,
    ) -> Problem:
        """Reconstruction problem of one slice: operator of the beam, line integrals, noise of each ray.

        Parameters
        ----------
        slice : int
            Detector row.
        center : float or "auto"
            Detector column (before binning) of the rotation axis; "auto" finds it once for the scan.
        views : slice or None
            Views to use, counted by increasing angle, among those in `angles_range`.
        angles_range : (float, float) or None
            Only views whose angle, as the file counts, is in [start, stop), in radians. Where stop is less
            than start, the range wraps past 2 pi.
        bin : int
            Columns to average into one.
        steps : sequence of steps, or None
            What takes the raw projections to line integrals; None means `default_steps`.
        method, image_shape, fov
            As of `to_operator`.

        Raises
        ------
        DataError
            When the angles are missing, or the data cannot be line integrals: see the steps.
        CapabilityError
            For a cone beam: see `volume_problem`.
        """
        refuse_cone(self.beam)
        projections = self.line_integrals(
            slice, center=center, views=views, angles_range=angles_range, bin=bin, steps=steps
        )
        operator = to_operator(projections, method=method, image_shape=image_shape, fov=fov)
        return to_problem(projections, operator)

    def panel(
        self,
        *,
        center: float | Literal["auto"] = "auto",
        views: slice | None = None,
        angles_range: tuple[float, float] | None = None,
        bin: int = 1,
        steps: Sequence[Step] | None = None,
    ) -> Panel:
        """Line integrals of all detector rows: what `volume_problem` is made of, and its parameters."""

        def read(row: int) -> Projections:
            return self.line_integrals(
                row, center=center, views=views, angles_range=angles_range, bin=bin, steps=steps
            )

        return panel(
            read, self.views, self.slices, self.pixel_size, self.contents.row_size or self.pixel_size
        )

    def volume_problem(
        self,
        *,
        center: float | Literal["auto"] = "auto",
        views: slice | None = None,
        angles_range: tuple[float, float] | None = None,
        bin: int = 1,
        steps: Sequence[Step] | None = None,
        volume_shape: tuple[int, int, int] | None = None,
        fov: Any = None,
    ) -> Problem:
        """Reconstruction problem of a cone-beam scan: one volume, measured by all detector rows together.

        The rows go through the steps one by one; views that are bad in one are left out of all.

        Parameters
        ----------
        center, views, angles_range, steps
            As of `problem`.
        bin : int
            Columns, and rows, to average into one.
        volume_shape : (int, int, int), optional
            Slices, height and width, in voxels as wide as a column at the rotation axis; by default a slice
            for each row, and as many pixels across as there are columns.
        fov
            As of `invgen.operators.ConeBeam`.

        Returns
        -------
        Problem
            Its measurement has the shape (views, rows, columns).

        Raises
        ------
        CapabilityError
            For other beams, whose slices are problems of their own.
        """
        refuse_slices(self.beam)
        rows = self.panel(center=center, views=views, angles_range=angles_range, bin=bin, steps=steps)
        return to_volume_problem(rows, to_volume_operator(rows, volume_shape, fov))

    def info(self) -> dict[str, Any]:
        """Describe the scan, as plain data that can be written as JSON.

        Reads the middle slice, where it is not too large, to tell truncation and unusable data.
        """
        from invgen.io.ct.info import describe

        return describe(self)

    def _within(self, projections: Projections, angles_range: tuple[float, float]) -> Projections:
        """Keep the views of a range of angles."""
        start, stop = angles_range
        keep = within(self.angles, start, stop)
        text = f"from {np.rad2deg(start):g} to {np.rad2deg(stop):g} degrees"
        if not keep.any():
            first, last = np.rad2deg(self.angles[[0, -1]])
            raise ParameterError(
                f"there are no views {text}: the scan has {self.views}, at {first:g} to {last:g} degrees."
            )
        self._require_inside(start, stop, int(keep.sum()))
        out = projections.selected(torch.from_numpy(keep))
        return out.reported(f"kept {out.views} of {projections.views} views, {text}")

    def _require_inside(self, start: float, stop: float, kept: int) -> None:
        """Refuse a range that leaves the scan at one end, where other views of the scan lie a turn away."""
        first, last = self.angles[[0, -1]]
        turn = 2 * math.pi
        inside = first - 1e-9 <= start and stop <= last + turn / self.views
        if inside or not start < stop < start + turn:
            return
        wrapped = within(self.angles, start % turn, stop % turn)
        if wrapped.sum() > kept:
            raise ParameterError(
                f"the scan counts its angles from {math.degrees(first):g} to {math.degrees(last):g} degrees, "
                f"in which only {kept} views are from {math.degrees(start):g} to {math.degrees(stop):g}. "
                f"With those a turn away the range is {math.degrees(start % turn):g} to "
                f"{math.degrees(stop % turn):g}, which wraps."
            )
