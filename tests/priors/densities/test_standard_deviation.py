"""Closed-form priors report the standard deviation of a pixel: exact, and that of their samples."""

import math

import pytest
import torch

import invgen as ig
from invgen.operators import MatrixOperator
from invgen.priors import Gaussian, GaussianMixture, ImageFormat, KernelDensity
from invgen.priors.densities.covariances import Dense, Diagonal, LowRank, Stationary
from invgen.solvers import DPS, PiGDM

from ...contracts.numbers import normal

SHAPE, N, K = (2, 3), 6, 3
MEANS, WEIGHTS = 2 * normal(K, *SHAPE, seed=1), torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
ROOTS = normal(K, N, N, seed=2)
MATRICES = ROOTS @ ROOTS.mT / N + 0.1 * torch.eye(N, dtype=torch.float64)
VARIANCES = 0.1 + normal(K, *SHAPE, seed=3).square()
POWER = 0.1 + normal(*SHAPE, seed=4).square()
POWER = POWER + torch.roll(POWER.flip((0, 1)), (1, 1), (0, 1))
COMPLEX = torch.complex(MEANS, normal(K, *SHAPE, seed=5))
HERMITIAN = MATRICES + 0.05j * (ROOTS - ROOTS.mT)
DENSITIES = {
    "one variance": Gaussian(MEANS[0], 0.3),
    "variances": Gaussian(MEANS[0], VARIANCES[0]),
    "matrix": Gaussian(MEANS[0], MATRICES[0]),
    "stationary": Gaussian(MEANS[0], Stationary(POWER)),
    "low rank": Gaussian(MEANS[0], LowRank(normal(2, *SHAPE, seed=6), VARIANCES[0])),
    "complex": Gaussian(COMPLEX[0], HERMITIAN[0]),
    "complex of low rank": Gaussian(COMPLEX[0], LowRank(normal(2, *SHAPE, dtype=torch.complex128), 0.2)),
    "mixture": GaussianMixture(MEANS, MATRICES, WEIGHTS),
    "shared covariance": GaussianMixture(MEANS, 0.3, WEIGHTS),
    "mixture of low rank": GaussianMixture(MEANS, LowRank(normal(K, 2, *SHAPE), VARIANCES, SHAPE), WEIGHTS),
    "complex mixture": GaussianMixture(COMPLEX, HERMITIAN, WEIGHTS),
    "kernels": KernelDensity(MEANS, 0.4),
    "kernels of their own widths": KernelDensity(normal(8, *SHAPE), "neighbors", 2),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_it_is_the_root_of_the_mean_variance(name):
    prior = DENSITIES[name]
    exact = math.sqrt(float(prior.covariance().diagonal().real.mean()))
    assert prior.image_format.std == pytest.approx(exact, rel=1e-12)
    assert prior.image_format.shape == SHAPE
    assert prior.image_format.field == ("complex" if "complex" in name else "real")
    assert prior.image_format.value_range is None


@pytest.mark.parametrize("name", DENSITIES)
def test_it_is_that_of_samples(name):
    prior, n = DENSITIES[name], 20_000
    away = prior.sample(n, seed=0) - prior.mean()
    squares = torch.view_as_real(away).square() if away.is_complex() else away.square()
    each = squares.flatten(1).mean(1)
    # five standard errors of the mean square
    assert float(each.mean()) == pytest.approx(prior.image_format.std**2, abs=5 * float(each.std()) / n**0.5)


@pytest.mark.parametrize(
    "covariance",
    [
        Diagonal(VARIANCES, ig.operators.Space(SHAPE)),
        Diagonal(VARIANCES[:, :1, :1], ig.operators.Space(SHAPE)),
        Dense(MATRICES, ig.operators.Space(SHAPE)),
        Stationary(POWER),
        LowRank(normal(K, 2, *SHAPE), VARIANCES, SHAPE),
    ],
    ids=["diagonal", "broadcast", "dense", "stationary", "low rank"],
)
def test_traces_are_those_of_the_matrices(covariance):
    torch.testing.assert_close(covariance.traces(), covariance.matrices().diagonal(dim1=1, dim2=2).sum(1))


def test_images_that_do_not_vary_have_none():
    assert Gaussian(MEANS[0], 0.0).image_format.std is None


def test_it_follows_the_unit_of_the_images():
    prior = DENSITIES["mixture"]
    other = GaussianMixture(255 * MEANS, 255**2 * MATRICES, WEIGHTS)
    assert other.image_format.std == pytest.approx(255 * prior.image_format.std, rel=1e-12)


@pytest.mark.parametrize("solver", [DPS, PiGDM])
def test_guidance_needs_no_number_where_the_prior_has_it(solver):
    prior = DENSITIES["mixture"]
    A = MatrixOperator(normal(4, N, seed=7), SHAPE)
    problem = ig.Problem(A, normal(4, seed=8), ig.noise.Gaussian(0.2))
    found = solver(prior, iterations=20, sigma_range=(0.01, 20.0))(problem, samples=2, seed=0).x
    assert bool(found.isfinite().all())


def test_noise_levels_are_far_below_and_above_the_samples():
    """Drawn when they are asked for, and of large images fewer, so that they fit into memory."""
    low, high = DENSITIES["mixture"].image_format.noise_range
    away = (DENSITIES["mixture"].sample(100, seed=0) - DENSITIES["mixture"].mean()).flatten(1).norm(dim=1)
    assert high == pytest.approx(10 * float(away.max()))
    assert low == pytest.approx(1e-3 * float(away.max()) / N**0.5)


def test_denoising_draws_no_samples(monkeypatch):
    prior = Gaussian(MEANS[0], 0.3)
    monkeypatch.setattr(GaussianMixture, "sample", None)
    prior.denoise(MEANS, 0.5)
    prior.prox(MEANS, 0.5)
    assert isinstance(prior._images, ImageFormat)
