"""Several statistics together: the density of the values that they have for inliers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError, DataError, ParameterError, ShapeError
from invgen.plausibility.anomaly.base import Statistic
from invgen.plausibility.anomaly.likelihood import (
    BatchTypicality,
    LikelihoodStatistic,
    LogLikelihood,
    Typicality,
    minus_log_prob,
)
from invgen.plausibility.anomaly.ratios import InputComplexity, LikelihoodRatio
from invgen.plausibility.anomaly.reconstruction import ReconstructionError
from invgen.plausibility.anomaly.scores import ScoreNorms
from invgen.plausibility.anomaly.symmetry import SymmetryRatio, has_likelihood
from invgen.priors.base import Denoiser, Density, Energy, require
from invgen.priors.image_format import format_of

__all__ = ["STATISTICS", "DensityOfStates", "recommended"]


@dataclass(frozen=True)
class DensityOfStates(Statistic):
    """``- sum_j log q_j(T_j(x))``, q_j being the density of the statistic T_j of inliers.

    Morningstar et al. (2021), "Density of states estimation for out-of-distribution detection", with kernel
    density estimates of each statistic (bandwidth by Scott's rule, ``std n^(-1/5)``). Values that are too
    small are as unusual as those that are too large, so that images that are too likely are found, and what
    one statistic does not see another does.

    Parameters
    ----------
    statistics : sequence of Statistic
    points : sequence of sequences of float, optional
        Values of each of them, of inliers.
    """

    name = "density-of-states"
    capabilities: ClassVar[tuple[type, ...]] = (object,)  # those of its statistics, which ask themselves

    statistics: tuple[Statistic, ...] = (LogLikelihood(), InputComplexity(), SymmetryRatio())
    points: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "statistics", tuple(map(_statistic, self.statistics)))
        if not self.statistics or any(each.group > 1 for each in self.statistics):
            raise ParameterError("A density of states is one of statistics, at least one, of single images.")
        if self.points and (
            len(self.points) != len(self.statistics) or len({len(values) for values in self.points}) != 1
        ):
            raise ShapeError(f"{len(self.statistics)} statistics have as many rows of points, of one length.")
        if self.points and not bool((self._bandwidths() > 0).all()):
            raise DataError("The points of a density of states are numbers that differ.")

    @property
    def is_fitted(self) -> bool:
        """Whether the values of inliers are known."""
        return bool(self.points)

    def _check(self, prior: Any, images: Tensor, method: str) -> None:
        super()._check(prior, images, method)
        for each in self.statistics:
            require(prior, f"{type(self).__name__}.{method}", *each.capabilities)

    def _fit(self, prior: Any, images: Tensor) -> Self:
        if len(images) < 2:
            raise ShapeError(f"A density of states is fitted to at least 2 images; got {len(images)}.")
        fitted = tuple(each.fitted(prior, images) for each in self.statistics)
        found = _all_values(fitted, prior, images)
        for each, values in zip(fitted, found, strict=True):
            if not float(values.std()) > 0:
                raise DataError(f"{each.name} is the same for all images: nothing is unusual by it.")
        # short enough for the header of a file
        points = tuple(tuple(float(f"{value:.7g}") for value in values.tolist()) for values in found)
        return replace(self, statistics=fitted, points=points)

    def _values(self, prior: Any, images: Tensor) -> Tensor:
        total = torch.zeros(len(images), dtype=torch.float64)
        found = _all_values(self.statistics, prior, images)
        for values, points, width in zip(found, self.points, self._bandwidths(), strict=True):
            known = torch.tensor(points, dtype=torch.float64)
            away = (values[:, None] - known) / width
            constant = math.log(len(known)) + math.log(float(width)) + math.log(2 * math.pi) / 2
            total -= torch.logsumexp(-away.square() / 2, 1) - constant
        return total

    def _bandwidths(self) -> Tensor:
        points = torch.tensor(self.points, dtype=torch.float64)
        return points.std(1) * points.shape[1] ** -0.2

    def header(self) -> dict[str, Any]:
        """Its statistics by name and header, and their points."""
        parts = [{"name": each.name, "settings": each.header()} for each in self.statistics]
        return {"statistics": parts, "points": self.points}


def _all_values(statistics: Sequence[Statistic], prior: Any, images: Tensor) -> list[Tensor]:
    """Values of fitted statistics, for which the likelihood is computed once."""
    if not has_likelihood(prior) or not any(isinstance(each, LikelihoodStatistic) for each in statistics):
        return [each.values(prior, images) for each in statistics]
    shared = minus_log_prob(prior, images)
    return [
        each.given(prior, images, shared)
        if isinstance(each, LikelihoodStatistic)
        else each.values(prior, images)
        for each in statistics
    ]


#: The statistics by name.
STATISTICS: dict[str, type[Statistic]] = {
    kind.name: kind
    for kind in (
        DensityOfStates,
        LogLikelihood,
        Typicality,
        BatchTypicality,
        LikelihoodRatio,
        InputComplexity,
        SymmetryRatio,
        ScoreNorms,
        ReconstructionError,
    )
}


def _statistic(entry: Any) -> Statistic:
    """A statistic, or that of an entry of a header."""
    if isinstance(entry, Statistic):
        return entry
    if not isinstance(entry, Mapping) or entry.get("name") not in STATISTICS:
        raise ParameterError(f"A statistic is one of {', '.join(STATISTICS)}; got {entry!r}.")
    return STATISTICS[entry["name"]].from_header(entry.get("settings"))


def recommended(prior: Any) -> Statistic:
    """The statistic that found most of the anomalies that it was chosen by, for what a prior can do.

    Of priors with a density or an energy, the density of states of log-likelihood, input complexity and
    symmetry ratio; of denoisers, diffusion models among them, that of score norms and symmetry ratio; of
    generators without a density, the reconstruction error, two-sided.

    Raises
    ------
    CapabilityError
        Where it has none of these.
    """
    turning: Sequence[Statistic] = () if format_of(prior).axes == 1 else (SymmetryRatio(),)
    if has_likelihood(prior):
        return DensityOfStates((LogLikelihood(), InputComplexity(), *turning))
    if isinstance(prior, Denoiser):
        return DensityOfStates((ScoreNorms(), *turning))
    if any(isinstance(prior, kind) for kind in ReconstructionError.capabilities):
        return ReconstructionError(side="both")
    require(prior, "AnomalyDetector", Density, Energy, Denoiser, *ReconstructionError.capabilities)
    raise CapabilityError(f"No statistic is recommended for a {type(prior).__name__}.")
