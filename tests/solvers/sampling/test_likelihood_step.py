"""Draws from the likelihood times a normal density, against linear algebra and numerical integration."""

import math

import pytest
import torch

import invgen as ig
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError
from invgen.noise import Gaussian, Poisson
from invgen.operators import Mask, MatrixOperator
from invgen.priors import Gaussian as GaussianPrior
from invgen.solvers.sampling.likelihood_step import GaussianStep, LangevinStep, likelihood_step

from ..sampled import Square

SHAPE, N, RHO = (2, 3), 2000, 0.7


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def problem(kind):
    """One of each way to the solution: closed form, conjugate gradients, weights, complex images, coils."""
    complex_ = kind in ("complex", "coils")
    dtype = torch.complex128 if complex_ else torch.float64
    if kind == "mask":
        A = Mask(torch.tensor([[1.0, 0, 1], [0, 1, 1]], dtype=torch.float64))
    else:
        A = MatrixOperator(normal(4, 6, seed=1, dtype=dtype), image_shape=SHAPE)
    noise = Gaussian(0.5)
    if kind == "weights":
        noise = Gaussian(torch.tensor([0.2, 1.0, math.inf, 0.5], dtype=torch.float64))
    if kind == "coils":
        root = normal(4, 4, seed=2, dtype=dtype)
        noise = Gaussian(covariance=0.1 * root @ root.mH + 0.1 * torch.eye(4), axis=-1)
    return ig.Problem(A, noise.sample(A(normal(*SHAPE, seed=3, dtype=dtype)), seed=4), noise)


@pytest.mark.parametrize("kind", ["matrix", "mask", "weights", "complex", "coils"])
def test_draws_have_the_mean_and_the_covariance_of_linear_algebra(kind):
    prob = problem(kind)
    z = normal(*SHAPE, seed=5, dtype=prob.zeros().dtype)
    step = GaussianStep(prob.repeated(N))
    x = step(z.expand(N, *SHAPE), torch.full((N,), RHO, dtype=torch.float64), Draws(range(N), 2))
    exact = GaussianPrior(z, RHO**2).posterior(prob)
    # white with unit variance by the exact covariance: each moment then has a known Monte-Carlo error
    L = torch.linalg.cholesky(exact.covariance().to(x.dtype))
    white = torch.linalg.solve_triangular(L, (x - exact.mean()).flatten(1).mT, upper=False)
    parts = torch.cat([white.real, white.imag]) if white.is_complex() else white
    assert float(parts.mean(1).abs().max()) < 4.5 / math.sqrt(N)
    off = torch.cov(parts) - torch.eye(len(parts), dtype=torch.float64)
    assert float(off.abs().max()) < 4.5 * math.sqrt(2 / N)


def test_each_batch_element_has_its_rho_and_equals_itself_alone():
    prob, rho = problem("weights"), torch.tensor([[0.1, 2.0], [0.1, 2.0]], dtype=torch.float64)
    y = torch.stack([prob.measurement, 2 * prob.measurement])
    both = ig.Problem(prob.operator, y, prob.noise)
    z = normal(2, 2, *SHAPE, seed=6)
    x = GaussianStep(both.repeated(2))(z, rho, Draws([7, 8], 2))
    for i in range(2):
        alone = ig.Problem(prob.operator, y[i], prob.noise).repeated(2)
        # conjugate gradients of unlike elements stop each by itself, and their sums round alike
        assert torch.equal(GaussianStep(alone)(z[:, i], rho[:, i], Draws([7, 8], 2)), x[:, i])


def test_langevin_dynamics_agree_with_numerical_integration():
    y, std, rho = 1.4, 0.4, 0.6
    prob = ig.Problem(Square((1,)), torch.tensor([y], dtype=torch.float64), Gaussian(std))
    n, z = 4000, 0.9
    generator = torch.Generator().manual_seed(0)
    step = likelihood_step(prob.repeated(n), 60)
    assert isinstance(step, LangevinStep)
    x = step(
        torch.full((n, 1), z, dtype=torch.float64),
        torch.full((n,), rho, dtype=torch.float64),
        lambda like, axes=None: torch.randn(like.shape, generator=generator, dtype=like.dtype),
    )
    # the mode below zero, of a few thousandths, is far from the other, and hardly reached
    x = x[x > 0]
    t = torch.linspace(0, 3, 6001, dtype=torch.float64)
    density = torch.exp(-((t**2 - y) ** 2) / (2 * std**2) - (t - z) ** 2 / (2 * rho**2))
    density = density / density.sum()
    mean = float((density * t).sum())
    variance = float((density * (t - mean) ** 2).sum())
    # 4.5 standard errors, and a twentieth for what 60 steps leave of the start
    assert abs(float(x.mean()) - mean) < (0.05 + 4.5 / math.sqrt(n)) * math.sqrt(variance)
    assert abs(float(x.var()) / variance - 1) < 0.05 + 4.5 * math.sqrt(2 / n)


def test_noise_of_unbounded_curvature_is_refused():
    A = Mask(torch.ones(3, dtype=torch.float64))
    prob = ig.Problem(A, torch.ones(3, dtype=torch.float64), Poisson(1.0))
    with pytest.raises(CapabilityError, match="unbounded curvature"):
        likelihood_step(prob, 10)
