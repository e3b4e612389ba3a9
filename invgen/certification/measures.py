"""How far samples are from a posterior that is known: distances, biases, coverage and ranks.

Samples are rows of real numbers, ``(n, d)``; those of complex images have their real and imaginary parts.
"""

from __future__ import annotations

import torch

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError

__all__ = [
    "calibration",
    "coverage",
    "mean_bias",
    "mmse_gap",
    "rank",
    "sliced_wasserstein",
    "variance_error",
    "variance_ratio",
]


def sliced_wasserstein(x: torch.Tensor, y: torch.Tensor, *, directions: int = 100, seed: int = 0) -> float:
    """Wasserstein-1 distance of two sets of samples along a line, averaged over lines of all directions.

    Rabin et al. (2011), sec. 2.3, of first order. Along a line, the best transport pairs the samples in their
    order.

    Parameters
    ----------
    x, y : tensor, shape (n, d)
        Samples of the two distributions, of the same number.
    directions : int
        Random unit vectors.
    seed : int
        Of the directions: the same seed measures along the same lines.

    Raises
    ------
    ShapeError
        Where the sets differ in shape.
    """
    if x.shape != y.shape or x.ndim != 2:
        raise ShapeError(
            f"Two sets of the same number of samples are compared, as rows (n, d); got {tuple(x.shape)} and "
            f"{tuple(y.shape)}."
        )
    directions, generator = as_count(directions, "directions"), torch.Generator().manual_seed(seed)
    lines = torch.randn(directions, x.shape[1], generator=generator, dtype=torch.float64)
    lines = lines / lines.norm(dim=1, keepdim=True)
    a, b = ((lines @ rows.double().mT).sort().values for rows in (x, y))
    return float((a - b).abs().mean())


def mean_bias(samples: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> float:
    """Mean square of the bias of the mean, in posterior standard deviations.

    What n independent samples of their variance would be off by chance is taken away, so that the expectation
    is that of the bias alone; it can be negative.

    Parameters
    ----------
    samples : tensor, shape (n, d)
    mean, std : tensor, shape (d,)
        Of the posterior.
    """
    chance = samples.double().var(0) / len(samples)
    off = (samples.double().mean(0) - mean).square() - chance
    return float((off / std.square()).mean())


def variance_ratio(samples: torch.Tensor, std: torch.Tensor) -> float:
    """Variance of samples ``(n, d)`` over that of the posterior, ``std^2``; the average over the pixels."""
    return float((samples.double().var(0) / std.square()).mean())


def variance_error(samples: torch.Tensor, std: torch.Tensor) -> float:
    """Mean square of how far each pixel's variance is from that of the posterior, relative to the latter.

    Less what n independent samples of their fourth moment would be off by chance, as in `mean_bias`.
    """
    away = samples.double() - samples.double().mean(0)
    v = away.square().sum(0) / (len(samples) - 1)
    chance = (away.pow(4).mean(0) - v.square()) / len(samples)
    return float((((v - std.square()).square() - chance) / std.pow(4)).mean())


def mmse_gap(estimate: torch.Tensor, mean: torch.Tensor, truth: torch.Tensor) -> float:
    """Squared error of an estimate over that of the posterior mean, in dB; all of the shape (d,)."""
    error, least = ((x - truth).square().sum() for x in (estimate, mean))
    return float(10 * torch.log10(error / least))


def coverage(low: torch.Tensor, high: torch.Tensor, truths: torch.Tensor) -> float:
    """Fraction of the truths ``(n, *shape)`` in the intervals ``(*shape)``, over all pixels."""
    return float(((low <= truths) & (truths <= high)).double().mean())


def rank(samples: torch.Tensor, truth: torch.Tensor, generator: torch.Generator) -> float:
    """Where the truth is among the samples along a random line, between 0 and 1.

    Talts et al. (2018), algorithm 1: of a truth of the same distribution as n samples, the rank is one of 0
    to n with equal probability, and with a uniform number added and divided by n + 1 it is uniform.

    Parameters
    ----------
    samples : tensor, shape (n, d)
    truth : tensor, shape (d,)
    generator : torch.Generator
        Of the line and of the uniform number.
    """
    line = torch.randn(len(truth), generator=generator, dtype=torch.float64)
    below = (samples.double() @ line < truth.double() @ line).sum()
    return float((below + torch.rand((), generator=generator)) / (len(samples) + 1))


def calibration(ranks: list[float]) -> float:
    """Probability of ranks that are no more uniform than these, if they come from a uniform distribution.

    Pearson's chi-square test, as Talts et al. (2018) suggest, sec. 5.1, in up to 20 equal bins with five
    expected ranks or more in each. Small, as below 0.001, for a sampler of another distribution.

    Raises
    ------
    ParameterError
        Of fewer than ten ranks.
    """
    bins = min(20, len(ranks) // 5)
    if bins < 2:
        raise ParameterError(f"A test of uniformity takes ten ranks or more; got {len(ranks)}.")
    counts = torch.tensor(ranks, dtype=torch.float64).histc(bins, 0, 1)
    expected = len(ranks) / bins
    square = ((counts - expected).square() / expected).sum()
    # the upper tail of the chi-square distribution of bins - 1 degrees of freedom
    return float(torch.special.gammaincc(torch.tensor((bins - 1) / 2, dtype=torch.float64), square / 2))
