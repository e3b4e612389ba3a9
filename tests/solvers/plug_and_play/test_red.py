"""Regularization by denoising: its equilibrium where linear algebra knows it."""

from dataclasses import dataclass

import pytest
import torch

import invgen as ig
from invgen.noise import Gaussian
from invgen.operators import Mask, MatrixOperator
from invgen.priors import CycleSpunWavelets, TVDenoiser
from invgen.priors.base import Denoising
from invgen.solvers import CG, RED
from invgen.testing.report import distance


@dataclass(frozen=True)
class Average(Denoising):
    """A linear and symmetric denoiser: a quarter of each neighbor, half of the pixel."""

    gain: float = 1.0

    def _denoise(self, x, sigma):
        return self.gain * (x / 2 + (x.roll(1, -1) + x.roll(-1, -1)) / 4)


def random_problem():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(60, 30, generator=generator, dtype=torch.float64)
    A, noise = MatrixOperator(matrix, image_shape=(3, 10)), Gaussian(0.5)
    x = torch.randn(3, 10, generator=generator, dtype=torch.float64)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise), matrix


@pytest.mark.parametrize(("method", "iterations"), [("fixed-point", 500), ("gradient", 20000)])
def test_with_a_symmetric_denoiser_it_minimises_what_the_paper_says(method, iterations):
    """``(A.H A / std^2 + lambda (1 - D)) x = A.H y / std^2``."""
    problem, matrix = random_problem()
    solver = RED(
        Average(), method=method, weight=0.5, sigma=0.3, scale=2.0, tolerance=1e-11, iterations=iterations
    )
    found = solver(problem)
    assert found.stats["converged"]
    units = torch.eye(30, dtype=torch.float64).reshape(30, 3, 10)
    D = Average()._denoise(units, 1.0).reshape(30, 30).T
    strength = 0.5 / (0.3 * 2.0) ** 2
    normal = matrix.T @ matrix / 0.25 + strength * (torch.eye(30) - D)
    expected = torch.linalg.solve(normal, matrix.T @ problem.measurement / 0.25)
    assert distance(found.x.flatten(), expected) < 1e-8


def test_both_methods_end_at_the_same_image():
    x = torch.zeros(16, 16, dtype=torch.float64)
    x[4:10, 5:12] = 1
    A, noise = Mask(torch.arange(256).reshape(16, 16) % 3 != 1), Gaussian(0.05)
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise)
    prior = CycleSpunWavelets(levels=2, soft=True)
    images = [
        RED(prior, method=m, tolerance=1e-8, iterations=5000)(problem).x for m in ("fixed-point", "gradient")
    ]
    assert distance(*images) < 1e-6


def test_it_fills_in_better_than_the_data_alone():
    x = torch.full((64, 64), 0.2, dtype=torch.float64)
    x[20:50, 30:] = 1
    A, noise = Mask(torch.arange(4096).reshape(64, 64) % 3 != 1), Gaussian(0.02)
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise)
    assert distance(RED(TVDenoiser())(problem).x, x) < 0.2 * distance(CG()(problem).x, x)


def test_a_denoiser_that_expands_diverges_and_the_error_says_what_to_do():
    problem, _ = random_problem()
    with pytest.raises(ig.errors.DivergenceError, match=r"iteration \d+.*smaller weight.*averaged"):
        RED(Average(gain=50.0), iterations=1000)(problem)


def test_nonsense_is_refused():
    with pytest.raises(ig.errors.ParameterError, match="fixed-point"):
        RED(TVDenoiser(), method="newton")
    with pytest.raises(ig.errors.ParameterError, match="weight"):
        RED(TVDenoiser(), weight=0.0)
