"""What a reader finds in a file, before it becomes a `Scan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from invgen.core.errors import DataError
from invgen.io.ct.beam import Beam
from invgen.io.ct.stack import Frames

__all__ = ["Contents"]

#: What the caller can state about projections, beside the array and its axes.
_OPTIONS = ("angles", "angles_dataset", "angle_unit", "flats", "darks", "quantity", "rotation", "index")


@dataclass(frozen=True)
class Contents:
    """Frames and metadata of a file, in the order of the file."""

    kind: ClassVar[str] = "a CT scan"
    options: ClassVar[tuple[str, ...]] = _OPTIONS  # those that apply

    format: str
    dataset: str
    projections: Frames
    flats: Frames | None
    darks: Frames | None
    angles: np.ndarray | None  # radians
    counts: bool  # whether the format defines projections as raw counts, to be divided by flats
    pixel_size: float = 1.0  # spacing of the columns at the sample: the detector's over the magnification
    unit: str = "pixel"  # of the pixel size, as the file states it
    row_size: float | None = None  # spacing of the rows, likewise; None: that of the columns
    beam: Beam | None = None  # None: parallel
    image_shape: tuple[int, int] | None = None  # of the image, where the format states it
    half: bool = False  # whether the file states that the rotation axis is next to an edge of the detector
    line_integrals: bool = False  # whether the format defines the projections as line integrals
    saturation: float | None = None  # the value at which the detector clips, where the file states it
    times: tuple[np.ndarray, np.ndarray] | None = None  # of projections and of flats, in any unit of time
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        stack = self.projections.stack
        for name, frames in (("flat", self.flats), ("dark", self.darks)):
            if frames and (frames.stack.rows, frames.stack.columns) != (stack.rows, stack.columns):
                raise DataError(
                    f"the {name} fields have {frames.stack.rows} rows and {frames.stack.columns} columns, "
                    f"the projections {stack.rows} rows and {stack.columns} columns: "
                    "give fields of the same detector."
                )
        if self.angles is not None and len(self.angles) != len(self.projections):
            raise DataError(
                f"there are {len(self.angles)} angles for {len(self.projections)} projections; "
                "give one per projection."
            )
