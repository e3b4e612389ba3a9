"""Twisted sequential Monte Carlo against closed forms."""

import math
from itertools import pairwise

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators import Downsample, Mask, MatrixOperator
from invgen.priors import Gaussian, GaussianMixture, TVDenoiser
from invgen.solvers import TwistedSMC
from invgen.solvers.data_prox import DataProx
from invgen.solvers.diffusion.twisted_smc import _effective, _systematic

SHAPE = (2, 4)


def correlated(field="real"):
    """Images in which neighbors are alike."""
    places = torch.stack(torch.meshgrid(*map(torch.arange, SHAPE), indexing="ij"), -1).reshape(-1, 2).double()
    mean = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(SHAPE)
    mean = mean if field == "real" else torch.complex(mean, -mean)
    return Gaussian(mean, torch.exp(-torch.cdist(places, places) / 2).to(mean.dtype))


def dense(field="real"):
    dtype = torch.float64 if field == "real" else torch.complex128
    matrix = torch.randn(4, 8, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return MatrixOperator(matrix / 8**0.5, SHAPE)


def measured(A, prior, std=0.3, seed=0):
    noise = ig.noise.Gaussian(std)
    return ig.Problem(A, noise.sample(A(prior.sample(1, seed)[0]), seed), noise)


def stepped(solver, problem, x, noise, high, low):
    problem = problem.repeated(len(x))
    with torch.no_grad():
        return solver.moved(problem, DataProx(problem), x, noise, high, low)


@pytest.mark.parametrize("field", ["real", "complex"])
def test_the_twist_of_an_isotropic_prior_is_the_exact_likelihood_of_the_noisy_image(field):
    dtype = torch.float64 if field == "real" else torch.complex128
    prior, A = Gaussian(torch.zeros(SHAPE, dtype=dtype), 0.5), dense(field)
    # of orthonormal rows S is a number, and one step of conjugate gradients exact
    A = MatrixOperator(torch.linalg.qr(A(torch.eye(8, dtype=dtype).reshape(8, *SHAPE)))[0].mH, SHAPE)
    problem, sigma = measured(A, prior, std=0.25), 0.8
    x = prior.sample(5, 3)
    shrunk = 0.5 / (0.5 + sigma**2)
    exact = 0.25**2 + sigma**2 * shrunk
    residual = problem.measurement - A(shrunk * x)
    found = stepped(TwistedSMC(prior), problem, x, torch.zeros_like(x), sigma, 0.7)
    assert torch.allclose(found.twist, -residual.abs().square().sum(-1) / (2 * exact), rtol=1e-12)


def test_the_twist_ends_at_the_likelihood():
    prior, A = correlated(), dense()
    problem, sigma = measured(A, prior), 1e-4
    x = prior.sample(5, 3)
    found = stepped(TwistedSMC(prior), problem, x, torch.zeros_like(x), sigma, 0.0)
    expected = -problem.repeated(5).negative_log_likelihood(prior.denoise(x, sigma))
    # they differ by sigma^2 |A|^2 / std^2, 1e-7
    assert torch.allclose(found.twist, expected, rtol=1e-6)


@pytest.mark.parametrize("field", ["real", "complex"])
def test_the_weights_of_a_step_average_to_one(field):
    """Of the model's step over the one that was made: any error of the density ratio shows."""
    prior = correlated(field)
    problem = measured(dense(field), prior)
    x = prior.sample(1, 5).expand(20_000, *SHAPE)
    generator = torch.Generator().manual_seed(2)
    # of unit variance in each part
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype) * (2**0.5 if field == "complex" else 1)
    ratio = stepped(TwistedSMC(prior), problem, x, noise, 1.0, 0.6).correction.exp()
    assert ratio.std() > 0.1  # the data do guide
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / len(ratio) ** 0.5


def test_unguided_particles_have_the_priors_variance_to_second_order():
    """Steps are affine for a normal prior: their covariance is propagated without chance."""
    prior = Gaussian(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[0.1, 3.0]]).double())
    # data of no weight
    problem = ig.Problem(Mask(torch.ones(1, 2)), torch.zeros(1, 2).double(), ig.noise.Gaussian(1e9))
    errors = []
    for iterations in (50, 100):
        solver = TwistedSMC(prior, iterations=iterations, sigma_range=(1e-3, 50.0))
        levels, variance = solver.levels(), torch.full((1, 2), 50.0**2, dtype=torch.float64)
        one, none = torch.ones(1, 1, 2).double(), torch.zeros(1, 1, 2).double()
        for high, low in pairwise(levels):
            kept, fresh = (
                stepped(solver, problem, x, noise, high, low).x[0] for x, noise in ((one, none), (none, one))
            )
            variance = kept**2 * variance + fresh**2
        errors.append((variance / torch.tensor([0.1, 3.0]) - 1).abs().max())
    assert errors[1] < 0.01  # that of ancestral sampling is 0.1
    assert 3 < errors[0] / errors[1] < 5  # halved steps, a quarter of the error


CASES = {
    "dense": (dense, "real"),
    "mask": (lambda: Mask(torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0]]).bool()), "real"),
    "blocks": (lambda: Downsample(SHAPE, 2), "real"),
    "complex": (lambda: dense("complex"), "complex"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_posterior_of_a_normal_prior(case):
    build, field = CASES[case]
    prior, n = correlated(field), 1000
    problem = measured(build(), prior)
    result = TwistedSMC(prior, iterations=40)(problem, samples=n, seed=0)
    posterior = prior.posterior(problem)
    std = posterior.covariance().diagonal().real.sqrt().reshape(SHAPE)
    parts = (
        torch.view_as_real(z) if z.is_complex() else z[..., None] for z in (result.samples, posterior.mean())
    )
    samples, mean = parts
    # drawing anew leaves the error of about a quarter as many independent samples; four standard errors, and
    # for the variance what the steps' second order leaves of 1 % at 100 levels
    error = 4 * (4 / n) ** 0.5
    assert ((samples.mean(0) - mean) / std[..., None]).abs().max() < error
    assert (samples.var(0) / std[..., None] ** 2 - 1).abs().max() < 2**0.5 * error + 0.01 * (100 / 40) ** 2


def test_modes_have_their_weight():
    """Two modes that the data hardly distinguish: guidance alone does not know their weights."""
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=torch.float64)[:, None]
    prior = GaussianMixture(means, 0.1, [0.8, 0.2])
    A, n = Mask(torch.tensor([[0, 1]]).bool()), 2000
    problem = ig.Problem(A, torch.tensor([[0.0, 0.7]]).double(), ig.noise.Gaussian(0.3))
    exact = float(prior.posterior(problem).weights[0])
    assert 0.3 < exact < 0.7
    drawn = TwistedSMC(prior, iterations=60)(problem, samples=n, seed=0).samples
    found = float((drawn[:, 0, 0] < 0).double().mean())
    assert abs(found - exact) < 4 * (4 * exact * (1 - exact) / n) ** 0.5


def test_systematic_resampling_keeps_whole_shares():
    """Each particle is drawn n w times, rounded up or down; Douc, Cappe and Moulines (2005), sec. 2.4."""
    log_weights = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    index = _systematic(log_weights, 50, lambda like: like.new_full(like.shape, 0.3))
    shares = 50 * torch.softmax(log_weights, 0)
    for i in range(3):
        counts = torch.bincount(index[:, i], minlength=7)
        assert bool(((counts - shares[:, i]).abs() < 1).all())


def test_the_effective_number_of_equal_weights_is_all_of_them():
    assert torch.allclose(_effective(torch.zeros(9, 2).double()), torch.tensor(9.0).double())
    one = torch.tensor([0.0, -math.inf, -math.inf]).double()
    assert _effective(one) == 1


def test_what_is_reported():
    prior = correlated()
    problem = measured(dense(), prior)
    solver = TwistedSMC(prior, iterations=10, particles=40)
    few = solver(problem, samples=5, seed=0)
    assert few.stats["network_evaluations"] == 10 * 40 / 5
    effective = few.stats["effective_particles"]
    assert effective.shape == (11,)
    assert bool(((effective >= 1) & (effective <= 40 * (1 + 1e-12))).all())
    assert solver(problem, samples=50, seed=0).stats["particles"] == 50


def test_chunks_of_particles_change_nothing():
    prior = correlated()
    problem = measured(dense(), prior)
    whole, parts = (
        TwistedSMC(prior, iterations=10, chunk_size=chunk_size)(problem, samples=3, seed=4).samples
        for chunk_size in (None, 7)
    )
    assert torch.allclose(whole, parts, rtol=1e-9)


def test_what_does_not_fit_is_refused():
    prior = correlated()
    with pytest.raises(ParameterError, match="particles"):
        TwistedSMC(prior, particles=1)
    with pytest.raises(ParameterError, match="threshold"):
        TwistedSMC(prior, threshold=1.5)
    with pytest.raises(CapabilityError, match="derivative"):
        TwistedSMC(Numpy(), sigma_range=(0.1, 1.0))(measured(dense(), prior))


class Numpy(TVDenoiser):
    """Whose derivative PyTorch does not know."""

    def denoise(self, x, sigma):
        return x.detach() / 2
