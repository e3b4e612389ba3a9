"""Moves that leave the density of the particles as it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.solvers.particles.crowd import Crowd
from invgen.solvers.particles.step import Twisted

__all__ = ["metropolis_adjusted"]

#: Step size, as a part of the variance of the noise: nine of ten are accepted on mixtures of Gaussians.
_STEP = 0.3


def metropolis_adjusted(
    crowd: Crowd,
    cloud: Twisted,
    reached: Callable[[Tensor, Tensor], Twisted],
    log_density: Callable[[Tensor], Tensor],
    sigma: float,
    draws: Draws,
) -> Twisted:
    """A Metropolis-adjusted Langevin step of each particle, Roberts and Tweedie (1996), sec. 1.4.2.

    Of the density of noisy images times the twisting function, whose slopes follow from the denoised image
    and the guide. It is preconditioned by the variance of the noise: at this level the data are as noisy, so
    that no direction of the density is much narrower. The weights stay.

    Parameters
    ----------
    crowd : Crowd
    cloud : Twisted
    reached : callable
        Makes the same of other noisy images, and numbers of evaluations.
    log_density : callable
        Of noisy images.
    sigma : float
    draws : Draws

    Returns
    -------
    Twisted
    """
    x, space, width = cloud.noisy, crowd.space, math.sqrt(2 * _STEP) * sigma
    noise = crowd.noise(x[0], draws)
    new = reached(x + _drift(cloud) + width * noise, cloud.evaluations)
    back = (x - new.noisy - _drift(new)) / width
    ways = (space.norm(noise).square() - space.norm(back).square()) / 2
    change = log_density(new.noisy) - log_density(x) + ways + new.twist - cloud.twist
    accepted = torch.special.log_ndtr(crowd.noise(change.new_empty(()), draws)) < change
    parts = (
        torch.where(accepted.reshape(-1, *(1,) * (old.ndim - 1)), there, old)
        for old, there in zip(cloud, new, strict=True)
    )
    return Twisted(*parts)._replace(log_weights=cloud.log_weights, evaluations=new.evaluations)


def _drift(cloud: Twisted) -> Tensor:
    """The slope of the density, times the square of the noise level and the step size."""
    return _STEP * (cloud.denoised - cloud.noisy + cloud.guide)
