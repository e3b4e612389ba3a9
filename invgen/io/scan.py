"""A scan: what is in the file, its slices on demand, and the reconstruction problem of each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from invgen.errors import DataError, InvgenWarning, ParameterError
from invgen.io.center import Center, CenterEstimate, find_center
from invgen.io.contents import Contents
from invgen.io.preprocess import Bin, Projections, Quantity, SelectViews, Step, default_steps
from invgen.io.projections import require
from invgen.io.stack import Frames
from invgen.io.truncation import truncation

if TYPE_CHECKING:
    from invgen.operators import Radon
    from invgen.problem import Problem


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
    ):
        self.path, self.format, self.notes = path, contents.format, contents.notes
        stack = contents.projections.stack
        self.views, self.slices, self.columns = len(contents.projections), stack.rows, stack.columns
        self.dtype = stack.dtype
        self.pixel_size, self.unit = contents.pixel_size, contents.unit
        self.has_flats, self.has_darks = contents.flats is not None, contents.darks is not None
        raw = self.has_flats or (contents.counts and quantity is None)
        if quantity == "absorption":
            raw = False
        self.quantity: Literal["transmission", "absorption"] = (
            "transmission" if raw else quantity or "absorption"
        )
        self.stored: Quantity = "counts" if raw else self.quantity
        if not (contents.counts or self.has_flats or quantity):
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
        """Angles of the views in radians, increasing, shape (views,), float64."""
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
            angles=torch.from_numpy(self.angles.copy()),
            quantity=self.stored,
            flats=read(self.contents.flats),
            darks=read(self.contents.darks),
            spacing=self.pixel_size,
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
            Detector column, a float with its `uncertainty`; see `invgen.io.center.find_center`.
        """
        row = self.slices // 2 if slice is None else slice
        if row not in self._centers:
            self._centers[row] = find_center(self.preprocess(row))
        return self._centers[row]

    def line_integrals(
        self,
        slice: int,
        *,
        center: float | Literal["auto"] = "auto",
        views: slice | None = None,
        bin: int = 1,
        steps: Sequence[Step] | None = None,
    ) -> Projections:
        """Line integrals of one slice with their centre of rotation: what `problem` is made of.

        The parameters are those of `problem`. The report says what was done.
        """
        projections = self.projections(slice)
        if views is not None:
            projections = SelectViews(views)(projections)
        # before Bin, which maps the centre; found from all views, whatever the choice of views
        projections = Center(self.find_center() if center == "auto" else center)(projections)
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
        bin: int = 1,
        steps: Sequence[Step] | None = None,
        method: str = "fourier",
        image_shape: tuple[int, int] | None = None,
        fov: Any = None,
    ) -> Problem:
        """Reconstruction problem of one slice: parallel-beam operator, line integrals, noise of each ray.

        Parameters
        ----------
        slice : int
            Detector row.
        center : float or "auto"
            Detector column (before binning) of the rotation axis; "auto" finds it once for the scan.
        views : slice or None
            Views to use, counted by increasing angle.
        bin : int
            Columns to average into one.
        steps : sequence of steps, or None
            What takes the raw projections to line integrals; None means `default_steps`.
        method, image_shape, fov
            As of `invgen.operators.Radon`; the image has as many pixels across as the detector columns.

        Raises
        ------
        DataError
            When the angles are missing, or the data cannot be line integrals: see the steps.
        """
        projections = self.line_integrals(slice, center=center, views=views, bin=bin, steps=steps)
        operator = to_operator(projections, method=method, image_shape=image_shape, fov=fov)
        return to_problem(projections, operator)

    def info(self) -> dict[str, Any]:
        """Describe the scan, as plain data that can be written as JSON.

        Reads the middle slice, where it is not too large, to tell truncation and unusable data.
        """
        from invgen.io.info import describe

        return describe(self)

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
        return f"Scan({str(self.path)!r}, {self.format}: {size})"


def to_operator(
    projections: Projections,
    *,
    method: str = "fourier",
    image_shape: tuple[int, int] | None = None,
    fov: Any = None,
) -> Radon:
    """Parallel-beam operator of line integrals whose centre of rotation is known.

    The axis at column c is a detector moved by ``((n - 1) / 2 - c) * spacing``: nothing is resampled.
    """
    from invgen.operators import Radon

    require(projections, "a reconstruction", "absorption")
    n, spacing = projections.columns, projections.spacing
    if projections.center is None:
        raise ParameterError(
            "the centre of rotation is not known: put Center() or Center(value) among the steps."
        )
    return Radon(
        image_shape or (n, n),
        angles=projections.angles,
        detector_count=n,
        detector_spacing=spacing,
        detector_offset=((n - 1) / 2 - projections.center) * spacing,
        pixel_size=spacing,
        fov=fov,
        method=method,
    )


def to_problem(projections: Projections, operator: Radon | None = None) -> Problem:
    """Reconstruction problem of line integrals, with the noise of each ray.

    Parameters
    ----------
    projections : Projections
        Their centre of rotation is known.
    operator : Radon, optional
        By default that of `to_operator`.
    """
    from invgen.noise import Gaussian
    from invgen.problem import Problem

    operator = to_operator(projections) if operator is None else operator
    std = projections.std
    if std is not None and not math.isfinite(float(std.min())):
        raise DataError("every ray of the slice is dead: nothing was measured.")
    return Problem(operator, projections.data, noise=None if std is None else Gaussian(std))


def _tensor(block: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(block, dtype=np.float32, order="C"))
