"""Normal densities against independent linear algebra."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import invgen as ig
from invgen.noise import Gaussian as Noise
from invgen.noise import Poisson
from invgen.operators import MRI, Identity, MatrixOperator
from invgen.priors import Gaussian
from invgen.priors.densities.covariances import Dense, LowRank, Stationary

SHAPE = (3, 4)
N = 12
EYE = torch.eye(N, dtype=torch.float64)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def spectrum():
    """Even, as that of real images, and not alike anywhere else."""
    s = normal(*SHAPE).abs() + 0.1
    return s + torch.roll(s.flip((0, 1)), (1, 1), (0, 1))


def matrix(dtype=torch.float64):
    B = normal(N, N, dtype=dtype)
    return B @ B.mH / N + 0.1 * EYE


def circulant():
    """The stationary covariance by its definition, column after column."""
    F = torch.fft.fftn(torch.eye(N, dtype=torch.complex128).reshape(N, *SHAPE), dim=(1, 2), norm="ortho")
    F = F.reshape(N, N).T
    return (F.mH @ torch.diag(spectrum().flatten()).to(F) @ F).real


FACTORS, VARIANCES = normal(2, *SHAPE, seed=3), 0.2 + normal(*SHAPE, seed=4).square()
#: Each kind of covariance, as it is given and as a matrix.
KINDS = {
    "number": (0.7, 0.7 * EYE),
    "variances": (VARIANCES, torch.diag(VARIANCES.flatten())),
    "matrix": (matrix(), matrix()),
    "low rank": (
        LowRank(FACTORS, VARIANCES),
        FACTORS.flatten(1).T @ FACTORS.flatten(1) + torch.diag(VARIANCES.flatten()),
    ),
    "stationary": (Stationary(spectrum()), circulant()),
    "complex matrix": (matrix(torch.complex128), matrix(torch.complex128)),
    "complex stationary": (
        Stationary(spectrum(), ig.operators.Space(SHAPE, "complex")),
        circulant().to(torch.complex128),
    ),
}


def prior_of(kind):
    covariance, C = KINDS[kind]
    mean = normal(*SHAPE, seed=1, dtype=torch.complex128 if kind.startswith("complex") else torch.float64)
    return Gaussian(mean, covariance), mean, C.to(mean)


def real_form(C, *vectors):
    """The covariance of real and imaginary parts, and vectors, as those of twice as many real numbers."""
    if C.is_complex():
        C = torch.cat([torch.cat([C.real, -C.imag], 1), torch.cat([C.imag, C.real], 1)])
        vectors = tuple(torch.cat([v.real.flatten(-2), v.imag.flatten(-2)], -1) for v in vectors)
    else:
        vectors = tuple(v.flatten(-2) for v in vectors)
    return C.numpy(), *(v.numpy() for v in vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_density_is_scipys(kind):
    prior, mean, C = prior_of(kind)
    x = mean + normal(5, *SHAPE, dtype=mean.dtype)
    covariance, m, rows = real_form(C, mean, x)
    np.testing.assert_allclose(prior.log_prob(x), multivariate_normal(m, covariance).logpdf(rows), rtol=1e-9)
    noisy = multivariate_normal(m, covariance + 0.09 * np.eye(len(m)))
    np.testing.assert_allclose(prior.log_prob(x, 0.3), noisy.logpdf(rows), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_denoiser_is_the_wiener_filter(kind):
    prior, mean, C = prior_of(kind)
    x = mean + normal(3, *SHAPE, seed=2, dtype=mean.dtype)
    sigma = torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    for xi, s, denoised, score in zip(x, sigma, prior.denoise(x, sigma), prior.score(x, sigma), strict=True):
        solved = torch.linalg.solve(C + s**2 * EYE, (xi - mean).flatten())
        torch.testing.assert_close(denoised, mean + (C @ solved).reshape(SHAPE), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(score, -solved.reshape(SHAPE), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_mean_and_covariance(kind):
    prior, mean, C = prior_of(kind)
    x = prior.sample(40_000, seed=0)
    assert x.dtype == mean.dtype
    r = (x - mean).flatten(1)
    parts = 2 if C.is_complex() else 1
    estimate = r.mT @ r.conj() / len(r) / parts
    # a covariance of m samples is known to sqrt(C_ii C_jj + |C_ij|^2) / sqrt(m); five times that
    d = C.diagonal().real
    bound = 5 * (torch.outer(d, d) + C.abs() ** 2).sqrt() / len(r) ** 0.5
    assert bool(((estimate - C).abs() < bound).all())
    assert bool((r.mean(0).abs() < 5 * (parts * d / len(r)).sqrt()).all())
    assert torch.equal(prior.sample(3, seed=5), prior.sample(3, seed=5))
    torch.testing.assert_close(prior.covariance(), C.to(prior.covariance()), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_posterior_is_that_of_linear_algebra(kind):
    prior, mean, C = prior_of(kind)
    A = normal(7, N, seed=6, dtype=mean.dtype)
    std = 0.1 + normal(7, seed=7).abs()
    operator = MatrixOperator(A, SHAPE)
    y = A @ mean.flatten() + normal(7, seed=8, dtype=mean.dtype)
    posterior = prior.posterior(ig.Problem(operator, y, Noise(std)))
    assert isinstance(posterior, Gaussian)
    # the textbook's form, by the covariance of the measurement
    gain = C @ A.mH @ torch.linalg.inv(A @ C @ A.mH + torch.diag(std**2))
    expected = mean + (gain @ (y - A @ mean.flatten())).reshape(SHAPE)
    torch.testing.assert_close(posterior.means[0], expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(posterior.covariance(), C - gain @ A @ C, rtol=1e-8, atol=1e-8)


def test_posterior_of_a_real_image_from_complex_data():
    """Half of the frequencies of a real image: the imaginary parts tell of it, too."""
    mean, C = normal(*SHAPE), matrix()
    F = torch.fft.fftn(torch.eye(N, dtype=torch.complex128).reshape(N, *SHAPE), dim=(1, 2), norm="ortho")
    mask = torch.tensor([True, False, True, True])
    A = F.reshape(N, N).T.reshape(*SHAPE, N)[:, mask].reshape(-1, N)
    y = normal(len(A), dtype=torch.complex128)
    operator = MatrixOperator(torch.cat([A.real, A.imag]), SHAPE)
    stacked = torch.cat([y.real, y.imag])
    posterior = Gaussian(mean, C).posterior(ig.Problem(operator, stacked, Noise(0.5)))
    precision = torch.linalg.inv(C) + (A.mH @ A).real / 0.25
    expected = torch.linalg.solve(precision, torch.linalg.solve(C, mean.flatten()) + (A.mH @ y).real / 0.25)
    torch.testing.assert_close(posterior.means[0].flatten(), expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(posterior.covariance(), torch.linalg.inv(precision), rtol=1e-8, atol=1e-8)


def test_denoising_problem_and_denoiser_agree():
    """The posterior mean under the identity is what the denoiser gives."""
    prior, mean, _ = prior_of("stationary")
    y = mean + normal(*SHAPE, seed=9)
    posterior = prior.posterior(ig.Problem(Identity(SHAPE), y, Noise(torch.tensor(0.4, dtype=torch.float64))))
    torch.testing.assert_close(posterior.means[0], prior.denoise(y, 0.4), rtol=1e-10, atol=1e-10)


def test_posterior_of_k_space_is_a_filter():
    """Stationary prior and lines of k-space that were measured: each frequency is estimated by itself."""
    mask = torch.tensor([True, False, True, False])
    space = ig.operators.Space(SHAPE, "complex")
    prior = Gaussian(torch.zeros(SHAPE, dtype=torch.complex128), Stationary(spectrum(), space))
    operator = MRI(SHAPE, mask)
    y = operator(normal(*SHAPE, dtype=torch.complex128))
    posterior = prior.posterior(ig.Problem(operator, y, Noise(0.5)))
    # the operator's k-space has its zero frequency in the middle
    variances = torch.where(torch.fft.ifftshift(mask), 0.25 * spectrum() / (spectrum() + 0.25), spectrum())
    expected = Gaussian(torch.zeros(SHAPE, dtype=torch.complex128), Stationary(variances, space)).covariance()
    torch.testing.assert_close(posterior.covariance(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["matrix", "complex stationary"])
def test_a_variational_solver_finds_the_posterior_mean(kind):
    prior, mean, _ = prior_of(kind)
    A = normal(7, N, seed=6, dtype=mean.dtype)
    problem = ig.Problem(MatrixOperator(A, SHAPE), normal(2, 7, seed=8, dtype=mean.dtype), Noise(0.5))
    x = ig.solvers.FISTA(prior, iterations=2000, tolerance=1e-12, restart=True)(problem).x
    for xi, y in zip(x, problem.measurement, strict=True):
        exact = prior.posterior(ig.Problem(problem.operator, y, problem.noise))
        torch.testing.assert_close(xi, exact.means[0], rtol=1e-8, atol=1e-8)


def test_a_direction_without_variance_stays_as_it_is():
    C = torch.diag(torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64))
    prior = Gaussian(torch.ones(3, dtype=torch.float64), C)
    problem = ig.Problem(Identity((3,)), torch.tensor([3.0, 3.0, 3.0], dtype=torch.float64), Noise(1.0))
    torch.testing.assert_close(
        prior.posterior(problem).means[0], torch.tensor([2.0, 1.0, 1 + 4 / 3], dtype=torch.float64)
    )
    with pytest.raises(ig.errors.CapabilityError, match="sigma"):
        prior.log_prob(torch.ones(3, dtype=torch.float64))
    assert math.isfinite(float(prior.log_prob(torch.ones(3, dtype=torch.float64), 0.1)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_exact(kind):
    prior, mean, _ = prior_of(kind)
    x = (mean + normal(2, *SHAPE, dtype=mean.dtype)).requires_grad_()
    assert torch.autograd.gradcheck(prior.log_prob, x, fast_mode=True)
    (gradient,) = torch.autograd.grad(prior.log_prob(x, 0.3).sum(), x)
    torch.testing.assert_close(prior.score(x.detach(), 0.3), gradient, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_and_batches(kind):
    prior, mean, _ = prior_of(kind)
    x = mean + normal(2, 3, *SHAPE, dtype=mean.dtype)
    sigma = torch.rand(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    batch = prior.denoise(x, sigma)
    for i, j in ((0, 0), (1, 2)):
        torch.testing.assert_close(batch[i, j], prior.denoise(x[i, j], sigma[i, j]), rtol=1e-12, atol=1e-12)
    single = x.to(torch.complex64 if x.is_complex() else torch.float32)
    assert prior.denoise(single, 0.5).dtype == single.dtype
    torch.testing.assert_close(prior.denoise(single, 0.5).to(x), prior.denoise(x, 0.5), rtol=1e-5, atol=1e-5)
    assert prior.log_prob(single).dtype == torch.float32
    assert prior.denoise(x[:0], 0.5).shape == (0, 3, *SHAPE)


def test_what_is_no_density_is_refused():
    mean = torch.zeros(3, dtype=torch.float64)
    for covariance, error, words in (
        (torch.tensor([1.0, -1.0, 1.0]), "ParameterError", "negative"),
        (torch.tensor([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]]), "ParameterError", "eigenvalues"),
        (torch.tensor([[1.0, 2, 0], [0, 1, 0], [0, 0, 1]]), "ParameterError", "symmetric"),
        (torch.ones(4), "ShapeError", "variances"),
        (Dense(torch.eye(3).expand(2, 3, 3), ig.operators.Space((3,))), "ShapeError", "one covariance"),
    ):
        with pytest.raises(getattr(ig.errors, error), match=words):
            Gaussian(mean, covariance)
    with pytest.raises(ig.errors.ParameterError, match="even"):
        Stationary(torch.arange(4.0))
    with pytest.raises(ig.errors.DataError, match="NaN"):
        Gaussian(mean + torch.nan, 1.0)


def test_what_has_no_exact_posterior_is_refused():
    prior = Gaussian(torch.zeros(3), 1.0)
    y = torch.ones(3)
    for problem, error, words in (
        (ig.Problem(Identity((3,)), y), ig.errors.CapabilityError, "unknown"),
        (ig.Problem(Identity((3,)), y, Poisson()), ig.errors.CapabilityError, "Poisson"),
        (ig.Problem(Identity((3,)), y.expand(2, 3), Noise(1.0)), ig.errors.ShapeError, "one measurement"),
        (ig.Problem(Identity((4,)), torch.ones(4), Noise(1.0)), ig.errors.ShapeError, "images"),
    ):
        with pytest.raises(error, match=words):
            prior.posterior(problem)
    large = Gaussian(torch.zeros(80, 80), 1.0)
    with pytest.raises(ig.errors.CapabilityError, match="4096"):
        large.posterior(ig.Problem(Identity((80, 80)), torch.zeros(80, 80), Noise(1.0)))
