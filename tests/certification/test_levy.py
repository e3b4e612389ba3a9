"""Lévy processes: the denoiser against linear algebra and quadrature, and Gibbs samplers against both."""

import math

import pytest
import torch
from scipy import integrate, stats

import invgen as ig
from invgen.certification import certify, find_case, rank_truths
from invgen.certification.levy import (
    SIGNALS,
    BernoulliLaplace,
    GaussianJumps,
    Gibbs,
    Laplace,
    LevyProcess,
    Student,
    levy_posterior,
    levy_setting,
)
from invgen.certification.levy.chain import sampled, smoothed

KINDS = (GaussianJumps(), Laplace(0.8), Student(3), BernoulliLaplace(0.2, 1.5))
IDS = [type(kind).__name__ for kind in KINDS]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def signals(increments, n, length, sigma, seed=0):
    g = generator(seed)
    x = increments.sample((n, length), g).cumsum(1)
    return x, x + sigma * torch.randn(n, length, generator=g, dtype=torch.float64)


def law(increments):
    """SciPy's law of what is not zero."""
    return {
        GaussianJumps: lambda i: stats.norm(scale=i.scale),
        Laplace: lambda i: stats.laplace(scale=i.b),
        Student: lambda i: stats.t(i.degrees),
        BernoulliLaplace: lambda i: stats.laplace(scale=i.b),
    }[type(increments)](increments)


@pytest.mark.parametrize("increments", KINDS, ids=IDS)
def test_increments_are_those_of_scipy(increments):
    u = increments.sample((20_000,), generator())
    kept = u[u != 0]
    assert len(kept) / len(u) == pytest.approx(increments.probability, abs=4 * 0.5 / math.sqrt(20_000))
    assert stats.kstest(kept, law(increments).cdf).pvalue > 1e-3
    assert increments.variance == pytest.approx(increments.probability * law(increments).var())
    expected = math.log(increments.probability) + torch.from_numpy(law(increments).logpdf(kept[:50].numpy()))
    torch.testing.assert_close(increments.log_prob(kept[:50]), expected)


@pytest.mark.parametrize("increments", KINDS, ids=IDS)
def test_variances_are_those_of_which_increments_are_mixtures(increments):
    """Of pairs of a variance from its law and a normal number; and the variance anew, given the increment."""
    g = generator()
    w = increments.draw_prior_variance(torch.empty(20_000, dtype=torch.float64), g)
    u = w.sqrt() * torch.randn(w.shape, generator=g, dtype=torch.float64)
    assert stats.kstest(u, law(increments).cdf).pvalue > 1e-3
    again = increments.draw_variance(u, g)
    assert stats.ks_2samp(w, again).pvalue > 1e-3
    large = u.abs() > u.abs().median()
    assert stats.ks_2samp(w[large], again[large]).pvalue > 1e-3


@pytest.mark.parametrize("increments", KINDS, ids=IDS)
@pytest.mark.parametrize("spacing", [0.3, 0.05])
def test_increments_on_a_grid_have_the_same_variance_and_sum_to_one(increments, spacing):
    steps = torch.arange(-40_000, 40_001).double()
    mass = torch.exp(increments.log_mass(steps, spacing))
    assert float(mass.sum()) == pytest.approx(1, rel=1e-6)
    variance = float((mass * (steps * spacing).square()).sum())
    tail = 3e-3 if isinstance(increments, Student) else 1e-9  # beyond the grid
    assert variance == pytest.approx(increments.variance, rel=tail)


@pytest.mark.parametrize("sigma", [0.03, 0.4, 5.0, 60.0])
def test_mean_of_a_random_walk_is_wieners(sigma):
    increments, n = GaussianJumps(), 20
    _, y = signals(increments, 3, n, sigma)
    C = LevyProcess(increments, n).covariance()
    W = torch.linalg.solve(C + sigma**2 * torch.eye(n), C)
    mean, variance = smoothed(y, sigma, increments)
    P = (C - C @ W).diagonal()
    torch.testing.assert_close(mean, y @ W, rtol=0, atol=1e-6 * float(P.max().sqrt()))
    torch.testing.assert_close(variance, P.expand(3, n), rtol=1e-6, atol=0)


@pytest.mark.parametrize("increments", [Laplace(0.8), Student(3)], ids=["Laplace", "Student"])
@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_mean_of_two_values_is_that_of_quadrature(increments, sigma):
    y = torch.tensor([[0.7, -0.4]]).double()
    # sums at the middles of 800 x 800 cells, seven deviations around the measurement
    ends = sigma * 7 * (2 * (torch.arange(800).double() + 0.5) / 800 - 1)
    a, b = torch.meshgrid(0.7 + ends, -0.4 + ends, indexing="ij")
    log_p = increments.log_prob(a) + increments.log_prob(b - a)
    p = torch.exp(log_p - ((a - 0.7).square() + (b + 0.4).square()) / (2 * sigma**2))
    expected = torch.stack([(p * a).sum(), (p * b).sum()]) / p.sum()
    mean, _ = smoothed(y, sigma, increments, refine=3)
    torch.testing.assert_close(mean[0], expected, rtol=0, atol=3e-3 * sigma)


def test_mean_of_one_value_with_an_atom_is_that_of_quadrature():
    increments, sigma, y = BernoulliLaplace(0.2, 1.5), 0.5, 1.1
    p, noise = law(increments), stats.norm(y, sigma)
    zero = 0.8 * noise.pdf(0)
    total, _ = integrate.quad(lambda u: 0.2 * p.pdf(u) * noise.pdf(u), -8, 8, points=[0])
    first, _ = integrate.quad(lambda u: 0.2 * p.pdf(u) * noise.pdf(u) * u, -8, 8, points=[0])
    mean, _ = smoothed(torch.tensor([[y]]).double(), sigma, increments)
    assert float(mean) == pytest.approx(first / (total + zero), rel=2e-3)


@pytest.mark.parametrize("increments", KINDS, ids=IDS)
def test_the_derivative_of_the_mean_is_the_covariance(increments):
    """Tweedie's formula of second order."""
    sigma = 0.5
    _, y = signals(increments, 1, 8, sigma)
    J = torch.autograd.functional.jacobian(lambda y: smoothed(y[None], sigma, increments)[0][0], y[0])
    _, variance = smoothed(y, sigma, increments)
    torch.testing.assert_close(sigma**2 * J.diagonal(), variance[0], rtol=2e-3, atol=0)
    torch.testing.assert_close(J, J.mT, rtol=0, atol=2e-3)


@pytest.mark.parametrize("increments", KINDS, ids=IDS)
def test_finer_grids_change_nothing(increments):
    for sigma in (0.05, 0.5, 5.0, 50.0):
        _, y = signals(increments, 2, 12, sigma)
        mean, variance = smoothed(y, sigma, increments)
        finer, fine_variance = smoothed(y, sigma, increments, refine=3)
        assert float(((mean - finer) / fine_variance.sqrt()).abs().max()) < 0.01
        torch.testing.assert_close(variance, fine_variance, rtol=0.01, atol=0)


@pytest.mark.parametrize("increments", KINDS, ids=IDS)
def test_samples_on_the_grid_have_its_moments_and_are_those_of_gibbs(increments):
    sigma, n, seen = 0.5, 6, torch.tensor([True, True, False, True, False, True])
    _, y = signals(increments, 1, n, sigma, seed=3)
    for observed in (None, seen):
        x = sampled(y[0], sigma, increments, 2000, 0, observed=observed)
        mean, variance = smoothed(y, sigma, increments, observed=observed)
        assert float(((x.mean(0) - mean[0]) / variance[0].sqrt()).abs().max()) < 4.5 / math.sqrt(2000)
        torch.testing.assert_close(x.var(0), variance[0], rtol=0.25, atol=0)
    g = Gibbs(increments, torch.eye(n).double()[seen], sigma).sample(y[0, seen], 1000, 0, 60)
    line = torch.randn(n, generator=generator(), dtype=torch.float64)
    assert stats.ks_2samp(x @ line, g @ line).pvalue > 1e-3


@pytest.mark.parametrize("increments", KINDS, ids=IDS)
def test_gibbs_samplers_agree_with_the_grid(increments):
    """All values with noise, and half of them: mean in deviations, and variance."""
    sigma, n = 0.4, 12
    _, y = signals(increments, 1, n, sigma, seed=3)
    for seen in (torch.ones(n, dtype=torch.bool), torch.arange(n) % 2 == 0):
        expected, variance = smoothed(y, sigma, increments, refine=2, observed=seen)
        mean, std = Gibbs(increments, torch.eye(n).double()[seen], sigma).moments(y[0, seen], 100, 0, 100)
        assert float(((mean - expected[0]) / variance[0].sqrt()).abs().max()) < 0.06
        torch.testing.assert_close(std.square(), variance[0], rtol=0.12, atol=0)


def test_gibbs_of_gaussian_increments_is_linear_algebra():
    n, std = 6, 0.3
    A = torch.randn(4, n, generator=generator(), dtype=torch.float64)
    increments = GaussianJumps()
    C = LevyProcess(increments, n).covariance()
    y = torch.randn(4, generator=generator(1), dtype=torch.float64)
    K = torch.linalg.solve(A @ C @ A.mT + std**2 * torch.eye(4), A @ C).mT
    x = Gibbs(increments, A, std).sample(y, 4000, seed=0, sweeps=2)
    P = C - K @ A @ C
    away = (x.mean(0) - K @ y) / P.diagonal().sqrt()
    assert float(away.abs().max()) < 4.5 / math.sqrt(4000)
    scale = P.diagonal().sqrt()
    assert float(((x.mT.cov() - P) / scale / scale[:, None]).abs().max()) < 5 * math.sqrt(2 / 4000)


@pytest.mark.parametrize("increments", KINDS[1:], ids=IDS[1:])
def test_gibbs_samples_rank_truths_uniformly(increments):
    """Simulation-based calibration of the reference itself, under a random operator."""
    from invgen.certification import uniformity
    from invgen.certification.ranks import ranks_among

    n, m, replicas, g = 4, 3, 60, generator()
    found = []
    for seed in range(replicas):
        A = torch.randn(m, n, generator=g, dtype=torch.float64)
        x = increments.sample((n,), g).cumsum(0)
        y = A @ x + 0.4 * torch.randn(m, generator=g, dtype=torch.float64)
        drawn = Gibbs(increments, A, 0.4).sample(y, 19, seed, sweeps=40)
        line = torch.randn(n, generator=g, dtype=torch.float64)
        found.append(ranks_among((drawn @ line)[None], (x @ line)[None], g))
    assert uniformity.chi_square(torch.cat(found), 19) > 1e-3
    assert uniformity.ecdf_test(torch.cat(found), 19) > 1e-3


@pytest.mark.parametrize("name", SIGNALS)
def test_signals_have_noise_of_25_decibel(name):
    setting = levy_setting(name, length=16)
    A = setting.operator
    y = A(setting.prior.sample(4000, seed=0).double())
    seen = (y != 0).any(0)
    power = float(y[:, seen].square().mean())
    expected = 10 * math.log10(power / float(setting.noise.std.value) ** 2)
    assert expected == pytest.approx(25, abs=1.0)  # few heavy tails carry much of the power


@pytest.mark.parametrize("name", ["levy-laplace-fourier", "levy-bernoulli-laplace-inpainting"])
def test_signals_have_a_posterior(name):
    setting = levy_setting(name, length=12)
    truth = setting.prior.sample(1, seed=0)[0]
    known = levy_posterior(setting)(setting.noise.sample(setting.operator(truth), seed=1))
    x = known.sample(200, 0)
    assert x.shape == (200, 12)
    assert float(((x.mean(0) - known.mean) / known.std).abs().max()) < 0.4
    assert float(((truth - known.mean) / known.std).square().mean()) < 4


def test_unknown_signals_are_reported():
    with pytest.raises(ig.errors.ParameterError, match="levy-laplace-denoising"):
        levy_setting("levy-cauchy-denoising")


def test_partial_fourier_rows_are_orthonormal():
    A = levy_setting("levy-laplace-fourier").operator
    rows = A(torch.eye(64, dtype=torch.float64)).mT
    torch.testing.assert_close(rows @ rows.mT, torch.eye(len(rows), dtype=torch.float64))
    assert float(rows[0].std()) == pytest.approx(0, abs=1e-12)  # the mean is measured
    assert len(rows) == 1 + 4 * 2 + 14 * 2 - int(torch.allclose(rows[1, ::2], -rows[1, 1::2]))


def test_a_signal_is_a_prior():
    prior = LevyProcess(Laplace(), 16)
    x = prior.sample(3, seed=0)
    assert torch.equal(x, prior.sample(3, seed=0))
    levels = torch.tensor([0.1, 2.0, 0.1])
    y = x + levels[:, None] * torch.randn(3, 16, generator=generator())
    together = prior.denoise(y, levels)
    for i in range(3):
        torch.testing.assert_close(together[i], prior.denoise(y[i], float(levels[i])), rtol=0, atol=1e-5)
    expected = Laplace().log_prob(torch.diff(x, prepend=torch.zeros(3, 1))).sum(1)
    torch.testing.assert_close(prior.log_prob(x), expected)
    assert prior.image_format.std == pytest.approx(math.sqrt(float(prior.covariance().diagonal().mean())))
    with pytest.raises(ig.errors.CapabilityError, match="no density"):
        LevyProcess(BernoulliLaplace(), 16).log_prob(x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["levy-laplace-denoising", "levy-bernoulli-laplace-inpainting"])
def test_signals_are_certified_and_ranked(name):
    case = find_case(name)
    few = {"samples": 20, "measurements": 1, "rounds": 10}

    def build(prior):
        return ig.solvers.PreconditionedLangevin(prior, iterations=40)

    figures = certify(build, case, **few)
    assert figures.mean_bias < 0.5
    assert figures.coverage_90 == pytest.approx(0.9, abs=0.1)
    assert figures.mmse_gap < 1
    ranks = rank_truths(build, case, replicas=10, samples=9)
    assert ("log-prior" in ranks.ranks) == ("bernoulli" not in name)
