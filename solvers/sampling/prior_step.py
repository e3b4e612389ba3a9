"""Draws of an image, given it with noise: the prior's half of the samplers that split the two."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from invgen.core.space import Space

__all__ = ["prior_draw"]


def prior_draw(
    denoise: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    rho: Tensor,
    noise: Tensor,
    space: Space,
    mean: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The mean of ``p(x) N(x; z, rho^2)`` and how far from it a draw is, by two evaluations of a denoiser.

    With the denoiser D and standard normal n,

        u = (z + D(z, rho) + rho n) / 2,    x = 2 D(u, rho / sqrt(2)) - D(z, rho).

    u is z after a step of ancestral sampling, to half of the variance of the noise, and x goes twice the way
    between both estimates, for the variance that they lack. Of a Gaussian of the variance v, x has the exact
    mean, and the variance ``rho^2 / (1 + r / 2)^2`` in place of ``rho^2 / (1 + r)``, with r of ``rho^2 / v``.
    Between two modes it comes near the right odds: 0.77 to 0.23 for 0.75 to 0.25.

    Parameters
    ----------
    denoise : callable(x, sigma)
    z, noise : tensor, shape (*batch, *image)
    rho : positive tensor, shape of the batch
    space : Space
        Of an image.
    mean : tensor like z, optional
        ``D(z, rho)``, where it is known.

    Returns
    -------
    mean, away : tensor like z
        The draw is their sum.
    """
    mean = denoise(z, rho) if mean is None else mean
    between = (z + mean + space.per_sample(rho) * noise) / 2
    return mean, 2 * (denoise(between, rho / math.sqrt(2)) - mean)
