"""Several statistics together: the density of the values that they have for inliers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from invgen.core.checks import has_type
from invgen.core.errors import CapabilityError, DataError, ParameterError, ShapeError
from invgen.plausibility.anomaly.base import Statistic
from invgen.plausibility.anomaly.kernels import Kernels
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

__all__ = ["STATISTICS", "DensityOfStates", "SymmetryAndStates", "recommended"]

#: Part of the inliers whose density of states is usual, so that the symmetry ratio alone decides.
_USUAL = 0.95


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
        self._kernels()  # refuses what are no such numbers

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
        return replace(self, statistics=fitted, points=tuple(map(_points, fitted, found)))

    def _values(self, prior: Any, images: Tensor) -> Tensor:
        return self.of(_all_values(self.statistics, prior, images))

    def of(self, values: Sequence[Tensor]) -> Tensor:
        """The density of states of images whose values of each statistic are known, shape (n,) each."""
        return torch.stack([k.surprise(each) for k, each in zip(self._kernels(), values, strict=True)]).sum(0)

    def of_points(self) -> Tensor:
        """That of each image that it was fitted to, by the other ones."""
        return torch.stack([kernels.own_surprises() for kernels in self._kernels()]).sum(0)

    def _kernels(self) -> list[Kernels]:
        return [Kernels(points) for points in self.points]

    def header(self) -> dict[str, Any]:
        """Its statistics by name and header, and their points."""
        parts = [{"name": each.name, "settings": each.header()} for each in self.statistics]
        return {"statistics": parts, "points": self.points}


@dataclass(frozen=True)
class SymmetryAndStates(Statistic):
    """``-log P(S >= S(x)) + max(0, D(x) - c)`` in nats: how an image lies, or what else is unusual.

    S is the `SymmetryRatio`, with its probability among inliers; D is the `DensityOfStates` of other
    statistics, and c is its 95 % quantile of inliers, each without its own kernel. Up to c, S alone decides.

    For turned images no test is more powerful than one by S where the prior is right (Neyman and Pearson):
    what D adds for inliers is noise to it, by which a sum, the density of states with S, finds fewer of
    them. Other anomalies, of which S knows nothing, are far beyond c.

    The first term has S in the unit of the second. Where the prior is right, S is about that already: the
    mean of ``exp(S)``, ``p(g x) / p(x)`` over images and turns, is one, and by Markov's inequality
    ``P(S >= s) <= exp(-s)``. A prior that does not know how its images lie is wrong there, by dozens of nats,
    and S itself would hide D.

    Parameters
    ----------
    states : DensityOfStates
    ratios : sequence of float, optional
        Symmetry ratios of inliers.
    usual : float, optional
        c.
    """

    name = "symmetry-and-states"
    capabilities: ClassVar[tuple[type, ...]] = SymmetryRatio.capabilities

    states: DensityOfStates = field(
        default_factory=lambda: DensityOfStates((LogLikelihood(), InputComplexity()))
    )
    ratios: tuple[float, ...] = ()
    usual: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.states, Mapping):  # from a header
            object.__setattr__(self, "states", DensityOfStates.from_header(self.states))
        if not isinstance(self.states, DensityOfStates):
            raise ParameterError(f"states is a DensityOfStates; got {type(self.states).__name__}.")
        if self.usual is None:
            return
        if not (has_type(self.usual, float) and math.isfinite(self.usual) and self.states.is_fitted):
            raise ParameterError(f"usual is a number of nats of fitted states; got {self.usual!r}.")
        Kernels(self.ratios)  # refuses what are no such numbers

    @property
    def is_fitted(self) -> bool:
        """Whether the values of inliers are known."""
        return self.usual is not None

    def _fit(self, prior: Any, images: Tensor) -> Self:
        states, ratio = self.states.fitted(prior, images), SymmetryRatio()
        usual = float(states.of_points().quantile(_USUAL))
        return replace(self, states=states, ratios=_points(ratio, ratio.values(prior, images)), usual=usual)

    def _values(self, prior: Any, images: Tensor) -> Tensor:
        assert self.usual is not None
        ratio, *others = _all_values((SymmetryRatio(), *self.states.statistics), prior, images)
        return Kernels(self.ratios).tail(ratio) + (self.states.of(others) - self.usual).clamp(min=0)

    def header(self) -> dict[str, Any]:
        """The header of its states, and what it has estimated."""
        return {"states": self.states.header(), "ratios": self.ratios, "usual": self.usual}


def _points(statistic: Statistic, values: Tensor) -> tuple[float, ...]:
    """Values of inliers, short enough for the header of a file."""
    if not float(values.std()) > 0:
        raise DataError(f"{statistic.name} is the same for all images: nothing is unusual by it.")
    return tuple(float(f"{value:.7g}") for value in values.tolist())


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
        SymmetryAndStates,
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
    """The recommended statistic of a prior, by what it can do: the one that detected most anomalies in tests.

    Of priors with a density or an energy, the symmetry ratio with the density of states of log-likelihood and
    input complexity; of denoisers, diffusion models among them, the density of states of score norms and
    symmetry ratio; of generators without a density, the reconstruction error, two-sided. Where there is
    nothing to turn, in signals, without the symmetry ratio.

    Raises
    ------
    CapabilityError
        Where it has none of these.
    """
    turning = format_of(prior).axes != 1
    if has_likelihood(prior):
        both = SymmetryAndStates()
        return both if turning else both.states
    if isinstance(prior, Denoiser):
        return DensityOfStates((ScoreNorms(), SymmetryRatio()) if turning else (ScoreNorms(),))
    if any(isinstance(prior, kind) for kind in ReconstructionError.capabilities):
        return ReconstructionError(side="both")
    require(prior, "AnomalyDetector", Density, Energy, Denoiser, *ReconstructionError.capabilities)
    raise CapabilityError(f"No statistic is recommended for a {type(prior).__name__}.")
