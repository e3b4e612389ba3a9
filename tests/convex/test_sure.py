"""Stein's unbiased risk estimate, where the risk is known in closed form."""

import math

import pytest
import torch

import invgen as ig
from invgen.convex.inner_runs import weighted_run
from invgen.convex.sure import PredictedRisk, sure_weight
from invgen.core.errors import CapabilityError
from invgen.noise import Gaussian, Poisson, Transmission
from invgen.operators import Identity, MatrixOperator
from invgen.priors import L1, NonNegative, Tikhonov, TotalVariation, Wavelet
from invgen.solvers import FISTA, PDHG, Lasso

STD = 0.5
N = 4096


def sparse(n=N, field="real"):
    """A tenth of the pixels are bright."""
    generator = torch.Generator().manual_seed(5)
    x = 3 * torch.randn(n, generator=generator, dtype=torch.float64)
    x = torch.where(torch.rand(n, generator=generator) < 0.1, x, 0)
    return x if field == "real" else x * (1 + 1j) / 2**0.5


def denoising(field="real", known=True):
    A, noise = Identity((N,), field), Gaussian(STD)
    x = sparse(field=field)
    return ig.Problem(A, noise.sample(x, seed=0), noise if known else None), x


def thresholding_risks(y, weights):
    """Stein (1981) for soft thresholding, Donoho and Johnstone (1995), eq. 11, in units of the noise."""
    t = weights[:, None] * STD  # the threshold weight STD^2 in units of STD
    y = y / STD
    return (torch.minimum(y.abs(), t) ** 2).sum(-1) - len(y) + 2 * (y.abs() > t).sum(-1)


WEIGHTS = torch.logspace(-0.5, 1.2, 12, dtype=torch.float64)


def test_the_estimate_for_soft_thresholding_is_that_of_donoho_and_johnstone():
    """Signs see the divergence of a separable map without an error, but where the step meets a threshold."""
    problem, _ = denoising()
    exact = thresholding_risks(problem.measurement, WEIGHTS)
    risk = PredictedRisk(problem, L1())
    found = torch.stack([risk.advance(w, 60) for w in WEIGHTS.flip(0)]).flip(0)
    # a pixel within the step, 2 m^-0.3 = 0.16 std, of the threshold counts in part: less than one in twenty
    assert float((found - exact).abs().max()) < 0.05 * N


def test_the_weight_is_nearly_that_of_the_least_true_risk():
    problem, x = denoising()
    weight = L1("sure").resolve(problem).weight

    def loss(w):
        return float((L1(w).prox(problem.measurement, STD**2) - x).square().sum())

    oracle = min(loss(float(w)) for w in torch.logspace(-1, 2, 100))
    discrepancy = loss(L1("discrepancy").resolve(problem).weight)
    # the estimate's standard deviation is about sqrt(2 m) of the noise's variance
    assert loss(weight) < oracle + 2 * math.sqrt(2 * N) * STD**2
    assert loss(weight) < discrepancy


@pytest.mark.parametrize("field", ["real", "complex"])
def test_it_is_unbiased(field):
    """Tikhonov's estimate is linear, A x(y) = H y: its risk is ``|(H - 1) A x|_W^2 + tr H^2``.

    Of pixels of different noise, one of them dead: H is diagonal, and signs see its trace without an error.
    """
    dtype = torch.float64 if field == "real" else torch.complex128
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, generator=generator, dtype=dtype)
    std = 0.3 + torch.rand(12, generator=generator, dtype=torch.float64)
    std[4] = torch.inf
    noise, weight = Gaussian(std), 2.0
    problem = ig.Problem(Identity((12,), field), noise.sample(x.expand(400, 12), seed=0), noise)
    found = PredictedRisk(problem, Tikhonov()).advance(torch.full((400,), weight, dtype=torch.float64), 60)
    H = 1 / (1 + weight * std**2)
    parts = 1 if field == "real" else 2
    expected = ((1 - H) * x / std).abs().square().sum() + parts * H.square().sum()
    error = found.std() / math.sqrt(len(found))
    assert error < 0.05 * expected
    assert abs(found.mean() - expected) < 3 * error


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("background", [0.0, 9.0])
def test_it_is_unbiased_of_counts(background):
    """Up to the deviance at the truth, which is known here, twice the divergence of Kullback and Leibler."""
    generator = torch.Generator().manual_seed(1)
    x = 1.5 * torch.rand(40, generator=generator, dtype=torch.float64)
    noise = Transmission(40.0, background)
    problem = ig.Problem(Identity((40,)), noise.sample(x.expand(400, 40), seed=0), noise)
    weight = torch.full((400,), 20.0, dtype=torch.float64)
    found = PredictedRisk(problem, Tikhonov()).advance(weight, 60)
    found = found - (problem.misfit(x.expand(400, 40)) - problem.count())
    mean, guess = noise.expected(x), noise.expected(weighted_run(problem, Tikhonov()).advance(weight, 60))
    exact = 2 * (guess - mean - mean * (guess / mean).log()).sum(-1)
    error = (found - exact).std() / math.sqrt(len(found))
    assert error < 0.05 * exact.mean()
    assert abs((found - exact).mean()) < 3 * error


def test_the_weight_of_counts_is_nearly_that_of_the_least_true_risk():
    """Also where the deviance is far from the number of data, which the discrepancy principle takes for it.

    Of an image of two levels the detector counts a quantum in five pixels behind one, and eight behind the
    other. The open beam is believed to be five percent stronger than it is, along every second column.
    """
    x = torch.full((48, 48), 4.0, dtype=torch.float64)
    x[12:36, 12:36] = 0.9
    open_beam = torch.full((48,), 20.0, dtype=torch.float64)
    y = Transmission(open_beam).sample(x, seed=0)
    noise = Transmission(open_beam * (1 + 0.05 * (torch.arange(48) % 2)))
    problem = ig.Problem(Identity((48, 48)), y, noise)

    def divergence(weight):
        found = PDHG(TotalVariation(weight), iterations=200)(problem).x
        guess, mean = noise.expected(found), noise.expected(x)
        return float(2 * (guess - mean - mean * (guess / mean).log()).sum())

    found = divergence(TotalVariation().resolve(problem).weight)
    discrepancy = divergence(TotalVariation("discrepancy").resolve(problem).weight)
    oracle = min(divergence(w) for w in (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0))
    assert found < 1.3 * oracle
    assert found < discrepancy


@pytest.mark.slow
def test_it_is_unbiased_over_probes_too():
    """Of a matrix, the divergence is that of the probe only in the mean."""
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    A, weight, noise = MatrixOperator(matrix), torch.tensor(2.0, dtype=torch.float64), Gaussian(0.7)
    problem = ig.Problem(A, noise.sample(A(torch.ones(6, dtype=torch.float64)), seed=0), noise)
    H = matrix @ torch.linalg.solve(matrix.T @ matrix + 2.0 * 0.7**2 * torch.eye(6), matrix.T)
    y = problem.measurement / 0.7
    expected = (H @ y - y).square().sum() - 9 + 2 * H.trace()
    found = [float(PredictedRisk(problem, Tikhonov(), seed=seed).advance(weight, 40)) for seed in range(20)]
    found = torch.tensor(found, dtype=torch.float64)
    assert abs(found.mean() - expected) < 3 * found.std() / math.sqrt(len(found))


def test_the_probe_is_not_the_noise_that_was_simulated_with_its_seed():
    """They would correlate, and the divergence come out far too large."""
    problem, _ = denoising()
    risks = [float(PredictedRisk(problem, L1(), seed=s).advance(WEIGHTS[6], 60)) for s in (0, 1)]
    assert risks[0] == pytest.approx(risks[1], abs=0.05 * N)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("known", [True, False])
def test_weights_follow_the_scale_of_the_data(known):
    """Also where the operator estimates the noise from the data."""
    A = ig.operators.MRI((32, 32), torch.arange(32) % 2 == 0)
    x = torch.zeros(32, 32, dtype=torch.complex128)
    x[8:20, 10:26] = 1
    noise = Gaussian(0.05)
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise if known else None)
    for factor in (1e-6, 1e6):
        scaled = problem.scaled(factor)
        one, other = (float(Wavelet("sure").resolve(p).weight) for p in (problem, scaled))
        assert other * (factor if known else 1 / factor) == pytest.approx(one, rel=1e-6)


def test_each_element_of_a_batch_gets_its_own_weight():
    y = denoising()[0].measurement.reshape(64, 64)
    std = torch.tensor([STD, 3 * STD], dtype=torch.float64)
    A = Identity((64, 64))
    batch = ig.Problem(A, torch.stack([y, 3 * y.flip(0)]), Gaussian(std[:, None, None]))
    weights = Wavelet("sure").resolve(batch).weight
    for weight, data, level in zip(weights, batch.measurement, std, strict=True):
        alone = Wavelet("sure").resolve(ig.Problem(A, data, Gaussian(float(level)))).weight
        assert float(weight) == pytest.approx(alone, rel=1e-6)


def test_the_same_seed_gives_the_same_bits_and_another_nearly_the_same_weight():
    problem, _ = denoising()
    prior = L1().fitted(problem.operator.domain)
    one, same, other = (float(sure_weight(problem, prior, seed=s)) for s in (0, 0, 7))
    assert one == same
    assert other == pytest.approx(one, rel=0.2)


def test_weights_of_sums_and_constrained_images():
    problem, _ = denoising()
    sum_ = (L1("sure") + NonNegative()).resolve(problem)
    assert float(sum_.weight) == pytest.approx(float(L1("sure").resolve(problem).weight), rel=1e-9)
    beside = (0.1 * Tikhonov() + L1("sure")).resolve(problem)
    assert beside.weight[0] == 0.1
    assert beside.weight[1] > 0


def test_statistics_name_the_rule_and_the_number():
    problem = ig.Problem(Identity((16, 16)), torch.ones(16, 16).triu(), Gaussian(0.1))
    for weight, rule in {
        "auto": "discrepancy",
        "discrepancy": "discrepancy",
        "sure": "sure",
        2.0: "given",
    }.items():
        stats = FISTA(Wavelet(weight), iterations=2)(problem).stats
        assert stats["weight_rule"] == rule
        assert stats["weight"] > 0
    counts = ig.Problem(Identity((16, 16)), torch.ones(16, 16).triu(), Transmission(5.0))
    assert FISTA(Wavelet(), iterations=2)(counts).stats["weight_rule"] == "sure"
    stats = PDHG(0.5 * Tikhonov() + TotalVariation("sure"), iterations=2)(problem).stats
    assert stats["weight_rule"] == ("given", "sure")
    assert stats["weight"][0] == 0.5
    assert Lasso(iterations=2)(problem).stats["weight_rule"] == "universal"
    assert "weight_rule" not in PDHG(NonNegative(), iterations=2)(problem).stats


def test_what_has_no_unbiased_estimate_is_refused_with_the_remedy():
    counts = ig.Problem(Identity((8, 8)), torch.ones(8, 8), Poisson(1.0))
    with pytest.raises(CapabilityError, match="'sure' needs Gaussian or Transmission noise; this is Poisson"):
        TotalVariation("sure").resolve(counts)
    with pytest.raises(CapabilityError, match=r"noise=Gaussian\(std\)"):
        TotalVariation("sure").resolve(ig.Problem(Identity((8, 8)), torch.ones(8, 8)))
