"""The kernel Stein discrepancy: samples against a density known by its score alone, without a truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from invgen.certification.runs import as_rows
from invgen.core.checks import as_count
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.priors.base import Density, Energy, energy_gradient, require
from invgen.problem import Problem

__all__ = ["Stein", "kernel_stein", "posterior_score", "stein_kernel"]

#: Numbers of the differences of pairs that are held at a time.
_BLOCK = 2**22


@dataclass(frozen=True)
class Stein:
    """A kernel Stein discrepancy and its test.

    Attributes
    ----------
    squared : float
        Estimate of the squared discrepancy without bias: of samples of the density it is zero on average, and
        may be negative.
    p_value : float
        Probability of one so large if the samples are independent and of the density.
    length : float
        Of the kernel, in the unit of the image.
    """

    squared: float
    p_value: float
    length: float


def kernel_stein(
    samples: torch.Tensor,
    score: Callable[[torch.Tensor], torch.Tensor],
    *,
    length: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Stein:
    """Test whether samples are from a density, by its score: the kernel Stein discrepancy.

    Liu, Lee and Jordan (2016), eq. 14, and Chwialkowski, Strathmann and Gretton (2016), with the inverse
    multiquadric kernel ``(length^2 + |x - x'|^2)^(-1/2)`` of Gorham and Mackey (2017), whose discrepancy
    falls to zero only if the samples come near the density, in any dimension. Neither the normalization of
    the density nor a truth is needed. The p-value is by the bootstrap of Liu et al. (multinomial weights),
    for independent samples.

    What it does not see: the weights of modes that are far apart. The score near one of them is the same
    whatever weights they have, so that samples of one alone pass; and in many dimensions it has little power
    against errors of few of them. Ranks (`rank_truths`) see both.

    Parameters
    ----------
    samples : real or complex tensor, shape (n, *shape)
    score : callable
        Gradient of the logarithm of the density of images ``(n, *shape)``, up to no factor; of complex images
        with respect to real and imaginary part. Of posteriors `posterior_score` gives it.
    length : positive number, optional
        By default the median distance of two samples.
    resamples : int
        Of the bootstrap.
    seed : int

    Returns
    -------
    Stein

    Raises
    ------
    ShapeError, DataError, ParameterError
        For fewer than ten samples, a score of another shape, values that are not finite, and samples that are
        all alike.
    """
    if samples.ndim < 1 or len(samples) < 10:
        raise ShapeError(f"kernel_stein needs ten samples, (n, *image); got {tuple(samples.shape)}.")
    resamples = as_count(resamples, "resamples")
    with torch.no_grad():
        gradients = score(samples)
    if gradients.shape != samples.shape:
        raise ShapeError(
            f"The score of samples {tuple(samples.shape)} has their shape; got {tuple(gradients.shape)}."
        )
    x, s = as_rows(samples).double(), as_rows(gradients).double()
    if not bool(torch.isfinite(x).all() and torch.isfinite(s).all()):
        raise DataError("Samples and their scores must be finite.")
    if length is None:
        length = float(torch.pdist(x).median())
        if length == 0:
            raise DataError("Half of the samples are alike: kernel_stein needs samples of a density.")
    if not 0 < length < math.inf:
        raise ParameterError(f"length is a positive number; got {length}.")
    u = stein_kernel(x, s, float(length))
    u.fill_diagonal_(0)
    n = len(x)
    squared = float(u.sum()) / (n * (n - 1))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(n, (resamples, n), generator=generator)
    weights = torch.zeros(resamples, n, dtype=torch.float64).scatter_add_(
        1, drawn, torch.full(drawn.shape, 1 / n, dtype=torch.float64)
    )
    centered = weights - 1 / n
    null = ((centered @ u) * centered).sum(1)
    # the estimate above divides by n (n - 1) where the weights add up to 1 / n^2
    larger = int((null >= squared * (n - 1) / n).sum())
    return Stein(squared, (1 + larger) / (1 + resamples), float(length))


def stein_kernel(x: torch.Tensor, score: torch.Tensor, length: float) -> torch.Tensor:
    """Stein kernel of all pairs of rows ``(n, d)``, (n, n); its mean over a density is zero.

    With ``r = x - x'``, ``q = length^2 + |r|^2`` and the kernel ``q^(-1/2)``:
    ``s.s' q^(-1/2) + (s - s').r q^(-3/2) + d q^(-3/2) - 3 |r|^2 q^(-5/2)``.
    """
    n, d = x.shape
    parts = []
    for rows, scores in zip(x.split(max(1, _BLOCK // n)), score.split(max(1, _BLOCK // n)), strict=True):
        square = torch.cdist(rows, x, compute_mode="donot_use_mm_for_euclid_dist").square()
        # (s - s').(x - x') = s.x + s'.x' - s.x' - s'.x
        own, other = (rows * scores).sum(1, keepdim=True), (x * score).sum(1)
        along = own + other - scores @ x.mT - rows @ score.mT
        q = length**2 + square
        parts.append(scores @ score.mT * q**-0.5 + (along + d) * q**-1.5 - 3 * square * q**-2.5)
    return torch.cat(parts)


def posterior_score(
    prior: Any, problem: Problem, sigma: float | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Score of a posterior: the gradient of the prior's log-density plus that of the log-likelihood.

    Parameters
    ----------
    prior : Density or Energy that PyTorch can differentiate
    problem : Problem
        One measurement.
    sigma : positive number, optional
        Takes ``prior.score(x, sigma)``, the score of images with noise of this level, which priors known by a
        denoiser have: the posterior is then that of a prior blurred so much.

    Raises
    ------
    CapabilityError
        Where the prior has no such score.
    """
    if sigma is not None:
        require(prior, "posterior_score", Scored)
        return lambda x: prior.score(x, sigma) - problem.repeated(len(x)).gradient(x)
    require(prior, "posterior_score", Energy, Density)
    energy = prior if isinstance(prior, Energy) else _NegativeLogarithm(prior)
    return lambda x: -energy_gradient(energy, x) - problem.repeated(len(x)).gradient(x)


@runtime_checkable
class Scored(Protocol):
    """A prior with the score of noisy images, as denoisers have by Tweedie's formula."""

    def score(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Gradient of the logarithm of the density of ``x0 + sigma n``."""


@dataclass(frozen=True)
class _NegativeLogarithm:
    """The energy of a normalized density."""

    prior: Any

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        return -self.prior.log_prob(x)
