"""Mean and variance of samples that are independent, or come in antithetic pairs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Moments", "moments"]


class Moments(NamedTuple):
    """What n samples say of the distribution that they are of.

    Attributes
    ----------
    mean : tensor, shape (*shape)
    variance : tensor, shape (*shape)
        Of one sample, estimated without bias; of complex ones that of the distance from the mean.
    of_mean : tensor, shape (*shape)
        Variance of `mean`.
    freedom : tensor, shape (*shape)
        Degrees of freedom of `variance`, of real samples: it is distributed about as a chi-square variable
        of so many, divided by their number.
    """

    mean: Tensor
    variance: Tensor
    of_mean: Tensor
    freedom: Tensor

    @property
    def std(self) -> Tensor:
        """Standard deviation of one sample."""
        return self.variance.sqrt()


def moments(samples: Tensor, antithetic: bool = False) -> Moments:
    """Mean and variance of two samples or more.

    Samples 2k and 2k + 1 of antithetic pairs depend on one another, by a correlation r between -1 and 1 that
    is not known: a method that is linear in its random numbers has -1, and a modulus that is nearly zero has
    one. The mean of a pair has the variance ``v (1 + r) / 2``, half of the difference ``v (1 - r) / 2``; so
    that the sum of what estimates them,

        v = mean of |half differences|^2 + sample variance of the means of pairs,

    has no bias, whatever r is (about the mean of all, the sample variance is n / (n - 1) times as large as it
    should be for r of -1). Its degrees of freedom are those of Satterthwaite (1946), from one for each pair
    (r of -1) to about n - 1 (r of 0). Of a single pair r cannot be estimated, and is taken for -1. A last
    sample without a partner counts for the mean alone.

    Parameters
    ----------
    samples : tensor, shape (n, *shape)
    antithetic : bool
        Whether they come in such pairs.
    """
    n, mean = len(samples), samples.mean(0)
    if not antithetic:
        variance = samples.var(0)
        return Moments(mean, variance, variance / n, torch.full_like(variance, n - 1))
    pairs = n // 2
    first, second = samples[: 2 * pairs].unflatten(0, (pairs, 2)).unbind(1)
    within = ((first - second) / 2).abs().square().mean(0)
    between = ((first + second) / 2).var(0) if pairs > 1 else torch.zeros_like(within)
    variance = within + between
    of_mean = (4 * pairs * between + (n - 2 * pairs) * variance) / n**2
    part = torch.where(variance > 0, within / variance, 1)
    rest = (1 - part).square() / (pairs - 1) if pairs > 1 else 0
    return Moments(mean, variance, of_mean, 1 / (part.square() / pairs + rest))
