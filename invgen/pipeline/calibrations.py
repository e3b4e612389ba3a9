"""Files of calibrations, and the intervals that one of them gives to slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invgen.calibration import ConformalIntervals
from invgen.core.errors import ParameterError
from invgen.core.json_files import read_json
from invgen.plausibility import Calibration
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver

__all__ = ["Bounds", "Calibrations", "without_intervals"]

#: What the format of a file of intervals begins with, of whatever version.
_INTERVALS = "invgen conformal intervals"

#: The largest number of slices that a warning lists.
_LISTED = 8


@dataclass(frozen=True)
class Bounds:
    """Intervals of slices that were reconstructed together.

    Attributes
    ----------
    lower, upper : tensors, shape (slices, H, W), of regions (slices, k)
        NaN where there are none.
    remark : str
        Why there are none; empty where there are.
    """

    lower: Tensor
    upper: Tensor
    remark: str


@dataclass(frozen=True)
class Calibrations:
    """What files of calibrations hold, of each kind at most one.

    Attributes
    ----------
    scans : Calibration or None
        Of scans that fit operator, noise and prior.
    intervals : ConformalIntervals or None
    """

    scans: Calibration | None = None
    intervals: ConformalIntervals | None = None

    @classmethod
    def load(cls, names: Sequence[str]) -> Calibrations:
        """Read files, each of the kind that its contents have.

        Raises
        ------
        FileError
            For a file that is neither.
        ParameterError
            Where two are of the same kind.
        """
        found: dict[str, Any] = {}
        for name in names:
            path = Path(name)
            header = read_json(path, "a calibration")
            form = header.get("format") if isinstance(header, dict) else None
            of_intervals = isinstance(form, str) and form.startswith(_INTERVALS)
            kind = "intervals" if of_intervals else "scans"
            if kind in found:
                what = "intervals" if of_intervals else "scans that fit"
                raise ParameterError(f"--calibration gives two files of {what}: leave out one of them.")
            found[kind] = (
                ConformalIntervals.from_header(header, path) if of_intervals else Calibration.load(path)
            )
        return cls(**found)

    def check(self, solver: Solver, samples: int, problem: Problem) -> None:
        """Refuse intervals of another solver, or of another kind of problem, before the work.

        Parameters
        ----------
        solver : Solver
            As it was asked for, whatever it chooses from the data.
        samples : int
            Zero of estimates.
        problem : Problem
            That of a slice.

        Raises
        ------
        ParameterError
        """
        if self.intervals is None:
            return
        if problem.batch_shape:
            raise ParameterError("--calibration has intervals of images; here each coil is one by itself.")
        try:
            self.intervals.check(solver, samples, problem)
        except ParameterError as error:
            raise ParameterError(f"--calibration does not fit: {error}") from error

    def bounds(self, problem: Problem, result: Reconstruction) -> tuple[Tensor, Tensor] | str | None:
        """Ends of the intervals of a reconstruction; why there are none; None where none are asked for."""
        if self.intervals is None:
            return None
        try:
            return self.intervals.around(problem, result)
        except ParameterError as error:
            return str(error)

    def of_slices(
        self, found: tuple[Tensor, Tensor] | str | None, arranged: Callable[[Tensor], Tensor], like: Tensor
    ) -> Bounds | None:
        """What `bounds` has returned, for each slice.

        Parameters
        ----------
        found : tuple of tensors, str or None
        arranged : callable
            Makes slices of what has the shape of the image.
        like : tensor, shape (slices, H, W)
            The images of the slices.
        """
        if found is None or self.intervals is None:
            return None
        regions = self.intervals.regions
        if isinstance(found, str):
            shape = like.shape if regions is None else (len(like), len(regions))
            none = torch.full(shape, torch.nan, dtype=like.real.dtype)
            return Bounds(none, none, found)
        if regions is None:
            low, high = (arranged(end).float().cpu() for end in found)
        else:  # of a volume they are those of all its slices
            low, high = (end.float().cpu().expand(len(like), -1) for end in found)
        return Bounds(low, high, "")


def without_intervals(reasons: dict[int, str]) -> str:
    """A sentence on the slices that have no intervals, by why; empty where all have."""
    if not reasons:
        return ""
    rows = list(reasons)
    listed = ", ".join(map(str, rows[:_LISTED])) + (", ..." if len(rows) > _LISTED else "")
    return f"Slices without intervals: {listed}. {reasons[rows[0]]}"
