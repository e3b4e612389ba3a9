"""A CT scan: its slices on demand, and the reconstruction problem of each or of all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from invgen.core.disk import Room
from invgen.core.errors import DataError, InvgenWarning, ParameterError
from invgen.io.ct.axis import Axis, LimitedAngles, axis_of_beam, line_of
from invgen.io.ct.center import Center, CenterEstimate, find_center
from invgen.io.ct.contents import Contents
from invgen.io.ct.coverage import Coverage, coverage, widest
from invgen.io.ct.info import describe
from invgen.io.ct.phase import Cosines, Paganin
from invgen.io.ct.preprocess import Projections
from invgen.io.ct.problems import refuse_cone, to_operator, to_problem
from invgen.io.ct.projections import Step, require
from invgen.io.ct.raw import RawScan
from invgen.io.ct.rows import joined
from invgen.io.ct.selection import ALL, Selection
from invgen.io.ct.volume import Panel, panel, refuse_slices, to_volume_operator, to_volume_problem
from invgen.io.options import AngleUnit, Divided, Rotation
from invgen.io.source import Source

if TYPE_CHECKING:
    from invgen.problem import Problem

__all__ = ["Scan"]

T = TypeVar("T")

_ROWS = 5  # that stand for all


class Scan(RawScan):
    """A CT scan in a file, opened by `open_scan`; close it, or use it in a ``with`` statement.

    Its attributes are those of `RawScan`: views, slices, columns, angles, unit, beam, ...

    Notes
    -----
    Methods that make line integrals take a `Selection`, or its fields by name, or both:
    ``scan.problem(0, bin=2)`` is ``scan.problem(0, Selection(bin=2))``.
    """

    def __init__(
        self,
        path: Path,
        contents: Contents,
        quantity: Divided | None,
        source: Source,
        rotation: Rotation = "counterclockwise",
        angle_unit: AngleUnit | None = None,
    ):
        super().__init__(path, contents, quantity, source, rotation, angle_unit)
        self._centers: dict[int, CenterEstimate] = {}
        self._axis: Axis | None = None
        self._warned = False
        self._around: tuple[tuple[Selection, int], Callable[[int], Cosines]] | None = None

    def find_center(self, slice: int | None = None) -> CenterEstimate:
        """Find the center of rotation from all views of a slice (None: the middle one), once per slice.

        Returns
        -------
        CenterEstimate
            Detector column, a float with its `uncertainty`; see `invgen.io.ct.center.find_center` and, of fan
            and cone beams, `invgen.operators.calibrate`.

        Raises
        ------
        DataError
            When the angles do not cover the range that the search needs.

        Warns
        -----
        InvgenWarning
            When the estimate is uncertain, or the views turn the other way than is stated.
        """
        row = self.slices // 2 if slice is None else self._index(slice, self.slices, "slice")
        if row not in self._centers:
            self._doubts()  # such as of the angles, which the search needs
            find = find_center if self.beam is None else axis_of_beam
            self._centers[row] = find(self.preprocess(row))
        return self._centers[row]

    def axis(self) -> Axis:
        """The rotation axis, found once for the scan.

        In the middle row and, for its tilt, in a few others: of those in which it is found without doubt. Fan
        and cone scans of too few angles to find it keep the axis at the middle of the detector, which is
        where files that do not state it have it.

        Raises
        ------
        DataError
            When the angles of a parallel beam do not cover half a turn.
        """
        if self._axis is None:
            try:
                self._axis = Axis(self.find_center())
            except LimitedAngles:
                why = "taken at the detector's middle, since the views cover too little of a turn to find it"
                self._axis = Axis(
                    (self.columns - 1) / 2, remark=f"{why}; center=... (--center) says otherwise"
                )
            else:
                line = line_of(dict(self._of_some_rows(self._certain_center)), self.slices)
                if line is not None:
                    self._axis = Axis(line[0], math.atan(line[1] * self.pixel_size / self.row_size))
        return self._axis

    def _certain_center(self, row: int) -> tuple[int, CenterEstimate]:
        """A row and its center; a doubtful one is not used."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", InvgenWarning)
            try:
                return row, self.find_center(row)
            except InvgenWarning as doubt:
                raise DataError(str(doubt)) from None

    @property
    def row_size(self) -> float:
        """Distance of the detector's rows at the rotation axis, in `unit`."""
        return self.contents.row_size or self.pixel_size

    def line_integrals(self, slice: int, selection: Selection = ALL, **fields: Any) -> Projections:
        """Line integrals of one slice with their center of rotation, of which `problem` is made.

        Parameters
        ----------
        slice : int
            Detector row, counted from 0; negative numbers count from the end. Of several that are averaged,
            the first.
        selection : Selection
            Views, and what is done to them.
        **fields
            Fields of the selection, which replace its own.

        Returns
        -------
        Projections
            Their report lists what was done.

        Raises
        ------
        DataError
            When the angles are missing, or the data cannot be line integrals: see the steps.
        ParameterError
            When nothing is selected.
        """
        selection = replace(selection, **fields)
        row = self._index(slice, self.slices, "slice")
        projections = self._prepared(row, selection)
        if selection.phase is not None:
            projections = self._retrieved(projections, row, selection, selection.phase)
        require(projections, "a reconstruction", "absorption")
        found = coverage(projections)
        if str(found):
            projections = projections.reported(str(found))
        if found.kind == "region of interest" and not self._warned:
            self._warned = True
            warnings.warn(str(found), InvgenWarning, stacklevel=2)
        return projections

    def _prepared(self, row: int, selection: Selection) -> Projections:
        """Line integrals of a row by itself, or of the mean of several from it on."""
        rows = selection.rows
        if row + rows > self.slices:
            raise ParameterError(
                f"{rows} rows from row {row} on are averaged, and the scan has {self.slices}: take fewer."
            )
        alone, together = selection.parts(self.stored)
        members = []
        for each in range(row, row + rows):
            try:
                members.append(_changed(self._centered(each, selection), alone))
            except DataError as error:
                if rows == 1:
                    raise
                raise DataError(f"detector row {each}: {error}") from error
        return _changed(joined(members), together)

    def _centered(self, row: int, selection: Selection) -> Projections:
        """The selected views of a row as they are stored, with its center."""
        projections = replace(self.projections(row), report=self._doubts())
        projections = selection.of_views(projections, self.angles)
        # before Bin, which maps the center; found from all views, whatever the choice of views
        axis = self._axis_of(selection)
        shift = math.tan(axis.tilt) * self.row_size / self.pixel_size * (row - (self.slices - 1) / 2)
        center = axis.center
        if shift and isinstance(center, CenterEstimate):
            center = CenterEstimate(center + shift, center.uncertainty)
        elif shift:
            center = center + shift
        projections = Center(center)(projections)
        if axis.remark:
            projections = projections.reported(f"rotation axis {axis.remark}")
        if axis.tilt:
            projections = projections.reported(
                f"rotation axis tilted by {math.degrees(axis.tilt):.3g} degrees, its column that in this row"
            )
        return projections

    def _retrieved(
        self, projections: Projections, row: int, selection: Selection, phase: Paganin
    ) -> Projections:
        """Line integrals after phase retrieval; rows around stay in memory for those that come next."""
        alpha = phase.alpha(self.unit, 1.0 if self.beam is None else self.beam.magnification)
        # rows that are averaged are one, and those around it are means, too
        rows, first = selection.rows, row % selection.rows
        count, row_size = (self.slices - first) // rows, self.row_size * rows
        if self._around is None or self._around[0] != (selection, first):

            @lru_cache(maxsize=phase.rows(alpha, row_size, count))
            def read(group: int) -> Cosines:
                return Cosines.of(self._prepared(first + group * rows, selection))

            self._around = (selection, first), read
        return phase(projections, row // rows, count, self._around[1], alpha, row_size)

    def _axis_of(self, selection: Selection) -> Axis:
        """The axis as it is selected, found where it is not."""
        axis = self.axis() if selection.center == "auto" else Axis(selection.center)
        return axis if selection.tilt is None else replace(axis, tilt=selection.tilt)

    def coverage(self, selection: Selection = ALL, **fields: Any) -> Coverage:
        """What the views see of the object, in that of a few slices that sees the least.

        Parameters
        ----------
        selection, **fields
            As of `line_integrals`; where the object ends depends neither on phase retrieval nor on rows that
            are averaged.
        """
        selection = replace(selection, **fields | {"phase": None, "rows": 1})

        def find(row: int) -> Coverage:
            return coverage(self.line_integrals(row, selection))

        return widest(self._of_some_rows(find) or [find(self.slices // 2)])

    def _of_some_rows(self, find: Callable[[int], T]) -> list[T]:
        """What is found in a few rows all over the detector, without those that cannot be used."""
        found: list[T] = []
        count = min(_ROWS, self.slices)
        for row in ((2 * i + 1) * self.slices // (2 * count) for i in range(count)):
            with suppress(DataError):
                found.append(find(row))
        return found

    def problem(
        self,
        slice: int,
        selection: Selection = ALL,
        *,
        method: str | None = None,
        image_shape: tuple[int, int] | None = None,
        fov: Any = None,
        counts: bool = False,
        **fields: Any,
    ) -> Problem:
        """Reconstruction problem of one slice: operator of the beam, line integrals, noise of each ray.

        Parameters
        ----------
        slice, selection, **fields
            As of `line_integrals`.
        method, image_shape, fov
            As of `to_operator`.
        counts : bool
            As of `to_problem`: the quanta themselves are the measurement, for scans that have few.

        Raises
        ------
        DataError, ParameterError
            As `line_integrals` does.
        CapabilityError
            For a cone beam: see `volume_problem`.
        """
        refuse_cone(self.beam)
        projections = self.line_integrals(slice, selection, **fields)
        operator = to_operator(projections, method=method, image_shape=image_shape, fov=fov)
        return to_problem(projections, operator, counts=counts)

    def panel(self, selection: Selection = ALL, *, room: Room | None = None, **fields: Any) -> Panel:
        """Line integrals of all detector rows, of which `volume_problem` is made; parameters as there.

        Where there is `room` on disk they are kept there: see `invgen.core.disk`.
        """
        selection = replace(selection, **fields)
        axis = self._axis_of(selection)
        # a panel that is rolled is turned as a whole
        level = replace(selection, center=axis.center, tilt=0.0) if axis.tilt else selection

        def read(row: int, rows: int) -> Projections:
            return self.line_integrals(row, level, rows=rows)

        rows = panel(read, self.views, self.slices, self.pixel_size, self.row_size, room)
        return rows.leveled(axis.tilt)

    def volume_problem(
        self,
        selection: Selection = ALL,
        *,
        volume_shape: tuple[int, int, int] | None = None,
        fov: Any = None,
        counts: bool = False,
        **fields: Any,
    ) -> Problem:
        """Reconstruction problem of a cone-beam scan: one volume, measured by all detector rows together.

        The rows go through the steps one by one; views that are bad in one are left out of all.

        Parameters
        ----------
        selection, **fields
            As of `line_integrals`.
        volume_shape : (int, int, int), optional
            Slices, height and width, in voxels as wide as a column at the rotation axis; by default a slice
            for each row, and as many pixels across as there are columns, or as a larger disc takes in which
            the object may be.
        fov : {"image", "disc"} or float, optional
            As of `invgen.operators.ConeBeam`; by default what the data show: see `invgen.io.ct.coverage`.
        counts : bool
            As of `problem`.

        Returns
        -------
        Problem
            Its measurement has the shape (views, rows, columns).

        Raises
        ------
        DataError, ParameterError
            As `line_integrals` does; the row is named.
        CapabilityError
            For other beams, whose slices are problems of their own.
        """
        refuse_slices(self.beam)
        rows = self.panel(selection, **fields)
        return to_volume_problem(rows, to_volume_operator(rows, volume_shape, fov), counts=counts)

    def info(self) -> dict[str, Any]:
        """Describe the scan, as plain data that can be written as JSON.

        Reads the middle slice, where it is not too large, to detect truncation and unusable data.
        """
        return describe(self)


def _changed(projections: Projections, steps: Iterable[Step]) -> Projections:
    for step in steps:
        projections = step(projections)
    return projections
