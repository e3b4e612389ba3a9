"""A scan: what is in the file, its slices on demand, and the reconstruction problem of each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from invgen.errors import DataError, InvgenWarning, ParameterError
from invgen.io.angles import within
from invgen.io.axis import axis_of_beam
from invgen.io.center import Center, CenterEstimate, find_center
from invgen.io.contents import Contents
from invgen.io.preprocess import Bin, Projections, Quantity, SelectViews, Step, default_steps
from invgen.io.problems import to_operator, to_problem
from invgen.io.projections import require
from invgen.io.stack import Frames
from invgen.io.truncation import truncation
from invgen.io.volume import Panel, panel, to_volume_operator, to_volume_problem

if TYPE_CHECKING:
    from invgen.problem import Problem

Rotation = Literal["counterclockwise", "clockwise"]


class Scan:
    """A tomographic scan in a file, opened by `open_scan`; close it, or use it in a ``with`` statement.

    Opening reads metadata only. Views are counted by increasing angle, whatever the order in the file.

    Attributes
    ----------
    path : Path
    format : str
    views, slices, columns : int
        Projections, detector rows and detector columns.
    quantity : {"transmission", "absorption"}
        Whether the projections are still to be put through minus the logarithm.
    stored : {"counts", "transmission", "absorption"}
        What the numbers in the file are; counts are divided by flat fields first.
    beam : Beam or None
        Where the source of a fan or cone beam is; None is a parallel beam.
    geometry : {"parallel", "fan", "cone"}
    rotation : {"counterclockwise", "clockwise"}
        Which way the view angles turn; the files' own convention is not always ours.
    pixel_size : float
        Distance of the detector columns at the sample, in `unit`.
    unit : str
        Unit of length, as the file states it; ``"pixel"`` where it does not tell the size.
    has_flats, has_darks : bool
    dtype : numpy.dtype
        Type of the stored projections.
    notes : tuple of str
        What was assumed or left out in reading the file.
    contents : Contents
        What the reader found, in the order of the file.
    """

    def __init__(
        self,
        path: Path,
        contents: Contents,
        quantity: Literal["transmission", "absorption"] | None,
        close: Callable[[], None],
        rotation: Rotation = "counterclockwise",
    ):
        self.path, self.format, self.notes = path, contents.format, contents.notes
        stack = contents.projections.stack
        self.views, self.slices, self.columns = len(contents.projections), stack.rows, stack.columns
        self.dtype = stack.dtype
        self.pixel_size, self.unit = contents.pixel_size, contents.unit
        self.beam, self.rotation = contents.beam, rotation
        self.geometry: Literal["parallel", "fan", "cone"] = (
            "parallel" if self.beam is None else self.beam.kind
        )
        self.has_flats, self.has_darks = contents.flats is not None, contents.darks is not None
        raw = self.has_flats or (contents.counts and quantity is None)
        if quantity == "absorption":
            raw = False
        self.quantity: Literal["transmission", "absorption"] = (
            "transmission" if raw else quantity or "absorption"
        )
        self.stored: Quantity = "counts" if raw else self.quantity
        if not (contents.counts or contents.line_integrals or self.has_flats or quantity):
            self.notes += (
                "there are no flat fields, so that the numbers are taken as line integrals, with minus the "
                'logarithm taken already; quantity="transmission" says otherwise (command line: --quantity)',
            )
        self.contents, self._close = contents, close
        self._angles, order = contents.angles, None
        if contents.angles is not None and (np.diff(contents.angles) < 0).any():
            order = np.argsort(contents.angles, kind="stable")
            self._angles = contents.angles[order]
            self.notes += ("the angles are not in order in the file; views are counted by increasing angle",)
        self._frames = contents.projections if order is None else contents.projections.ordered(order)
        self._centers: dict[int, CenterEstimate] = {}
        self._warned = False

    @property
    def has_angles(self) -> bool:
        """Whether the angles of the views are known."""
        return self._angles is not None

    @property
    def angles(self) -> np.ndarray:
        """Angles of the views in radians as the file has them, increasing, shape (views,), float64."""
        if self._angles is None:
            raise DataError(
                f"{self.path} does not tell the {self.views} angles of its projections; none are guessed. "
                "Give them: angles=... in radians, or angles_dataset=... (command line: --angles)."
            )
        return self._angles

    def projections(self, slice: int) -> Projections:
        """Raw projections of one slice, read from the file.

        Parameters
        ----------
        slice : int
            Detector row, counted from 0; negative numbers count from the end.
        """
        row = slice + self.slices if slice < 0 else slice
        if not 0 <= row < self.slices:
            raise ParameterError(
                f"there is no slice {slice}: the scan has {self.slices}, 0 to {self.slices - 1}."
            )
        counts = self.stored == "counts"

        def read(frames: Frames | None) -> torch.Tensor | None:
            return None if frames is None or not counts else _tensor(frames.read(row))

        return Projections(
            data=_tensor(self._frames.read(row)),
            angles=torch.from_numpy(
                self.angles if self.rotation == "counterclockwise" else -self.angles
            ).clone(),
            quantity=self.stored,
            flats=read(self.contents.flats),
            darks=read(self.contents.darks),
            spacing=self.pixel_size,
            beam=self.beam,
            image_shape=self.contents.image_shape,
            index=torch.arange(self.views),
            saturation=self._saturation() if counts else None,
        )

    def preprocess(self, slice: int, *steps: Step) -> Projections:
        """Projections of one slice after the given steps; without any, after the default ones."""
        projections = self.projections(slice)
        for step in steps or default_steps(self.stored):
            projections = step(projections)
        return projections

    def find_center(self, slice: int | None = None) -> CenterEstimate:
        """Find the centre of rotation from all views of a slice (None: the middle one), once per slice.

        Returns
        -------
        CenterEstimate
            Detector column, a float with its `uncertainty`; see `invgen.io.center.find_center` and, of fan
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
        try:
            return self.find_center(), ""
        except DataError as error:
            if self.beam is None:
                raise
            return (self.columns - 1) / 2, f"the rotation axis is taken at the detector's middle: {error}"

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
            projections = projections.reported(remark)
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

        return panel(read, self.views, self.slices, self.contents.row_size or self.pixel_size, bin)

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
        rows = self.panel(center=center, views=views, angles_range=angles_range, bin=bin, steps=steps)
        return to_volume_problem(rows, to_volume_operator(rows, volume_shape, fov))

    def info(self) -> dict[str, Any]:
        """Describe the scan, as plain data that can be written as JSON.

        Reads the middle slice, where it is not too large, to tell truncation and unusable data.
        """
        from invgen.io.info import describe

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
        out = projections.selected(torch.from_numpy(keep))
        return out.reported(f"kept {out.views} of {projections.views} views, {text}")

    def _saturation(self) -> float | None:
        """Value at which the detector clips: as the file tells, else the largest of an integer type."""
        if self.contents.saturation is not None:
            return self.contents.saturation
        return float(np.iinfo(self.dtype).max) if self.dtype.kind in "ui" else None

    def close(self) -> None:
        """Close the file."""
        self._close()

    def __enter__(self) -> Scan:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        size = f"{self.views} views, {self.slices} slices, {self.columns} columns"
        return f"Scan({str(self.path)!r}, {self.format}, {self.geometry} beam: {size})"


def _tensor(block: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(block, dtype=np.float32, order="C"))
