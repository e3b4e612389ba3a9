"""Intervals with a guarantee: what calibration found, applied to new reconstructions."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from invgen.calibration.factors import Guarantee, check_guarantee
from invgen.calibration.files import from_header, to_header
from invgen.calibration.kinds import Kind, conditions_of, settings_of, solver_settings
from invgen.calibration.widths import Width, band_of, check_width
from invgen.core.errors import DataError, FileError, InvgenError, ParameterError, ShapeError
from invgen.core.json_files import read_json, write_json
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver

__all__ = ["ConformalIntervals"]


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Factors by which the widths of a solver's intervals are rescaled so that they cover: see `conformal`.

    Attributes
    ----------
    level : float
    guarantee : {"average", "each", "all"}
        What is promised, by which theorem: see `conformal_factors`.
    confidence : float or None
    width : {"quantiles", "deviation", "edges", "constant"}
        See `band_of`.
    floor : float
    factors : tensor, float64
        One number, shape (); of the guarantee "each" one for each pixel, shape (*image), or for each
        region, shape (k,).
    regions : bool tensor, shape (k, *image), or None
        Where the intervals are of means over regions.
    mask : bool tensor, shape (*image), or None
        Pixels that the guarantee is of, where that is not all.
    kind : Kind
        Of which problems, and which solver.
    images : int
        Number of calibration images.
    about : str
        Which images these were.
    """

    level: float
    guarantee: Guarantee
    confidence: float | None
    width: Width
    floor: float
    factors: Tensor
    regions: Tensor | None
    mask: Tensor | None
    kind: Kind
    images: int
    about: str = ""

    def __post_init__(self) -> None:
        check_guarantee(self.level, self.guarantee, self.confidence)
        check_width(self.width, 2, self.floor)
        if not bool((self.factors >= 0).all() & torch.isfinite(self.factors).all()):
            raise DataError("The factors of intervals are finite, and not negative.")

    def apply(
        self, solver: Solver, problem: Problem, reconstruction: Reconstruction
    ) -> tuple[Tensor, Tensor]:
        """Lower and upper ends of the intervals of a reconstruction; of complex images, of the modulus.

        Parameters
        ----------
        solver : Solver
            What made it, with the settings of the calibration.
        problem : Problem
        reconstruction : Reconstruction
            With the number of samples of the calibration.

        Returns
        -------
        lower, upper : tensors, shape (*batch, *image), or of regions (*batch, k)
            In the precision of the image. NaN where the guarantee says nothing: outside of `mask`.

        Raises
        ------
        ParameterError
            For another solver, and problems of another kind: the message says what differs.
        ShapeError, DataError
            For a reconstruction that is not the problem's, or not finite.
        """
        drawn = reconstruction.samples
        self.check(solver, 0 if drawn is None else len(drawn), problem)
        return self.around(problem, reconstruction)

    def check(self, solver: Solver, samples: int, problem: Problem) -> None:
        """Refuse another solver, and problems of which it can be said before they are solved.

        Parameters
        ----------
        solver : Solver
        samples : int
            Zero of estimates.
        problem : Problem

        Raises
        ------
        ParameterError
        """
        settings = solver_settings(solver, samples, "weight" in self.kind.ranges)
        if other := self.kind.other_solver(settings):
            raise ParameterError(f"The intervals are of another solver: {other}. Calibrate this one.")
        self._check_kind(self.kind.other_problem(settings_of(problem)))

    def around(self, problem: Problem, reconstruction: Reconstruction) -> tuple[Tensor, Tensor]:
        """As `apply`, of a solver that was compared before.

        Raises
        ------
        ParameterError, ShapeError, DataError
        """
        self._check_kind(self.kind.other_problem(settings_of(problem)))
        self._check_kind(self.kind.beyond(conditions_of(problem, reconstruction), self.images))
        return self.rescaled(problem, reconstruction)

    def _check_kind(self, other: str) -> None:
        if other:
            raise ParameterError(
                f"The intervals are of problems of another kind: {other}. Calibrate with problems like "
                "this one."
            )

    def rescaled(self, problem: Problem, reconstruction: Reconstruction) -> tuple[Tensor, Tensor]:
        """As `apply`, whatever the problem: no guarantee holds unless it is of the calibration's kind."""
        space, x = problem.operator.domain, reconstruction.x
        if x.shape != (*problem.batch_shape, *space.shape):
            raise ShapeError(
                f"The problem's images have the shape {(*problem.batch_shape, *space.shape)}; the "
                f"reconstruction has {tuple(x.shape)}."
            )
        band = band_of(reconstruction, space, self.width, self.level, floor=self.floor, regions=self.regions)
        low, high = band.scaled(self.factors.flatten().to(x.device))
        shape = (*problem.batch_shape, *(space.shape if self.regions is None else low.shape[-1:]))
        if x.is_complex():
            low = low.clamp(min=0)
        ends = low.reshape(shape), high.reshape(shape)
        if self.mask is not None:
            mask = self.mask.to(x.device)
            ends = torch.where(mask, ends[0], torch.nan), torch.where(mask, ends[1], torch.nan)
        low, high = (end.to(x.real.dtype) for end in ends)
        return low, high

    def about_them(self) -> dict[str, Any]:
        """What is promised, for those who have the intervals alone: level, guarantee, confidence, images."""
        names = ("level", "guarantee", "confidence", "images", "about")
        return {name: value for name in names if (value := getattr(self, name)) not in (None, "")}

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to a JSON file, beside and renamed."""
        write_json(path, to_header(vars(self)))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ConformalIntervals:
        """Read a file of `save`.

        Raises
        ------
        FileError
            For any other file.
        """
        return cls.from_header(read_json(path, "a calibration of intervals"), path)

    @classmethod
    def from_header(cls, header: Any, source: object) -> ConformalIntervals:
        """Intervals of the JSON in a file; `source` is what holds it.

        Raises
        ------
        FileError
            For anything else.
        """
        fields = from_header(header, source)
        try:
            return cls(**fields)
        except InvgenError as error:
            raise FileError(f"The intervals in {source} are damaged: {error}") from error

    def __repr__(self) -> str:
        sure = "" if self.confidence is None else f", confidence={self.confidence:g}"
        of = "pixels" if self.regions is None else f"{len(self.regions)} regions"
        low, high = float(self.factors.min()), float(self.factors.max())
        factor = f"{high:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        return (
            f"ConformalIntervals(level={self.level:g}, guarantee={self.guarantee!r}{sure}, of {of}, "
            f"width={self.width!r}, factor {factor}, {self.images} images)"
        )
