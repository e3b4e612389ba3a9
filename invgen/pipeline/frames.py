"""Frames: several scans in one array, along a further axis such as time, energy or echo."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from invgen.core.errors import CapabilityError, ParameterError
from invgen.io.entries import SeveralScans
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.values import select

if TYPE_CHECKING:
    from invgen.io import MeasuredImages, MRIScan, Scan
    from invgen.pipeline.work import Work

__all__ = ["Frames", "opened", "refuse_frames"]


@dataclass(frozen=True)
class Frames:
    """Frames that are reconstructed, each as a scan of its own.

    Attributes
    ----------
    numbers : range
        Of them, in the array or among the repetitions of an MRI scan.
    repeated : bool
        Whether they are repetitions, which a recipe chooses, or entries of an axis, which reading does.
    """

    numbers: range
    repeated: bool = False

    @property
    def middle(self) -> int:
        """The frame on which is chosen what all have in common: center, weight, scale."""
        return self.numbers[len(self.numbers) // 2]

    def reading(self, reading: Reading, frame: int) -> Reading:
        """How one of them is read."""
        return reading if self.repeated else replace(reading, index=(frame,))

    def recipe(self, recipe: Recipe, frame: int) -> Recipe:
        """What is done with one of them."""
        return replace(recipe, repetition=frame) if self.repeated else recipe


def opened(
    path: Path, reading: Reading, recipe: Recipe
) -> tuple[Scan | MRIScan | MeasuredImages, Frames | None]:
    """Open a scan; of several in one array the middle one of those that are asked for.

    Raises
    ------
    ParameterError
        Where frames are asked for and there are none, or others.
    """
    from invgen.io import MRIScan

    try:
        scan = reading.open(path)
    except SeveralScans as several:
        frames = Frames(select(recipe.frames, several.count, "frames"))
        return frames.reading(reading, frames.middle).open(path), frames
    if recipe.frames is None:
        return scan, None
    with ExitStack() as stack:
        stack.callback(scan.close)
        if not isinstance(scan, MRIScan) or scan.repetitions == 1:
            raise ParameterError(
                f"--frames is of arrays that hold several scans, as in --axes time,angle,row,column, and of "
                f"repetitions of MRI; {path} holds one: leave it out."
            )
        if recipe.repetition:
            raise ParameterError("--frames are repetitions of this scan: leave out --repetition.")
        frames = Frames(select(recipe.frames, scan.repetitions, "frames"), repeated=True)
        stack.pop_all()
    return scan, frames


def refuse_frames(work: Work) -> None:
    """Refuse what is kept of single scans only.

    Raises
    ------
    CapabilityError
    """
    if work.recipe.samples is not None or work.method.loads_prior or work.intervals is not None:
        raise CapabilityError(
            f"{work.recipe.solver} makes more of each slice than an image, for which files of several "
            "frames have no place: choose a frame by --index, of MRI by --repetition."
        )
