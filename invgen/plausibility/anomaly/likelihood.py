"""Statistics of the density alone: its logarithm, and its distance from what is typical."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from invgen.core.checks import as_count, has_type
from invgen.core.errors import ParameterError, ShapeError
from invgen.plausibility.anomaly.base import Side, Statistic, in_parts
from invgen.priors.base import Density, Energy, log_prob_kind

__all__ = ["BatchTypicality", "LikelihoodStatistic", "LogLikelihood", "Typicality", "minus_log_prob"]


def minus_log_prob(prior: Any, images: Tensor) -> Tensor:
    """``-log p`` in nats of images ``(n, *image)``, or the energy, which is that up to a constant.

    An estimate draws other random numbers for each image of a batch: each image comes alone, so that all have
    the same.
    """
    if not isinstance(prior, Density):
        return in_parts(prior.energy, images)
    log_prob: Callable[[Tensor], Tensor] = prior.log_prob
    return -in_parts(log_prob, images, 1 if log_prob_kind(prior) == "estimate" else None)


class LikelihoodStatistic(Statistic):
    """A statistic that follows from ``-log p`` and the image, so that several can share the former.

    A subclass gives ``given(prior, images, energy)``, the statistic of images whose ``-log p`` is known.
    """

    capabilities: ClassVar[tuple[type, ...]] = (Density, Energy)

    def given(self, prior: Any, images: Tensor, energy: Tensor) -> Tensor:
        """The statistic of images ``(n, *image)`` whose `minus_log_prob` is `energy`, shape (n,)."""
        raise NotImplementedError

    def _values(self, prior: Any, images: Tensor) -> Tensor:
        return self.given(prior, images, minus_log_prob(prior, images))


@dataclass(frozen=True)
class LogLikelihood(LikelihoodStatistic):
    """Minus the log-likelihood, ``-log p(x)`` in nats: Song et al. (2018), "PixelDefend", section 4.1.

    Blind to images that are too likely: constant ones have a higher density than most images that a prior has
    learned from, and so have digits under a prior of clothes (Nalisnick et al. 2019, "Do deep generative
    models know what they don't know?").

    Parameters
    ----------
    side : {"high", "both"}
        "both" takes what is too likely for anomalous, too.
    """

    name = "log-likelihood"

    side: Side = "high"

    def __post_init__(self) -> None:
        if self.side not in ("high", "both"):
            raise ParameterError(f'side is "high" or "both"; got {self.side!r}.')

    def given(self, prior: Any, images: Tensor, energy: Tensor) -> Tensor:
        """-log p itself."""
        return energy


class _FromEntropy(LikelihoodStatistic):
    """A dataclass with a field `entropy`, in nats, that data estimate."""

    entropy: float | None

    def __post_init__(self) -> None:
        if self.entropy is not None and not (has_type(self.entropy, float) and math.isfinite(self.entropy)):
            raise ParameterError(f"entropy is a number of nats; got {self.entropy!r}.")

    @property
    def is_fitted(self) -> bool:
        """Whether the entropy is known."""
        return self.entropy is not None

    def _fit(self, prior: Any, images: Tensor) -> Self:
        entropy: Any = {"entropy": _entropy(prior, images)}
        return replace(self, **entropy)


@dataclass(frozen=True)
class Typicality(_FromEntropy):
    """Distance of an image from the typical set, ``|-log p(x) - H|``, in nats.

    Nalisnick et al. (2019), "Detecting out-of-distribution inputs to deep generative models using
    typicality", section 3, for one image: the entropy H is estimated by the mean of -log p over data.

    Parameters
    ----------
    entropy : float, optional
        H in nats.
    """

    name = "typicality"

    entropy: float | None = None

    def given(self, prior: Any, images: Tensor, energy: Tensor) -> Tensor:
        """Its distance from the entropy."""
        assert self.entropy is not None
        return (energy - self.entropy).abs()


@dataclass(frozen=True)
class BatchTypicality(_FromEntropy):
    """Distance of several images together from the typical set, ``|mean of -log p(x_m) - H|``, in nats.

    Nalisnick et al. (2019), section 3: a hypothesis of M images, that all come from the prior's distribution.
    The paper finds the threshold by the bootstrap; here calibration data are cut into groups, which are
    exchangeable with a group of inliers, so that the test is exact.

    Parameters
    ----------
    size : int
        M.
    entropy : float, optional
        H in nats.
    """

    name = "batch-typicality"

    size: int = 10
    entropy: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        as_count(self.size, "size, the number of images of a group,", least=2)

    @property
    def group(self) -> int:
        """M."""
        return self.size

    def given(self, prior: Any, images: Tensor, energy: Tensor) -> Tensor:
        """The distance of its mean over a group from the entropy."""
        assert self.entropy is not None
        return (energy.reshape(-1, self.size).mean(1) - self.entropy).abs()


def _entropy(prior: Any, images: Tensor) -> float:
    if not len(images):
        raise ShapeError("An entropy is estimated from at least one image; got none.")
    return float(torch.mean(minus_log_prob(prior, images)))
