"""Samplers along singular vectors: DDRM and DDNM."""

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators import MRI, Blur, Downsample, Mask, MatrixOperator, Radon
from invgen.priors import Gaussian
from invgen.solvers import DDNM, DDRM, State

SHAPE = (4, 6)


def prior(field="real", variance=0.09):
    dtype = torch.float64 if field == "real" else torch.complex128
    return Gaussian(torch.ones(SHAPE, dtype=dtype), variance)


def measured(A, std, prior, seed=0):
    noise = ig.noise.Gaussian(std)
    return ig.Problem(A, noise.sample(A(prior.sample(1, seed)[0]), seed), noise)


def singular():
    """A matrix with singular values of all sizes, the last of them zero."""
    generator = np.random.default_rng(0)
    U, V = (np.linalg.qr(generator.standard_normal((n, 5)))[0] for n in (7, 24))
    return torch.from_numpy(U * [2.0, 1.0, 0.3, 0.02, 0.0] @ V.T)


OPERATORS = {
    "matrix": (lambda: MatrixOperator(singular(), SHAPE), "real"),
    "mask": (lambda: Mask(torch.arange(24).reshape(SHAPE) % 3 > 0), "real"),
    "blocks": (lambda: Downsample(SHAPE, 2), "real"),
    "blur": (lambda: Blur(SHAPE, torch.tensor([[1.0, 2, 3], [0, 4, 0], [0, 0, 2]]) / 12, "circular"), "real"),
    "MRI": (lambda: MRI(SHAPE, torch.tensor([1, 0, 1, 1, 0, 1]).bool()), "complex"),
}


@pytest.mark.parametrize(("high", "low"), [(5.0, 3.0), (0.5, 0.1), (0.05, 0.02), (0.02, 0.0)])
def test_a_step_of_ddrm_is_the_papers_coefficient_by_coefficient(high, low):
    matrix, std, eta, eta_b = singular(), 0.1, 0.6, 0.8
    problem = measured(MatrixOperator(matrix, SHAPE), std, prior()).repeated(1)
    x = 1 + high * Draws([5])(torch.empty(1, *SHAPE, dtype=torch.float64))
    solver = DDRM(prior(), eta=eta, eta_b=eta_b)
    reached = solver.step(problem, solver.prepare(problem), State(x=x, noisy=x), high, low, Draws([7]))
    x0, found = reached.x, reached["noisy"]
    # eq. 8 along each singular vector of the whole space
    U, s, Vh = np.linalg.svd(matrix.numpy())
    noise = Draws([7])(x)[0].flatten().numpy()
    xt, image, y = x[0].flatten().numpy(), x0[0].flatten().numpy(), problem.measurement[0].numpy()
    expected = np.zeros(24)
    for i, v in enumerate(Vh):
        a, n, old = v @ image, v @ noise, v @ (xt - image) / high
        if i >= 4:  # singular values of zero, and beyond the matrix's rows
            c = a + low * (np.sqrt(1 - eta**2) * old + eta * n)
        elif low < std / s[i]:
            c = a + low * (np.sqrt(1 - eta**2) * (U[:, i] @ y / s[i] - a) / (std / s[i]) + eta * n)
        else:
            c = (1 - eta_b) * a + eta_b * (U[:, i] @ y / s[i])
            c += np.sqrt(low**2 - (eta_b * std / s[i]) ** 2) * n
        expected += c * v
    np.testing.assert_allclose(found[0].flatten().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", OPERATORS)
def test_noise_of_the_data_counts_to_that_of_the_level(name):
    """Around the truth the next x has the variance low^2 in every direction, over data and draws."""
    build, field = OPERATORS[name]
    A, truth, n, std, high, low = build(), prior(field).sample(1, 0)[0], 2000, 0.1, 0.4, 0.25
    clean = A(truth).expand(n, *A.range.shape)
    noise = ig.noise.Gaussian(std)
    problem = ig.Problem(A, noise.sample(clean, 1), noise)
    images = truth.expand(n, *SHAPE)
    x = images + high * Draws(range(n))(images)
    for solver, eta_b in ((DDRM(prior(field)), 1.0), (DDRM(prior(field), eta=0.3), 0.5)):
        found = solver.renoised_by_data(
            solver.prepare(problem), images, x, high, low, eta_b, Draws(range(n, 2 * n))
        )
        parts = (
            torch.view_as_real(found - truth).flatten(1) if field == "complex" else (found - truth).flatten(1)
        )
        # variances of n Gaussian numbers are off by sqrt(2 / n): four of that in 24 to 48 directions
        ratio = parts.square().mean(0) / low**2
        assert (ratio - 1).abs().max() < 4 * (2 / n) ** 0.5


@pytest.mark.parametrize("solver", [DDRM, DDNM])
@pytest.mark.parametrize("name", OPERATORS)
def test_data_of_little_noise_are_kept(solver, name):
    build, field = OPERATORS[name]
    A, std = build(), 1e-3
    problem = measured(A, std, prior(field))
    result = solver(prior(field))(problem, samples=20, seed=0)
    misfit = problem.repeated(20).misfit(result.samples) / problem.count()
    # of the order of one: a sample and the data each have noise of the level std
    assert misfit.max() < 4


@pytest.mark.parametrize("solver", [DDRM, DDNM])
def test_the_mean_is_that_of_the_posterior_where_the_data_have_little_noise(solver):
    problem, n = measured(Downsample(SHAPE, 2), 0.03, prior()), 300
    posterior = prior().posterior(problem)
    result = solver(prior())(problem, samples=n, seed=0)
    std = posterior.covariance().diagonal().sqrt().reshape(SHAPE)
    error = ((result.x - posterior.mean()) / std).square().mean().sqrt()
    assert error < 2 / n**0.5  # twice the Monte-Carlo error, of n samples that vary too little


def test_one_pass_of_ddnm_is_ddrm():
    problem = measured(Downsample(SHAPE, 2), 0.1, prior())
    first, second = (S(prior(), iterations=10, eta=0.7)(problem, samples=3, seed=0) for S in (DDRM, DDNM))
    assert torch.equal(first.samples, second.samples)


def test_passes_are_evaluations_and_bring_the_null_space_nearer_to_the_data():
    """Correlated pixels, of which half are seen: what is not seen follows from what is."""
    near = torch.exp(-0.3 * (torch.arange(24)[:, None] - torch.arange(24)).abs().double())
    images = Gaussian(torch.ones(SHAPE, dtype=torch.float64), near)
    problem = measured(Mask(torch.arange(24).reshape(SHAPE) % 2 > 0), 0.05, images)
    truth = images.posterior(problem).mean()
    errors = []
    for passes in (1, 4):
        result = DDNM(images, iterations=10, passes=passes)(problem, samples=100, seed=0)
        assert result.stats["network_evaluations"] == 10 * passes
        errors.append(float((result.x - truth).norm()))
    assert errors[1] < errors[0]


@pytest.mark.parametrize("solver", [DDRM(prior(), iterations=6), DDNM(prior(), iterations=6, passes=2)])
def test_samples_are_their_seeds_and_batches_their_elements(solver):
    A, noise = Downsample(SHAPE, 2), ig.noise.Gaussian(0.1)
    y = noise.sample(A(prior().sample(2, 0)), 0)
    both = solver(ig.Problem(A, y, noise), samples=3, seed=4)
    alone = solver(ig.Problem(A, y[1], noise), seed=6)
    torch.testing.assert_close(both.samples[2, 1], alone.samples[0], rtol=1e-12, atol=1e-12)


def test_a_level_of_noise_for_each_element():
    A = Downsample(SHAPE, 2)
    y = A(prior().sample(2, 0))
    std = torch.tensor([0.01, 0.5], dtype=torch.float64)
    both = DDRM(prior(), iterations=6)(ig.Problem(A, y, ig.noise.Gaussian(std.reshape(2, 1, 1))), seed=0)
    for i in range(2):
        alone = DDRM(prior(), iterations=6)(ig.Problem(A, y[i], ig.noise.Gaussian(float(std[i]))), seed=0)
        torch.testing.assert_close(both.x[i], alone.x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("solver", [DDRM, DDNM])
def test_what_has_no_singular_vectors_or_unequal_noise_is_refused(solver):
    with pytest.raises(CapabilityError, match=r"singular value decomposition.*Radon.*DDS or DiffPIR"):
        solver(prior())(measured(Radon(SHAPE, angles=4), 0.1, prior()))
    unequal = torch.linspace(0.1, 0.2, 24).reshape(SHAPE)
    with pytest.raises(CapabilityError, match=r"one level.*DDS or DiffPIR"):
        solver(prior())(measured(Mask(torch.ones(SHAPE)), unequal, prior()))


@pytest.mark.parametrize("build", [lambda: DDRM(prior(), eta=1.1), lambda: DDNM(prior(), eta=-0.1)])
def test_eta_is_a_fraction(build):
    with pytest.raises(ParameterError, match="eta from 0 to 1"):
        build()


def test_other_parameters_are_checked():
    with pytest.raises(ParameterError, match="eta_b from 0 to 1"):
        DDRM(prior(), eta_b=2.0)
    with pytest.raises(ParameterError, match="passes"):
        DDNM(prior(), passes=0)
