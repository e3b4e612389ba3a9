"""Distributions of increments: their density, samples, and the latent variances of a Gibbs sampler."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["BernoulliLaplace", "GaussianJumps", "Increments", "Laplace", "Student"]

#: Increments below this part of their scale count as this, where a latent variance is divided by them.
_TINY = 1e-10


class Increments(Protocol):
    """A symmetric distribution that is a Gaussian of random variance: ``u = sqrt(w) z`` with normal z.

    Attributes
    ----------
    scale : float
        Width of the middle of the density, which a grid must resolve.
    variance : float
    probability : float
        That an increment is not zero: one for those with a density.
    """

    @property
    def scale(self) -> float:
        """See above."""

    @property
    def variance(self) -> float:
        """See above."""

    @property
    def probability(self) -> float:
        """See above."""

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Increments, float64."""

    def log_prob(self, u: Tensor) -> Tensor:
        """Logarithm of the density of increments that are not zero."""

    def log_mass(self, steps: Tensor, spacing: float) -> Tensor:
        """Logarithm of the probability of each multiple of `spacing`, on a grid with the same variance."""

    def draw_variance(self, u: Tensor, generator: torch.Generator) -> Tensor:
        """The variance w given the increment."""

    def draw_prior_variance(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """The variance w of its own distribution."""


@dataclass(frozen=True)
class GaussianJumps:
    """Gaussian increments: a random walk whose posterior is linear algebra."""

    variance: float = 0.25
    probability: float = 1.0

    @property
    def scale(self) -> float:
        """Their deviation."""
        return math.sqrt(self.variance)

    def sample(self, shape, generator):
        """Increments."""
        return self.scale * torch.randn(shape, generator=generator, dtype=torch.float64)

    def log_prob(self, u):
        """Logarithm of the density."""
        return -u.square() / (2 * self.variance) - math.log(2 * math.pi * self.variance) / 2

    def log_mass(self, steps, spacing):
        """The density: sums over a grid are exact to rounding from a deviation per step on."""
        return self.log_prob(steps * spacing) + math.log(spacing)

    def draw_variance(self, u, generator):
        """Always the same."""
        return torch.full_like(u, self.variance)

    draw_prior_variance = draw_variance


@dataclass(frozen=True)
class Laplace:
    """Density ``exp(-|u| / b) / (2 b)``: variances are exponential with mean ``2 b^2``."""

    b: float = 1.0
    probability: float = 1.0

    @property
    def scale(self) -> float:
        """Their mean size."""
        return self.b

    @property
    def variance(self) -> float:
        """Of the increments."""
        return 2 * self.b**2

    def sample(self, shape, generator):
        """By the inverse of the distribution function."""
        u = torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5
        return -self.b * u.sign() * torch.log1p(-2 * u.abs())

    def log_prob(self, u):
        """Logarithm of the density."""
        return -u.abs() / self.b - math.log(2 * self.b)

    def log_mass(self, steps, spacing):
        """``(1 - t) / (1 + t) t^|j|``, t such that the variance ``2 t spacing^2 / (1 - t)^2`` is right."""
        # t + 1/t = 2 + spacing^2 / b^2
        half = 1 + (spacing / self.b) ** 2 / 2
        t = half - math.sqrt(half**2 - 1)
        return steps.abs() * math.log(t) + math.log((1 - t) / (1 + t))

    def draw_variance(self, u, generator):
        """One over an inverse Gaussian of mean ``1 / (b |u|)`` and shape ``1 / b^2``.

        Michael, Schucany and Haas (1976), in a form without differences of large numbers.
        """
        mean = 1 / (self.b * u.abs().clamp(min=_TINY * self.b))
        shape = self.b**-2
        r = mean * torch.randn(u.shape, generator=generator, dtype=u.dtype).square() / (2 * shape)
        root = mean / (1 + r + (r.square() + 2 * r).sqrt())
        larger = torch.rand(u.shape, generator=generator, dtype=u.dtype) > mean / (mean + root)
        return 1 / torch.where(larger, mean.square() / root, root)

    def draw_prior_variance(self, like, generator):
        """Exponential."""
        u = torch.rand(like.shape, generator=generator, dtype=like.dtype)
        return -self.variance * torch.log1p(-u)


@dataclass(frozen=True)
class Student:
    """Student's t of more than two degrees of freedom: variances are inverse gamma."""

    degrees: int = 3
    probability: float = 1.0
    scale: float = 1.0

    @property
    def variance(self) -> float:
        """Of the increments."""
        return self.degrees / (self.degrees - 2)

    def sample(self, shape, generator):
        """A normal number over the root of a chi-square one."""
        n = torch.randn((self.degrees + 1, *shape), generator=generator, dtype=torch.float64)
        return n[0] * (n[1:].square().mean(0)).rsqrt()

    def log_prob(self, u):
        """Logarithm of the density."""
        v = self.degrees
        constant = math.lgamma((v + 1) / 2) - math.lgamma(v / 2) - math.log(v * math.pi) / 2
        return constant - (v + 1) / 2 * torch.log1p(u.square() / v)

    def log_mass(self, steps, spacing):
        """The density, which is smooth: its characteristic function falls as ``exp(-sqrt(v) w)``."""
        return self.log_prob(steps * spacing) + math.log(spacing)

    def draw_variance(self, u, generator):
        """``(v + u^2)`` over a chi-square number of ``v + 1`` degrees of freedom."""
        n = torch.randn((self.degrees + 1, *u.shape), generator=generator, dtype=u.dtype)
        return (self.degrees + u.square()) / n.square().sum(0)

    def draw_prior_variance(self, like, generator):
        """Degrees of freedom over a chi-square number of as many degrees."""
        n = torch.randn((self.degrees, *like.shape), generator=generator, dtype=like.dtype)
        return self.degrees / n.square().sum(0)


@dataclass(frozen=True)
class BernoulliLaplace:
    """Zero, or with some probability a Laplace increment: signals that are constant in pieces."""

    probability: float = 0.1
    b: float = 1.0

    @property
    def scale(self) -> float:
        """The mean of what is not zero."""
        return self.b

    @property
    def jumps(self) -> Laplace:
        """The increments that are not zero."""
        return Laplace(self.b)

    @property
    def variance(self) -> float:
        """Of the increments."""
        return self.probability * self.jumps.variance

    def sample(self, shape, generator):
        """Laplace increments, most of them set to zero."""
        kept = torch.rand(shape, generator=generator) < self.probability
        return kept * self.jumps.sample(shape, generator)

    def log_prob(self, u):
        """Of those that are not zero."""
        return math.log(self.probability) + self.jumps.log_prob(u)

    def log_mass(self, steps, spacing):
        """The atom at zero besides."""
        jump = math.log(self.probability) + self.jumps.log_mass(steps, spacing)
        atom = torch.where(steps == 0, math.log1p(-self.probability), -math.inf)
        return torch.logaddexp(jump, atom)

    def draw_variance(self, u, generator):
        """Of an increment that is not zero."""
        return self.jumps.draw_variance(u, generator)

    def draw_prior_variance(self, like, generator):
        """Of any increment."""
        return self.jumps.draw_prior_variance(like, generator)
