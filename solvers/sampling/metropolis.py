"""Metropolis and Hastings: proposals that are accepted with the probability that keeps a density."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch
from torch import Tensor

from invgen.core.batching import chosen
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError
from invgen.core.space import Space
from invgen.priors.base import Density as WithDensity
from invgen.solvers.point import Density, Point

__all__ = ["adapted", "langevin", "metropolis", "require_noisy_density"]

#: A place and what is known there: a tuple of tensors.
Place = TypeVar("Place", bound=tuple[Any, ...])

#: Factors of the step where a proposal is accepted and where it is not, which balance at three accepted of
#: four: near the best rate of these dynamics, and steps are small soon where the first was far too large.
_LONGER, _SHORTER = 2 ** (1 / 3), 1 / 2


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


def metropolis(at: Place, there: Place, log_ratio: Tensor, draws: Draws) -> tuple[Place, Tensor, Tensor]:
    """The proposal with the probability ``min(1, exp(log_ratio))``, else where the chain was.

    What has left the finite numbers is not accepted.

    Returns
    -------
    as `at`
    tensor of bool, shape of the batch
        Whether it was accepted.
    tensor, shape of the batch
        The probability.
    """
    log_ratio = torch.where(log_ratio.isnan(), -torch.inf, log_ratio)
    # the logarithm of a uniform number, from a Gaussian one
    accepted = torch.special.log_ndtr(draws(log_ratio, 0)) < log_ratio
    return chosen(accepted, there, at), accepted, log_ratio.clamp(max=0).exp()


def adapted(length: Tensor, accepted: Tensor) -> Tensor:
    """The next step size of each chain, until a chain is to be kept by its density."""
    return length * torch.where(accepted, _LONGER, _SHORTER)


def require_noisy_density(prior: Any, name: str, parameter: str) -> None:
    """Raise where a prior's density is not known of noisy images, as ``log_prob(x, sigma)``.

    Parameters
    ----------
    prior
    name, parameter : str
        Of the solver that needs it, and of its number of steps that do.

    Raises
    ------
    CapabilityError
    """
    known = isinstance(prior, WithDensity) and "sigma" in inspect.signature(prior.log_prob).parameters
    if not known:
        raise CapabilityError(
            f"{name} with {parameter} needs the density of noisy images, log_prob(x, sigma), which Gaussian "
            f"and GaussianMixture have; {type(prior).__name__} has none. Leave {parameter} at 0."
        )
