"""Gaussian mixtures against scipy, autograd, numerical integration and the formulas of a paper."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import invgen as ig
from invgen.noise import Gaussian as Noise
from invgen.operators import MatrixOperator
from invgen.priors import GaussianMixture
from invgen.priors.densities.covariances import LowRank, Stationary

SHAPE, N, K = (2, 3), 6, 4


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def double(number):
    return torch.tensor(number, dtype=torch.float64)


MEANS = 2 * normal(K, *SHAPE, seed=1)
WEIGHTS = [0.1, 0.4, 0.3, 0.2]
VARIANCES = 0.1 + normal(K, *SHAPE, seed=2).square()
ROOTS = normal(K, N, N, seed=3)
MATRICES = ROOTS @ ROOTS.mT / N + 0.1 * torch.eye(N, dtype=torch.float64)
FACTORS = normal(K, 2, *SHAPE, seed=4)
SPECTRA = 0.1 + normal(K, *SHAPE, seed=5).square()
SPECTRA = SPECTRA + torch.roll(SPECTRA.flip((1, 2)), (1, 1), (1, 2))
#: Each kind of covariance.
KINDS = {
    "number": 0.5,
    "variances": VARIANCES,
    "matrices": MATRICES,
    "shared matrix": MATRICES[:1].expand(K, N, N),
    "low rank": LowRank(FACTORS, VARIANCES, SHAPE),
    "stationary": Stationary(SPECTRA, SHAPE),
}


def mixture(kind):
    return GaussianMixture(MEANS, KINDS[kind], WEIGHTS)


def components(kind, sigma=0.0):
    """Weight, mean and covariance of each component of noisy images, as NumPy's."""
    matrices = mixture(kind).covariances.matrices().expand(K, N, N) + sigma**2 * torch.eye(
        N, dtype=torch.float64
    )
    return list(zip(WEIGHTS, MEANS.flatten(1).numpy(), matrices.numpy(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_density_is_the_sum_of_scipys(kind):
    x = normal(5, *SHAPE, seed=7)
    for sigma in (0.0, 0.7):
        rows = x.flatten(1).numpy()
        density = sum(w * multivariate_normal(m, C).pdf(rows) for w, m, C in components(kind, sigma))
        ours = mixture(kind).log_prob(x, sigma or None)
        np.testing.assert_allclose(ours, np.log(density), rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_denoiser_follows_tweedies_formula(kind):
    """From the derivative of the density of noisy images, by autograd."""
    prior, x = mixture(kind), normal(2, 3, *SHAPE, seed=8).requires_grad_()
    sigma = 0.1 + normal(2, 3, seed=9).abs()
    (gradient,) = torch.autograd.grad(prior.log_prob(x, sigma).sum(), x)
    noise = sigma[..., None, None] ** 2
    torch.testing.assert_close(
        prior.denoise(x.detach(), sigma), x.detach() + noise * gradient, rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(prior.score(x.detach(), sigma), gradient, rtol=1e-9, atol=1e-9)
    assert torch.autograd.gradcheck(prior.log_prob, x, fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: prior.denoise(x, sigma), x, fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_denoiser_is_the_average_of_wiener_filters(kind):
    prior, x, sigma = mixture(kind), normal(*SHAPE, seed=10), 0.6
    terms = [
        (w * multivariate_normal(m, C).pdf(x.flatten().numpy()), m, C) for w, m, C in components(kind, sigma)
    ]
    total = sum(p for p, _, _ in terms)
    eye = sigma**2 * np.eye(N)
    expected = sum(
        p / total * (m + (C - eye) @ np.linalg.solve(C, x.flatten().numpy() - m)) for p, m, C in terms
    )
    np.testing.assert_allclose(prior.denoise(x, sigma).flatten(), expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        prior.responsibilities(x, sigma), [p / total for p, _, _ in terms], rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_mean_and_covariance(kind):
    prior, m = mixture(kind), 40_000
    r = (prior.sample(m, seed=0) - prior.mean()).flatten(1)
    C = prior.covariance()
    d = C.diagonal()
    # five standard errors of Gaussian images: those of a mixture with bounded means are no larger
    assert bool(((r.T @ r / m - C).abs() < 5 * (torch.outer(d, d) + C**2).sqrt() / m**0.5).all())
    assert bool((r.mean(0).abs() < 5 * (d / m).sqrt()).all())
    assert torch.equal(prior.sample(3, seed=1), prior.sample(3, seed=1))
    assert not torch.equal(prior.sample(3, seed=1), prior.sample(3, seed=0))
    assert prior.sample(0, seed=0).shape == (0, *SHAPE)


def test_samples_come_from_each_component_as_often_as_its_weight_says():
    prior = GaussianMixture(torch.tensor([[0.0], [100.0], [200.0]]), 1.0, [0.2, 0.0, 0.8])
    x = prior.sample(10_000, seed=0)[:, 0]
    assert x.dtype == torch.float32
    assert not bool(((x > 50) & (x < 150)).any())
    # five standard deviations of a binomial proportion
    assert abs(float((x > 150).float().mean()) - 0.8) < 5 * math.sqrt(0.8 * 0.2 / 10_000)


@pytest.mark.parametrize("kind", KINDS)
def test_posterior_is_conditioned_component_by_component(kind):
    """The textbook's form, by the covariance of the measurement; weights by the evidence."""
    A, std = normal(4, N, seed=11), 0.2 + normal(4, seed=12).abs()
    y = normal(4, seed=13)
    problem = ig.Problem(MatrixOperator(A, SHAPE), y, Noise(std))
    posterior = mixture(kind).posterior(problem)
    matrices = posterior.covariances.matrices().expand(K, N, N)
    evidence = []
    for i, (w, m, C) in enumerate(components(kind)):
        S = A.numpy() @ C @ A.numpy().T + np.diag(std.numpy() ** 2)
        gain = C @ A.numpy().T @ np.linalg.inv(S)
        evidence.append(w * multivariate_normal(A.numpy() @ m, S).pdf(y.numpy()))
        mean = m + gain @ (y.numpy() - A.numpy() @ m)
        np.testing.assert_allclose(posterior.means[i].flatten(), mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(matrices[i], C - gain @ A.numpy() @ C, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(posterior.weights, np.array(evidence) / sum(evidence), rtol=1e-8, atol=1e-12)


def test_posterior_in_two_dimensions_is_that_of_numerical_integration():
    prior = GaussianMixture(
        torch.tensor([[-1.0, 0.5], [1.5, 1.0], [0.0, -1.0]], dtype=torch.float64),
        torch.tensor(
            [[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.1], [-0.1, 0.4]], [[0.1, 0.0], [0.0, 0.5]]]
        ).double(),
        [0.5, 0.2, 0.3],
    )
    A = torch.tensor([[1.0, -0.7]], dtype=torch.float64)
    problem = ig.Problem(MatrixOperator(A, (2,)), double([0.4]), Noise(double(0.5)))
    axis = torch.linspace(-6, 6, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    log_density = prior.log_prob(grid) - (grid @ A[0] - 0.4) ** 2 / (2 * 0.5**2)
    # sums over a grid of smooth densities that vanish at its ends are exact to rounding
    p = torch.softmax(log_density, 0)
    posterior = prior.posterior(problem)
    mean = (p[:, None] * grid).sum(0)
    r = grid - mean
    torch.testing.assert_close(posterior.mean(), mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(posterior.covariance(), (p[:, None] * r).T @ r, rtol=1e-8, atol=1e-8)
    cell = float(axis[1] - axis[0]) ** 2
    torch.testing.assert_close(
        posterior.log_prob(grid[::997]), torch.log(p[::997] / cell), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize(("n", "m"), [(8, 1), (8, 4), (80, 2)])
def test_posterior_of_the_mixture_of_mcgdiff(n, m):
    """Cardoso et al. (2024), sec. 3: 25 unit normals around (8i, 8j, 8i, ...)."""
    pairs = torch.tensor(list(itertools.product(range(-2, 3), repeat=2)), dtype=torch.float64)
    means = (8 * pairs).repeat(1, n // 2)
    weights = torch.rand(25, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    A, std = normal(m, n, seed=1), double(0.3)
    truth = means[7] + normal(n, seed=2)
    y = A @ truth + std * normal(m, seed=3)
    posterior = GaussianMixture(means, 1.0, weights).posterior(
        ig.Problem(MatrixOperator(A, (n,)), y, Noise(std))
    )
    covariance = torch.linalg.inv(torch.eye(n, dtype=torch.float64) + A.T @ A / std**2)
    expected = (covariance @ (A.T @ y / std**2 + means).T).T
    torch.testing.assert_close(posterior.means, expected, rtol=1e-8, atol=1e-8)
    S = std**2 * torch.eye(m, dtype=torch.float64) + A @ A.T
    evidence = [multivariate_normal((A @ mean).numpy(), S.numpy()).logpdf(y.numpy()) for mean in means]
    logs = torch.log(weights) + double(evidence)
    torch.testing.assert_close(posterior.weights, torch.softmax(logs, 0), rtol=1e-8, atol=1e-12)


def test_complex_mixture_is_that_of_its_parts():
    """Circular images are real ones of twice as many numbers."""
    means, C = normal(3, N, dtype=torch.complex128), MATRICES[:3].to(torch.complex128)
    C = C + 0.05j * (ROOTS[:3] - ROOTS[:3].mT)
    ours = GaussianMixture(means, C, WEIGHTS[:3])
    parts = GaussianMixture(
        torch.cat([means.real, means.imag], 1),
        torch.cat([torch.cat([C.real, -C.imag], 2), torch.cat([C.imag, C.real], 2)], 1),
        WEIGHTS[:3],
    )
    x = normal(4, N, seed=1, dtype=torch.complex128)
    both = torch.cat([x.real, x.imag], 1)
    torch.testing.assert_close(ours.log_prob(x), parts.log_prob(both), rtol=1e-9, atol=1e-9)
    denoised = parts.denoise(both, 0.4)
    torch.testing.assert_close(
        ours.denoise(x, 0.4), torch.complex(denoised[:, :N], denoised[:, N:]), rtol=1e-9, atol=1e-9
    )
    A, y = normal(2, N, seed=2, dtype=torch.complex128), normal(2, seed=3, dtype=torch.complex128)
    real = torch.cat([torch.cat([A.real, -A.imag], 1), torch.cat([A.imag, A.real], 1)])
    posterior = ours.posterior(ig.Problem(MatrixOperator(A, (N,)), y, Noise(double(0.5))))
    expected = parts.posterior(
        ig.Problem(MatrixOperator(real, (2 * N,)), torch.cat([y.real, y.imag]), Noise(double(0.5)))
    )
    torch.testing.assert_close(posterior.weights, expected.weights, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(
        torch.cat([posterior.means.real, posterior.means.imag], 1), expected.means, rtol=1e-8, atol=1e-8
    )


def test_batch_is_its_elements():
    for kind in KINDS:
        prior, x = mixture(kind), normal(2, 3, *SHAPE, seed=14)
        sigma = 0.1 + normal(2, 3, seed=15).abs()
        for i, j in itertools.product(range(2), range(3)):
            for batch, one in (
                (prior.denoise(x, sigma)[i, j], prior.denoise(x[i, j], sigma[i, j])),
                (prior.log_prob(x, sigma)[i, j], prior.log_prob(x[i, j], sigma[i, j])),
                (prior.log_prob(x)[i, j], prior.log_prob(x[i, j])),
            ):
                torch.testing.assert_close(batch, one, rtol=1e-12, atol=1e-12)


def test_blocks_make_no_difference(monkeypatch):
    x = normal(7, *SHAPE)
    whole = mixture("matrices").denoise(x, 0.3)
    monkeypatch.setattr("invgen.priors.densities.mixture._BLOCK", 2 * K * N)
    torch.testing.assert_close(mixture("matrices").denoise(x, 0.3), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_fit_finds_the_components(covariance):
    truth = GaussianMixture(
        double([[[-3.0, 0.0]], [[3.0, 1.0]]]), double([[[1.0, 0.25]], [[0.5, 2.0]]]), [0.3, 0.7]
    )
    x = truth.sample(4000, seed=0)
    fitted = GaussianMixture.fit(x, 2, covariance, seed=0)
    order = fitted.means[:, 0, 0].argsort()
    # a hundredth of the range of the data: several standard errors of a mean of a thousand
    torch.testing.assert_close(fitted.means[order], truth.means, rtol=0, atol=0.2)
    torch.testing.assert_close(fitted.weights[order], truth.weights, rtol=0, atol=0.03)
    # the fit explains its own data at least as well as the truth does
    assert float(fitted.log_prob(x).mean()) > float(truth.log_prob(x).mean())
    again = GaussianMixture.fit(x, 2, covariance, seed=0)
    assert torch.equal(again.means, fitted.means)


def test_what_is_no_mixture_is_refused():
    means = torch.zeros(2, 3)
    for arguments, error, words in (
        ((means, 1.0, [1.0]), ig.errors.ShapeError, "as many weights"),
        ((means, 1.0, [1.0, -1.0]), ig.errors.ParameterError, "negative"),
        ((means, 1.0, [0.0, 0.0]), ig.errors.ParameterError, "all zero"),
        ((means, torch.ones(3, 3)), ig.errors.ShapeError, "2 components"),
        ((means, LowRank(torch.ones(3, 1, 3), 1.0, (3,))), ig.errors.ShapeError, "2 components"),
        ((means.int(), 1.0), ig.errors.DtypeError, "floating"),
    ):
        with pytest.raises(error, match=words):
            GaussianMixture(*arguments)
    prior = GaussianMixture(means, 1.0)
    with pytest.raises(ig.errors.ShapeError, match="GaussianMixture"):
        prior.denoise(torch.zeros(5, 4), 0.1)
    with pytest.raises(ig.errors.ParameterError, match="sigma"):
        prior.log_prob(means, -1.0)
    with pytest.raises(ig.errors.ShapeError, match="at least as many"):
        GaussianMixture.fit(means, 3)
    with pytest.raises(ig.errors.DataError, match="alike"):
        GaussianMixture.fit(means, 1)
