"""The kernel Stein discrepancy against automatic derivatives, quadrature, and what it can and cannot see."""

import math

import pytest
import torch
from scipy import integrate, stats

import invgen as ig
from invgen.certification import find_case, kernel_stein, posterior_score
from invgen.certification.stein import stein_kernel


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_stein_kernel_is_that_of_automatic_derivatives():
    """``s.s' k + s.grad' k + s'.grad k + tr grad grad' k``, Liu et al. (2016), theorem 3.6."""
    n, d, length = 4, 3, 0.8
    x, s = normal(n, d), normal(n, d, seed=1)

    def kernel(a, b):
        return (length**2 + (a - b).square().sum()) ** -0.5

    expected = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            da = torch.func.grad(kernel, 0)(x[i], x[j])
            db = torch.func.grad(kernel, 1)(x[i], x[j])
            mixed = torch.func.jacrev(torch.func.grad(kernel, 0), 1)(x[i], x[j])
            expected[i, j] = s[i] @ s[j] * kernel(x[i], x[j]) + s[i] @ db + s[j] @ da + mixed.trace()
    torch.testing.assert_close(stein_kernel(x, s, length), expected)


def test_it_averages_to_zero_over_the_density():
    """Of N(0, 1) by quadrature, at any place."""
    t = torch.linspace(-9, 9, 601, dtype=torch.float64)[:, None]
    u = stein_kernel(t, -t, 1.0)
    weights = torch.exp(-t[:, 0].square() / 2)
    assert float((u[250] * weights).sum().abs() / (u[250].abs() * weights).sum()) < 1e-9


@pytest.mark.parametrize("d", [1, 5])
def test_expectation_of_shifted_gaussians_is_that_of_an_integral(d):
    """Scores of N(0, 1) and N(m, 1) differ by m: the squared discrepancy is |m|^2 E k(x, x')."""
    m, length, n = 0.7, 1.3, 1500
    chi = stats.chi2(d)
    mean_kernel, _ = integrate.quad(lambda q: chi.pdf(q) * (length**2 + 2 * q) ** -0.5, 0, math.inf)
    expected = m**2 * mean_kernel
    found = []
    for seed in range(8):
        x = normal(n, d, seed=seed)
        x[:, 0] += m
        found.append(kernel_stein(x, lambda x: -x, length=length, resamples=1).squared)
    error = float(torch.tensor(found).std()) / math.sqrt(len(found))
    assert sum(found) / len(found) == pytest.approx(expected, abs=4 * error)
    assert error < 0.1 * expected


def test_p_values_of_exact_samples_are_uniform_and_estimates_zero_on_average():
    found = [kernel_stein(normal(100, 2, seed=i), lambda x: -x, resamples=200) for i in range(150)]
    squares = torch.tensor([each.squared for each in found])
    assert float(squares.mean().abs()) < 4 * float(squares.std()) / math.sqrt(150)
    assert stats.kstest([each.p_value for each in found], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", ["dense-8", "fourier-16", "mixture-8-4"])
def test_posteriors_are_told_from_others(name):
    prior, A, noise = find_case(name).setting(0)
    truth = prior.sample(1, seed=0)[0]
    problem = ig.Problem(A, noise.sample(A(truth), seed=1), noise)
    posterior = prior.posterior(problem)
    score = posterior_score(prior, problem)
    x = posterior.sample(600, seed=0)
    assert kernel_stein(x, score).p_value > 0.01
    mean = x.mean(0)
    assert kernel_stein(mean + 0.7 * (x - mean), score).p_value < 0.01
    assert kernel_stein(posterior.sample(600, seed=0) + 0.5 * x.std(0), score).p_value < 0.01


def test_score_of_a_posterior_is_that_of_the_closed_form():
    prior, A, noise = find_case("mixture-8-4").setting(0)
    truth = prior.sample(1, seed=0)[0]
    problem = ig.Problem(A, noise.sample(A(truth), seed=1).double(), noise)
    x = prior.posterior(problem).sample(20, seed=0).double().requires_grad_()
    prior64 = ig.priors.GaussianMixture(prior.means.double(), 1.0, prior.weights)
    (expected,) = torch.autograd.grad(prior64.posterior(problem).log_prob(x).sum(), x)
    got = posterior_score(prior64, problem)(x.detach())
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-5)
    nearly = posterior_score(prior64, problem, sigma=1e-4)(x.detach())
    torch.testing.assert_close(nearly, expected, rtol=1e-4, atol=1e-3)


def test_weights_of_distant_modes_are_not_seen():
    """What the docstring warns of: all samples in one of two modes."""
    two = ig.priors.GaussianMixture(torch.tensor([[-10.0], [10.0]]).double(), 1.0)
    assert kernel_stein(normal(500, 1) + 10, lambda x: two.score(x, 1e-6)).p_value > 0.01


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ig.errors.ShapeError, match="ten samples"):
        kernel_stein(normal(5, 2), lambda x: -x)
    with pytest.raises(ig.errors.ShapeError, match="their shape"):
        kernel_stein(normal(20, 2), lambda x: -x[:, :1])
    with pytest.raises(ig.errors.DataError, match="finite"):
        kernel_stein(normal(20, 2), lambda x: x / 0)
    with pytest.raises(ig.errors.DataError, match="alike"):
        kernel_stein(torch.zeros(20, 2), lambda x: -x)
    with pytest.raises(ig.errors.ParameterError, match="length"):
        kernel_stein(normal(20, 2), lambda x: -x, length=-1.0)
    problem = ig.Problem(ig.operators.Identity((2,)), torch.zeros(2), ig.noise.Gaussian(1.0))
    with pytest.raises(ig.errors.CapabilityError, match="log_prob"):
        posterior_score(ig.priors.TotalVariation(), problem)
    with pytest.raises(ig.errors.CapabilityError, match="score"):
        posterior_score(ig.priors.TotalVariation(), problem, sigma=0.1)
