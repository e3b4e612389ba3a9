"""What is measured of a scan and its reconstruction before it is compared with others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invgen.core.checks import nonfinite
from invgen.core.errors import CapabilityError, DataError
from invgen.plausibility.reconstructions.coarse import CoarseDensity
from invgen.plausibility.reconstructions.orientation import orientation
from invgen.plausibility.reconstructions.protocol import conditions_of, prior_of, protocol_of
from invgen.plausibility.reconstructions.residuals import (
    least_squares_bound,
    least_squares_image,
    noise_statistics,
    residual_statistics,
)
from invgen.plausibility.reconstructions.typicality import typicality
from invgen.priors.image_format import format_of
from invgen.priors.nets.evaluation import Networked
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver
from invgen.solvers.scale import prior_unit

__all__ = ["MeasuredScan", "axes_of", "measured", "of_whole"]


@dataclass(frozen=True)
class MeasuredScan:
    """A scan before it is compared: the image in the prior's unit, and what `Assessment` has."""

    image: Tensor
    statistics: dict[str, Tensor]
    bound: Tensor | None
    conditions: dict[str, Tensor]
    protocol: dict[str, Any]
    map: Tensor | None


def measured(solver: Solver, problem: Problem, reconstruction: Reconstruction) -> MeasuredScan:
    """What is measured of each scan, whatever it is compared with; errors as of `assess`."""
    prior, space = prior_of(solver), problem.operator.domain
    x = reconstruction.x if reconstruction.samples is None else reconstruction.samples[0]
    if bad := nonfinite(x, space.names):
        raise DataError(f"The reconstruction holds {bad}, whose plausibility is not defined.")
    statistics, bound = _of_residual(problem, x)
    unit = prior_unit(_scale(reconstruction), prior)
    own = x if unit is None else x / space.per_sample(unit.to(x.device))
    of_image, shown = typicality(_precise(prior), own)
    statistics = _by_scan(problem.batch_shape, statistics | of_image)
    return MeasuredScan(
        own,
        statistics,
        None if bound is None else bound.cpu(),
        conditions_of(solver.described(problem), statistics),
        protocol_of(solver, problem),
        None if shown is None else shown.cpu(),
    )


def axes_of(prior: Any) -> int:
    """Of one image of a prior; rows and columns where it takes others, too."""
    return format_of(prior).axes or 2


def of_whole(
    prior: Any, scan: MeasuredScan, coarse: CoarseDensity | None, oriented: bool
) -> dict[str, Tensor]:
    """Statistics of where things are in the image: those that a calibration has.

    By examples where it has them, and by which way round the prior denoises better, which takes longer than
    all other statistics.
    """
    batch = next(iter(scan.conditions.values())).shape
    found = {} if coarse is None else coarse.statistics(scan.image, axes_of(prior))
    return _by_scan(batch, found | (orientation(_precise(prior), scan.image) if oriented else {}))


def _by_scan(batch: tuple[int, ...], statistics: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of the batch's shape: means over the slices of a volume that a prior of images has seen one by one."""
    return {name: values.reshape(*batch, -1).mean(-1).cpu() for name, values in statistics.items()}


def _precise(prior: Any) -> Any:
    """In full precision: differences of what a network returns are lost in half of it."""
    return prior.evaluated() if isinstance(prior, Networked) else prior


def _scale(reconstruction: Reconstruction) -> Any:
    """What is white in the image; one where the solver reports none."""
    return torch.as_tensor(reconstruction.stats.get("scale", 1.0))


def _of_residual(problem: Problem, x: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
    """Statistics of the residual, and the bound; none for noise that has no standardized residuals."""
    try:
        at_sample = residual_statistics(problem, x)
    except CapabilityError:
        return {}, None
    near = least_squares_image(problem, x)
    if near is None:
        return at_sample, None
    at_near = {f"least squares: {name}": value for name, value in residual_statistics(problem, near).items()}
    return at_sample | at_near | noise_statistics(problem), least_squares_bound(problem, near)
