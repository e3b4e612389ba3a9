"""The CT scan as it is in the file: what it holds, and its projections on demand."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from invgen.core.errors import DataError, InvgenError
from invgen.core.memory import require_memory
from invgen.io.ct.contents import Contents
from invgen.io.ct.contradictions import check_turn, clipped_at, of_angles, of_projections
from invgen.io.ct.preprocess import (
    DeadPixels,
    DropBadFrames,
    FlatField,
    Projections,
    Quantity,
    Step,
    default_steps,
)
from invgen.io.ct.stack import Frames
from invgen.io.options import AngleUnit, Divided, Rotation
from invgen.io.scanfile import ScanFile
from invgen.io.source import Source

__all__ = ["RawScan"]


class RawScan(ScanFile):
    """A CT scan in a file, opened by `open_scan`; close it, or use it in a ``with`` statement.

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
        What the numbers in the file are; counts are first divided by flat fields.
    beam : Beam or None
        Position of the source of a fan or cone beam; None for a parallel beam.
    geometry : {"parallel", "fan", "cone"}
    rotation : {"counterclockwise", "clockwise"}
        Which way the view angles turn; the convention of a file can be the other one.
    pixel_size : float
        Distance of the detector columns at the sample, in `unit`.
    unit : str
        Unit of length, as the file states it; ``"pixel"`` where it states no size.
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
        quantity: Divided | None,
        source: Source,
        rotation: Rotation = "counterclockwise",
        angle_unit: AngleUnit | None = None,
    ):
        super().__init__(path, source)
        self.format, self.notes = contents.format, contents.notes
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
        self.quantity: Divided = "transmission" if raw else quantity or "absorption"
        self.stored: Quantity = "counts" if raw else self.quantity
        if not (contents.counts or contents.line_integrals or self.has_flats or quantity):
            self.notes += (
                "there are no flat fields, so that the numbers are taken as line integrals, with minus the "
                'logarithm taken already; quantity="transmission" says otherwise (command line: --quantity)',
            )
        self.contents = contents
        self._angles, order = contents.angles, None
        if contents.angles is not None and (np.diff(contents.angles) < 0).any():
            order = np.argsort(contents.angles, kind="stable")
            self._angles = contents.angles[order]
            self.notes += ("the angles are not in order in the file; views are counted by increasing angle",)
        self._unit_is_given = angle_unit is not None
        self._frames = contents.projections if order is None else contents.projections.ordered(order)
        self._times = None if contents.flats is None else _in_a_row(contents.times, order)

    @property
    def has_angles(self) -> bool:
        """Whether the angles of the views are known."""
        return self._angles is not None

    @property
    def angles(self) -> np.ndarray:
        """Angles of the views in radians as the file has them, increasing, shape (views,), float64."""
        if self._angles is None:
            raise DataError(
                f"{self.path} does not state the {self.views} angles of its projections; none are guessed. "
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
        row = self._index(slice, self.slices, "slice")
        counts = self.stored == "counts"
        check_turn(self.angles)
        # as stored, in single precision, and one array of work
        rays = self.columns * sum(
            map(len, filter(None, (self._frames, self.contents.flats, self.contents.darks)))
        )
        require_memory((self.dtype.itemsize + 8) * rays, f"A slice of {self.path}", "choose fewer views")

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
            times=self._times if counts else None,
            spacing=self.pixel_size,
            beam=self.beam,
            image_shape=self.contents.image_shape,
            half=self.contents.half,
            index=torch.arange(self.views),
            saturation=self._saturation[0] if counts else None,
        )

    def preprocess(self, slice: int, *steps: Step) -> Projections:
        """Projections of one slice after the given steps; without any, after the default ones."""
        projections = self.projections(slice)
        for step in steps or default_steps(self.stored):
            projections = step(projections)
        return projections

    @cached_property
    def contradictions(self) -> tuple[str, ...]:
        """What the angles and the middle slice contradict of what the file states: a sentence each.

        Of a slice that cannot be read, nothing: what is wrong with it is said where it is used.
        """
        found = [] if self._unit_is_given or not self.has_angles else of_angles(self.angles)
        try:
            steps: tuple[Step, ...] = (DropBadFrames(),)
            if self.stored == "counts":
                found += self._saturation[1]
                steps += DeadPixels(), FlatField()
            return tuple(found + of_projections(self.preprocess(self.slices // 2, *steps)))
        except InvgenError:
            return tuple(found)

    @cached_property
    def _saturation(self) -> tuple[float | None, list[str]]:
        """Value at which the detector clips, and sentences on it.

        As the samples of the middle slice have it, else as the file states, else the largest of an integer
        type.
        """
        stated, row = self.contents.saturation, self.slices // 2
        limit = self._largest if stated is None else stated
        if self.contents.flats is None:
            return limit, []
        counts, flats = self._frames.read(row), self.contents.flats.read(row)
        if stated is not None and (above := int((counts > stated).sum())) > len(counts):
            return self._largest, [
                f"the file states that the detector clips at {stated:g}, and {above} counts of the middle "
                "slice are larger: the statement is not followed"
            ]
        found = clipped_at(counts, flats)
        if found is None or (limit is not None and found >= limit):
            return limit, []
        return found, [
            f"{int((counts == found).sum())} counts of the middle slice and {int((flats == found).sum())} of "
            f"its flats are {found:g}, the largest value: the detector clips there, and they are left out"
        ]

    @property
    def _largest(self) -> float | None:
        """The largest value of an integer type."""
        return float(np.iinfo(self.dtype).max) if self.dtype.kind in "ui" else None

    def __repr__(self) -> str:
        size = f"{self.views} views, {self.slices} slices, {self.columns} columns"
        return f"{type(self).__name__}({str(self.path)!r}, {self.format}, {self.geometry} beam: {size})"


def _tensor(block: np.ndarray) -> torch.Tensor:
    with np.errstate(over="ignore"):  # what becomes infinite is refused by the steps
        return torch.from_numpy(np.array(block, dtype=np.float32, order="C"))


def _in_a_row(
    times: tuple[np.ndarray, np.ndarray] | None, order: np.ndarray | None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Times of the views in their order, and of the flats: their mean where no view is between them."""
    if times is None:
        return None
    views, flats = (np.asarray(each, dtype=np.float64) for each in times)
    _, group = np.unique(np.searchsorted(np.sort(views), flats), return_inverse=True)
    means = np.bincount(group, flats) / np.bincount(group)
    return torch.from_numpy(views if order is None else views[order]), torch.from_numpy(means[group])
