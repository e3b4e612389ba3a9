"""The most probable image under a density, against linear algebra, and with an autoregressive prior."""

import math

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DivergenceError, ParameterError
from invgen.noise import Gaussian, Poisson
from invgen.operators import Identity, Mask, MatrixOperator, Saturation
from invgen.priors import Autoregressive, GaussianMixture, Histogram
from invgen.priors import Gaussian as GaussianPrior
from invgen.solvers import DensityMAP

SHAPE, ROWS, STD = (3, 4), 6, 0.3


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def correlated():
    """A Gaussian of correlated pixels, its mean and its covariance."""
    root, mean = normal(12, 12, seed=4), normal(*SHAPE, seed=5)
    covariance = root @ root.mT / 12 + 0.1 * torch.eye(12, dtype=torch.float64)
    return GaussianPrior(mean, covariance), mean.flatten(), covariance


def measured(batch=(2,)):
    A, noise = MatrixOperator(normal(ROWS, 12), SHAPE), Gaussian(STD)
    return ig.Problem(A, noise.sample(A(normal(*batch, *SHAPE, seed=6)), seed=0), noise)


class TestGaussian:
    @pytest.mark.parametrize("weight", [1.0, 20.0])
    def test_the_optimum_is_that_of_linear_algebra(self, weight):
        prior, mean, covariance = correlated()
        problem = measured()
        M, precision = normal(ROWS, 12), weight * torch.linalg.inv(covariance)
        right = problem.measurement @ M / STD**2 + precision @ mean
        exact = torch.linalg.solve(M.mT @ M / STD**2 + precision, right.mT).mT
        found = DensityMAP(prior, weight=weight, tolerance=1e-7)(problem)
        assert bool(found.stats["converged"].all())
        assert float((found.x.flatten(1) - exact).norm() / exact.norm()) < 1e-5

    def test_of_complex_images_too(self):
        mean, matrix = normal(*SHAPE, dtype=torch.complex128), normal(ROWS, 12, dtype=torch.complex128)
        A, noise = MatrixOperator(matrix, SHAPE), Gaussian(STD)
        y = noise.sample(A(normal(*SHAPE, seed=6, dtype=torch.complex128)), seed=0)
        normal_matrix = matrix.mH @ matrix / STD**2 + torch.eye(12) / 0.4
        exact = torch.linalg.solve(normal_matrix, matrix.mH @ y / STD**2 + mean.flatten() / 0.4)
        found = DensityMAP(GaussianPrior(mean, 0.4), tolerance=1e-7)(ig.Problem(A, y, noise)).x
        assert float((found.flatten() - exact).norm() / exact.norm()) < 1e-5

    def test_a_volume_has_the_prior_for_each_slice(self):
        """Of white noise and white slices, the mean of both by their weights."""
        y = normal(3, 5, *SHAPE)
        prior = GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), 0.5)
        found = DensityMAP(prior, tolerance=1e-7)(ig.Problem(Identity((5, *SHAPE)), y, Gaussian(1.0))).x
        torch.testing.assert_close(found, y / 3, rtol=1e-5, atol=1e-6)

    def test_the_history_is_minus_the_log_posterior_and_never_rises(self):
        prior, problem = correlated()[0], measured()
        found = DensityMAP(prior, iterations=40)(problem)
        objective = found.history["objective"]
        value = problem.negative_log_likelihood(found.x) - prior.log_prob(found.x)
        torch.testing.assert_close(objective[-1], value)
        assert bool((objective.diff(dim=0) <= 1e-9).all())


def test_of_several_maxima_it_is_the_one_near_the_start():
    means = torch.stack([torch.full(SHAPE, level, dtype=torch.float64) for level in (-2.0, 2.0)])
    prior = GaussianMixture(means, torch.full((2, *SHAPE), 0.1, dtype=torch.float64), [0.5, 0.5])
    problem = ig.Problem(Identity(SHAPE), torch.zeros(SHAPE, dtype=torch.float64), Gaussian(3.0))
    ends = [DensityMAP(prior)(problem, x0=mean / 2).x for mean in means]
    for end, mean in zip(ends, means, strict=True):
        torch.testing.assert_close(end, mean / (1 + 0.1 / 9), rtol=1e-4, atol=1e-4)


def test_operators_that_are_not_linear_and_counts():
    """At the optimum the gradient vanishes, by finite differences."""
    positive = MatrixOperator(normal(ROWS, 12).abs(), SHAPE)
    truth = normal(*SHAPE, seed=6).abs()
    prior = GaussianPrior(torch.ones(SHAPE, dtype=torch.float64), 0.2)
    saturated = Saturation(MatrixOperator(normal(ROWS, 12), SHAPE), 2.0)
    problems = [
        ig.Problem(saturated, saturated(truth), Gaussian(0.2)),
        ig.Problem(positive, Poisson(0.5).sample(positive(truth), 0), Poisson(0.5)),
    ]
    for problem in problems:
        found = DensityMAP(prior, tolerance=1e-8)(problem, x0=torch.ones(SHAPE, dtype=torch.float64)).x

        def objective(x, problem=problem):
            return problem.negative_log_likelihood(x) - prior.log_prob(x)

        for step in 1e-5 * torch.eye(12, dtype=torch.float64).reshape(12, *SHAPE):
            assert abs(float(objective(found + step) - objective(found - step))) / 2e-5 < 1e-3


class TestAutoregressive:
    """Images that are planes, which such a prior learns in a few seconds."""

    @staticmethod
    def planes(n, seed):
        generator = torch.Generator().manual_seed(seed)
        level, down, across = (torch.rand(n, 1, 1, generator=generator) - 0.5 for _ in range(3))
        at = torch.arange(5) - 2.0
        return 0.5 + 0.4 * level + 0.06 * (down * at[:, None] + across * at)

    @pytest.fixture(scope="class")
    @classmethod
    def prior(cls):
        prior = Autoregressive.untrained((5, 5), width=16, layers=1, mixtures=1)
        networks = prior.networks()
        parameters = [p.requires_grad_(True) for p in networks["network"].parameters()]
        optimizer, generator = torch.optim.Adam(parameters, lr=0.01), torch.Generator()
        for k in range(200):
            optimizer.zero_grad()
            prior.loss(networks, 2 * cls.planes(64, k)[:, None] - 1, generator).backward()
            optimizer.step()
        return prior.with_networks(networks)

    @pytest.mark.slow
    @pytest.mark.parametrize("known", [1.0, 0.5])
    def test_it_is_nearer_to_the_truth_than_the_start(self, prior, known):
        """Of noisy images, and of those of which half the pixels are lost."""
        truth = self.planes(8, 999).double()
        A = Mask(torch.rand(5, 5, generator=torch.Generator().manual_seed(0)) < known)
        noise = Gaussian(0.05)
        problem = ig.Problem(A, noise.sample(A(truth), seed=1), noise)
        solver = DensityMAP(prior, scale=1.0, iterations=200).resolved(problem)
        start, found = solver.initial(problem), solver(problem).x
        error = [(x - truth).flatten(1).norm(dim=1) for x in (start, found)]
        assert float(error[1].mean()) < float(error[0].mean())
        energy = [problem.negative_log_likelihood(x) + prior.energy(x) for x in (start, found)]
        assert bool((energy[1] < energy[0]).all())

    def test_no_iterate_is_less_probable_than_the_one_before(self):
        prior = Autoregressive.untrained((4, 4), width=8, layers=1, mixtures=2)
        y = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        problem, energies = ig.Problem(Identity((4, 4)), y, Gaussian(0.2)), []
        for state, _ in zip(DensityMAP(prior, scale=1.0).iterate(problem), range(15), strict=False):
            energies.append(problem.negative_log_likelihood(state.x) + prior.energy(state.x))
        assert bool((torch.stack(energies).diff(dim=0) <= 1e-9).all())
        assert bool((energies[-1] < energies[0]).all())


class TestBadInput:
    def test_a_density_without_a_derivative(self):
        histogram = Histogram.fit(normal(50, 1))
        problem = ig.Problem(Identity((1,)), torch.zeros(1, dtype=torch.float64), Gaussian(1.0))
        with pytest.raises(CapabilityError, match=r"derivative of the density; that of Histogram has none"):
            DensityMAP(histogram)(problem)

    def test_a_start_that_the_data_exclude(self):
        A = MatrixOperator(normal(ROWS, 12).abs(), SHAPE)
        problem = ig.Problem(A, torch.ones(ROWS, dtype=torch.float64), Poisson(1.0))
        with pytest.raises(DivergenceError, match="give another, as x0"):
            DensityMAP(correlated()[0])(problem)

    def test_parameters_and_priors(self):
        for weight in (-1.0, math.inf, math.nan):
            with pytest.raises(ParameterError, match="weight is a number from zero on"):
                DensityMAP(correlated()[0], weight=weight)
        with pytest.raises(CapabilityError, match="needs a prior that is Density"):
            DensityMAP(ig.priors.TotalVariation())
