"""Particles along the singular vectors of the operator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.problem import Problem
from invgen.solvers.diffusion.spectral import MeasuredSpectrum, with_spectrum
from invgen.solvers.particles.base import ParticleSampler
from invgen.solvers.particles.crowd import Crowd

__all__ = ["SpectralParticles"]


@dataclass(frozen=True, kw_only=True)
class SpectralParticles(ParticleSampler):
    """Base of the particle samplers that need ``A = U diag(s) V.H`` and the same noise on all measurements.

    Along the i-th singular vector the data are ``u_i.H y / s_i``, with noise of the level ``std / s_i``.
    """

    def described(self, problem: Problem) -> Problem:
        """The problem, of an operator with singular value decomposition and white noise."""
        return with_spectrum(super().described(problem), self.name)

    def data_step(self, problem: Problem) -> MeasuredSpectrum:
        """The data along the singular vectors."""
        return MeasuredSpectrum(problem.element(0))

    def all_denoised(self, crowd: Crowd, x: Tensor, sigma: float) -> Tensor:
        """``D(x, sigma)`` of all particles."""
        return torch.cat([self.denoised(part, sigma) for _, part in crowd.parts(x)])


def log_density(data: MeasuredSpectrum, at: Tensor, center: Tensor, variance: Tensor, on: Tensor) -> Tensor:
    """Logarithm of a Gaussian density of the coefficients that are `on`, without its constant, shape (n,)."""
    away = torch.where(on, at - center, 0)
    squares = data.V.domain.norm(away / torch.where(on, variance, 1).sqrt()) ** 2
    return -squares.double() / 2


def conditioned(
    data: MeasuredSpectrum,
    x: Tensor,
    noise: Tensor,
    variance: float,
    observed: Tensor,
    spread: Tensor,
    on: Tensor,
) -> Tensor:
    """Draws of a Gaussian, given noisy coefficients.

    Parameters
    ----------
    data : MeasuredSpectrum
    x : tensor, shape (n, *image)
        Draws of a Gaussian of this `variance` around any mean.
    noise : tensor, shape of the coefficients
        White.
    variance : float
    observed, spread : tensor
        What is known of the coefficients that are `on`, and the variance of its noise.
    on : tensor of bool
    """
    gain = torch.where(on, variance / (variance + spread), 0)
    seen = observed + torch.where(on, spread, 0).sqrt() * noise
    return x + data.V(gain * torch.where(on, seen - data.V.H(x), 0))
