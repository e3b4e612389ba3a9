"""Problems in the latent variables of a generator: gradient methods and Langevin dynamics run on them."""

import math

import pytest
import torch
from scipy.optimize import minimize

import invgen as ig
from invgen.core.errors import CapabilityError, ShapeError
from invgen.noise import Gaussian, Poisson
from invgen.operators import MatrixOperator
from invgen.priors import Gaussian as GaussianPrior
from invgen.priors import Generator, Tikhonov
from invgen.solvers import DPS, FISTA, ULA

LATENTS, SHAPE = 3, (2, 4)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Linear:
    """Images ``W z``, Gaussian with the covariance ``W W.T``."""

    latent_shape = (LATENTS,)

    def __init__(self):
        self.W = normal(8, LATENTS)

    def decode(self, z):
        return (z @ self.W.T).unflatten(-1, SHAPE)

    def latent_log_prob(self, z):
        return -z.square().sum(-1) / 2 - LATENTS / 2 * math.log(2 * math.pi)


class Curved(Linear):
    """A generator that is not linear, as networks are not."""

    def decode(self, z):
        return torch.tanh(super().decode(z)) + 0.3 * super().decode(z)


def measured(generator, std=0.3, rows=5, batch=()):
    A = MatrixOperator(normal(rows, 8, seed=1), SHAPE)
    z = normal(*batch, LATENTS, seed=2)
    noise = Gaussian(std)
    return ig.Problem(A, noise.sample(A(generator.decode(z)), seed=3), noise)


def test_the_measurement_is_that_of_the_decoded_image():
    generator = Curved()
    assert isinstance(generator, Generator)
    problem = measured(generator, batch=(2,))
    latent, z = problem.through(generator), normal(2, LATENTS, seed=5)
    assert latent.operator.domain.shape == (LATENTS,)
    torch.testing.assert_close(latent.operator(z), problem.operator(generator.decode(z)))
    at = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(problem.negative_log_likelihood(generator.decode(at)).sum(), at)
    torch.testing.assert_close(latent.gradient(z), slope)


@pytest.mark.slow
def test_langevin_dynamics_sample_the_posterior_of_latents():
    """Of a linear generator with standard Gaussian latents it is known; ULA widens it by a known part."""
    generator = Linear()
    problem = measured(generator)
    M = problem.operator(generator.decode(torch.eye(LATENTS, dtype=torch.float64))).T
    precision = M.T @ M / 0.09 + torch.eye(LATENTS, dtype=torch.float64)
    mean = torch.linalg.solve(precision, M.T @ problem.measurement / 0.09)
    prior, n = GaussianPrior(torch.zeros(LATENTS, dtype=torch.float64), 1.0), 2000
    sampler = ULA(prior, iterations=600, sigma=0.05, step_size=0.1)
    found = sampler(problem.through(generator), samples=n, seed=0)
    std = torch.linalg.inv(precision).diagonal().sqrt()
    assert float(((found.x - mean) / std).abs().max()) < 5 / math.sqrt(n)
    ratio = found.std / std
    assert float((ratio - 1).abs().max()) < 0.08  # 5 % of the step, and chance of sqrt(1 / 2 n)


def test_proximal_gradients_find_the_most_probable_latents():
    generator = Curved()
    problem = measured(generator)
    solver = FISTA(Tikhonov(1.0), backtracking=True, iterations=3000, tolerance=1e-12)
    found = solver(problem.through(generator), x0=torch.full((LATENTS,), 0.1, dtype=torch.float64)).x

    def objective(z):
        z = torch.tensor(z)
        return float(problem.negative_log_likelihood(generator.decode(z)) + z.square().sum() / 2)

    exact = minimize(objective, found.numpy(), method="BFGS", options={"gtol": 1e-9})
    assert float((found - torch.tensor(exact.x)).norm()) < 1e-5


def test_counts_and_guidance_go_through_a_generator_too():
    class Positive(Linear):
        def decode(self, z):
            return super().decode(z).exp()

    generator = Positive()
    A = MatrixOperator(normal(5, 8, seed=1).abs(), SHAPE)
    problem = ig.Problem(
        A, torch.poisson(A(generator.decode(0.3 * normal(LATENTS))), torch.Generator()), Poisson()
    )
    prior = GaussianPrior(torch.zeros(LATENTS, dtype=torch.float64), 1.0)
    found = DPS(prior, iterations=30)(problem.through(generator), samples=3, seed=0)
    assert found.samples.shape == (3, LATENTS)
    assert bool(torch.isfinite(found.samples).all())


def test_batches_are_their_elements():
    generator = Curved()
    problem = measured(generator, batch=(2,))
    solver = FISTA(Tikhonov(1.0), backtracking=True, iterations=40)
    both = solver(problem.through(generator)).x
    for i in range(2):
        alone = ig.Problem(problem.operator, problem.measurement[i], problem.noise)
        torch.testing.assert_close(both[i], solver(alone.through(generator)).x, rtol=1e-9, atol=1e-9)


def test_what_is_no_generator_is_refused():
    problem = measured(Linear())
    with pytest.raises(CapabilityError, match=r"decode\(z\) and latent_shape.*operators.Map"):
        problem.through(ig.priors.TotalVariation())

    class Other(Linear):
        def decode(self, z):
            return super().decode(z)[..., :1]

    with pytest.raises(ShapeError, match="should return the shape"):
        problem.through(Other()).operator(torch.zeros(LATENTS, dtype=torch.float64))
