"""Metropolis and Hastings: proposals that are accepted with the probability that keeps a density."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.core.batching import chosen
from invgen.core.draws import Draws
from invgen.core.space import Space
from invgen.solvers.point import Density, Point

__all__ = ["langevin", "metropolis"]


def langevin(
    density: Density, at: Point, width: float | Tensor, noise: Tensor, space: Space
) -> tuple[Point, Tensor]:
    """A step of Langevin dynamics as a proposal, Roberts and Tweedie (1996), sec. 1.4.2.

    ``x - width^2 / 2 grad + width n``; the way back has the noise ``width / 2 (grad + grad there) - n``.

    Parameters
    ----------
    density : callable
    at : Point
    width : number, or tensor that broadcasts to x
        Root of the variance of the noise.
    noise : tensor, shape of x
        White, of unit variance.
    space : Space
        Of x.

    Returns
    -------
    Point
    tensor, shape of the batch
        Logarithm of the ratio of the densities of both ways, for `metropolis`.
    """
    there = density(at.x - width**2 / 2 * at.gradient + width * noise)
    back = width / 2 * (at.gradient + there.gradient) - noise
    ways = (space.norm(noise).square() - space.norm(back).square()) / 2
    return there, at.energy - there.energy + ways


def metropolis(at: Point, there: Point, log_ratio: Tensor, draws: Draws) -> tuple[Point, Tensor, Tensor]:
    """The proposal with the probability ``min(1, exp(log_ratio))``, else where the chain was.

    What has left the finite numbers is not accepted.

    Returns
    -------
    Point
    tensor of bool, shape of the batch
        Whether it was accepted.
    tensor, shape of the batch
        The probability.
    """
    log_ratio = torch.where(log_ratio.isnan(), -torch.inf, log_ratio)
    # the logarithm of a uniform number, from a Gaussian one
    accepted = torch.special.log_ndtr(draws(log_ratio, 0)) < log_ratio
    return chosen(accepted, there, at), accepted, log_ratio.clamp(max=0).exp()
