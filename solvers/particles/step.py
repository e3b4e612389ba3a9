"""The step of a twisted particle from one noise level to the next."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from invgen.core.space import Space

__all__ = ["Twisted", "given", "step", "variance_seen", "width"]


class Twisted(NamedTuple):
    """Particles at a noise level, as `Cloud`, and what their next step takes, whatever its length.

    Attributes
    ----------
    noisy, log_weights, ancestors, evaluations
        The weights with the twisting function of this level.
    denoised : tensor, shape (count, *image)
        D.
    twist : tensor, shape (count,)
        Logarithm of the twisting function.
    guide, guide_through : tensor, shape (count, *image)
        ``sigma^2`` times its slope, and J times that.
    noise, noise_through : tensor, shape (count, *image)
        Noise of the next step, and J times it.
    surplus : tensor, shape (count,)
        Logarithm of the density of white noise there over that which it is of.
    variance : tensor, shape (count,)
        That of a white prior, for which this noise is; the same for all.
    """

    noisy: Tensor
    log_weights: Tensor
    ancestors: Tensor
    evaluations: Tensor
    denoised: Tensor
    twist: Tensor
    guide: Tensor
    guide_through: Tensor
    noise: Tensor
    noise_through: Tensor
    surplus: Tensor
    variance: Tensor


def given(sigma: float, v: float) -> float:
    """Variance of x0 given x_t, of a white prior of the variance v."""
    return sigma**2 / (1 + sigma**2 / v)


def width(high: float, low: float, v: float) -> float:
    """Deviation of the noise of a step, of that prior."""
    return math.sqrt(1 - (low / high) ** 2) * (low + (high - low) * given(high, v) / high**2)


def variance_seen(space: Space, cloud: Twisted, sigma: float) -> Tensor:
    """Variance of the white prior whose denoised images would change with the noise as those of particles do.

    The denoised image of a particle between two modes changes far more along the line that joins them than
    along any other. The variance is that along the others, as there are many of them and noise of a wrong
    covariance costs weight in each. Some particles are not between modes, and of the others some have noise
    that by chance is small along that line: the lower quartile of the responses is of these.

    Parameters
    ----------
    space : Space
    cloud : Twisted
    sigma : float
        Its level.
    """
    responses = space.inner(cloud.noise, cloud.noise_through).real / space.norm(cloud.noise) ** 2
    response = responses.double().sort().values[len(responses) // 4].clamp(1e-9, 1 - 1e-6)
    return sigma**2 * response / (1 - response)


def step(space: Space, cloud: Twisted, high: float, low: float, v: float) -> tuple[Tensor, Tensor]:
    """The particles at another level, and the logarithm of its density over that of what was drawn."""
    kept, fresh = (low / high) ** 2, math.sqrt(1 - (low / high) ** 2)
    length = width(high, low, v) / high**2
    shift = length * cloud.guide
    noise, through = cloud.noise + shift, cloud.noise_through + length * cloud.guide_through
    x = kept * cloud.noisy + (1 - kept) * cloud.denoised + fresh * (low * noise + (high - low) * through)
    correction = -space.inner(cloud.noise, shift).real - space.norm(shift) ** 2 / 2
    return x, correction.double() + cloud.surplus
