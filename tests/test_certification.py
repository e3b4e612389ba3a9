"""Measures of samplers, the problems that they are measured on, and that wrong samplers are found out."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import invgen as ig
from invgen.bench.suites.certify import Certify
from invgen.certification import CASES, GAUSSIAN, MIXTURES, SMALL_NOISE, DenoiserView, certify, measures
from invgen.certification.cases import find_case
from invgen.certification.samplers import Sampler
from invgen.solvers.methods import used_for
from invgen.testing import CheckError, check_sampler

#: Exact figures are cheap: these problems stand for small and large, complex, and images.
FEW = ("dense-2", "fourier-16", "average-32")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class Exact:
    """Draws from the posterior of a Gaussian prior, known by its denoiser; and wrongly, if asked to."""

    prior: Any
    noise: float = 1.0
    spread: float = 1.0
    bias: float = 0.0

    def __call__(self, problem, samples, seed):
        prior = self.reported(problem.operator.domain)
        noise = ig.noise.Gaussian(self.noise * problem.noise.std.value)
        each = []
        for i, y in enumerate(problem.measurement):
            posterior = prior.posterior(ig.Problem(problem.operator, y, noise))
            x, mean = posterior.sample(samples, seed + i), posterior.mean()
            std = posterior.covariance().diagonal().real.sqrt().reshape(mean.shape)
            each.append(mean + self.bias * std + self.spread * (x - mean))
        drawn = torch.stack(each, 1)
        return ig.Reconstruction(drawn.mean(0), drawn, drawn.std(0))

    def reported(self, space):
        """D(x, 1) is affine: ``m + W (x - m)`` with ``W = C (C + 1)^-1``."""
        dtype = torch.complex128 if space.field == "complex" else torch.float64
        units = torch.eye(space.size, dtype=dtype)
        at_zero = self.prior.denoise(torch.zeros(space.shape, dtype=dtype), 1.0)
        images = units.reshape(-1, *space.shape)
        W = (self.prior.denoise(images, 1.0) - at_zero).flatten(1).mT
        covariance = torch.linalg.solve(units - W, W)
        mean = torch.linalg.solve(units - W, at_zero.flatten()).reshape(space.shape)
        return ig.priors.Gaussian(mean, (covariance + covariance.mH) / 2)


def test_distance_of_a_shifted_set_is_the_shift_along_each_line():
    x, v = normal(100, 2), torch.tensor([3.0, 4.0], dtype=torch.float64)
    got = measures.sliced_wasserstein(x, x + v, directions=2000)
    # |v . u| averages 2 |v| / pi over the circle, its square |v|^2 / 2; four standard errors
    assert got == pytest.approx(10 / math.pi, abs=4 * math.sqrt((25 / 2 - 100 / math.pi**2) / 2000))


def test_distance_along_a_line_is_that_of_scipy():
    x, y = normal(300, 1), 2 * normal(300, 1, seed=1) + 1
    expected = stats.wasserstein_distance(x[:, 0], y[:, 0])
    assert measures.sliced_wasserstein(x, y) == pytest.approx(expected, rel=1e-10)


def test_directions_follow_from_their_seed_and_sets_must_match():
    x, y = normal(50, 3), normal(50, 3, seed=1)
    assert measures.sliced_wasserstein(x, y, seed=1) == measures.sliced_wasserstein(x, y, seed=1)
    assert measures.sliced_wasserstein(x, y, seed=1) != measures.sliced_wasserstein(x, y, seed=2)
    with pytest.raises(ig.errors.ShapeError, match="same number of samples"):
        measures.sliced_wasserstein(x, y[:-1])


def test_moments_are_compared_without_what_chance_does():
    """Averaged over many sets of samples, only the bias is left; tolerances are four standard errors."""
    mean, std = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 3.0]).double()
    n, sets = 100, 400
    right = [mean + std * normal(n, 2, seed=i) for i in range(sets)]
    bias = torch.tensor([measures.mean_bias(x, mean, std) for x in right])
    error = torch.tensor([measures.variance_error(x, std) for x in right])
    for figures in (bias, error):
        assert float(figures.mean().abs()) < 4 * float(figures.std()) / math.sqrt(sets)
    away = torch.tensor([measures.mean_bias(x + 0.3 * std, mean, std) for x in right])
    assert float(away.mean()) == pytest.approx(0.09, abs=4 * float(away.std()) / math.sqrt(sets))
    wide = [mean + 2**0.5 * (x - mean) for x in right]
    ratios = torch.tensor([measures.variance_ratio(x, std) for x in wide])
    assert float(ratios.mean()) == pytest.approx(2, abs=4 * float(ratios.std()) / math.sqrt(sets))
    off = torch.tensor([measures.variance_error(x, std) for x in wide])
    assert float(off.mean()) == pytest.approx(1, abs=4 * float(off.std()) / math.sqrt(sets))


def test_coverage_is_the_probability_of_the_interval():
    truths, end = normal(4000, 3), stats.norm.ppf(0.95)
    got = measures.coverage(torch.full((3,), -end), torch.full((3,), end), truths)
    assert got == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 12_000))


def ranks(spread, n=1000):
    """Of standard normal truths among 30 samples of another spread."""
    generator = torch.Generator().manual_seed(0)
    x = normal(n, 31, 4, seed=1)
    return [measures.rank(spread * row[1:], row[0], generator) for row in x]


def test_ranks_are_uniform_where_truth_and_samples_are_alike():
    right = ranks(1.0)
    assert stats.kstest(right, "uniform").pvalue > 1e-3
    assert measures.calibration(right) > 1e-3
    assert measures.calibration(ranks(1.5)) < 1e-6
    assert measures.calibration(ranks(0.7)) < 1e-6


def test_calibration_is_pearsons_test():
    some = [(i + 0.5) / 50 for i in range(50)] + [0.03] * 10
    counts = torch.tensor(some, dtype=torch.float64).histc(12, 0, 1)
    assert measures.calibration(some) == pytest.approx(stats.chisquare(counts).pvalue, rel=1e-6)
    with pytest.raises(ig.errors.ParameterError, match="ten ranks"):
        measures.calibration([0.5] * 9)


def test_view_shows_the_denoiser_alone_and_counts():
    setting = CASES["dense-2"].setting(0)
    view = DenoiserView(setting.prior, 1.0)
    assert {name for name in dir(view) if not name.startswith("_")} == {
        "denoise",
        "image_format",
        "evaluations",
        "derivatives",
    }
    x = normal(3, 5, 2).requires_grad_()
    z = view.denoise(x, 0.7)
    assert torch.equal(z, setting.prior.denoise(x, 0.7))
    assert torch.autograd.grad(z.sum(), x)[0].shape == x.shape
    assert (view.evaluations, view.derivatives) == (15, 15)
    with torch.no_grad():
        view.denoise(x, 0.7)
    assert (view.evaluations, view.derivatives) == (30, 15)
    assert isinstance(view, ig.priors.Denoiser)


@pytest.mark.parametrize("name", ["low-rank-16", "dense-8", "fourier-16"])
def test_a_gaussian_is_seen_as_a_linear_generator_too(name):
    """Of the same mean and covariance, in as many numbers as that has directions."""
    case = find_case(name)
    prior = case.setting(0).prior
    view, covariance = case.view(prior, case.std), prior.covariance()
    assert isinstance(view, ig.priors.Generator)
    assert isinstance(view, ig.priors.Denoiser)
    parts = 2 if prior.space.field == "complex" else 1
    (latents,) = view.latent_shape
    assert latents == parts * int(torch.linalg.matrix_rank(covariance))
    assert (latents == 4) == (name == "low-rank-16")
    origin = torch.zeros(latents, dtype=torch.float64)
    mean = view.decode(origin)
    torch.testing.assert_close(mean, prior.mean().to(mean))
    columns = (view.decode(torch.eye(latents, dtype=torch.float64)) - mean).flatten(1)
    # of complex images E[n n.H] / 2, of real and imaginary latent variables together
    torch.testing.assert_close(columns.mT @ columns.conj() / parts, covariance.to(columns))
    assert float(view.latent_log_prob(origin)) == pytest.approx(-latents / 2 * math.log(2 * math.pi))
    counted = view.evaluations
    view.decode(normal(3, 5, latents).requires_grad_())
    assert (view.evaluations - counted, view.derivatives) == (15, 15)


def test_a_mixture_is_no_generator():
    case = find_case("mixture-8-1")
    assert not isinstance(case.view(case.setting(0).prior, case.std), ig.priors.Generator)
    with pytest.raises(ig.errors.CapabilityError, match="needs a prior that is Generator"):
        certify(ig.solvers.LatentHMC, case, samples=200, measurements=5, rounds=2)


@pytest.mark.parametrize("name", ["latent-hmc", "latent-langevin"])
def test_latent_samplers_are_measured_as_others_are(name):
    """Briefly: each iteration has a derivative."""
    build = Sampler(name, {"iterations": 6}).build
    figures = certify(build, "low-rank-16", samples=100, measurements=5, rounds=2)
    # the check of the generator decodes a little more
    assert 7 <= figures.derivatives == pytest.approx(figures.evaluations, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["low-rank-16", "fourier-16"])
def test_latent_hmc_draws_from_the_exact_posterior(name):
    """Mean within 2 % of the posterior's deviation and variance within 5 %."""
    check_sampler(partial(ig.solvers.LatentHMC, iterations=120, leapfrog_steps=6), [name], samples=5000)


@pytest.mark.parametrize("name", [*GAUSSIAN, *MIXTURES, *SMALL_NOISE])
def test_cases_have_posteriors_and_follow_from_their_seed(name):
    one, same, other = (find_case(name).setting(seed) for seed in (0, 0, 1))
    x = one.prior.sample(2, seed=0)
    y = one.noise.sample(one.operator(x), seed=0)
    posterior = one.prior.posterior(ig.Problem(one.operator, y[0], one.noise))
    assert posterior.sample(3, seed=0).shape == (3, *one.operator.domain.shape)
    assert torch.equal(same.noise.sample(same.operator(same.prior.sample(2, seed=0)), seed=0), y)
    assert not torch.equal(other.prior.sample(2, seed=0), x)


@pytest.mark.parametrize("name", ["dense-8", "isotropic-8", "fourier-16", "radon-32", "mixture-8-1"])
def test_the_standard_deviation_of_a_pixel_is_what_the_case_says(name):
    case = find_case(name)
    # of mixtures that of equal weights; those of one seed scatter around it
    seeds = range(200 if name in MIXTURES else 1)
    variances = [case.setting(seed).prior.covariance().diagonal().mean() for seed in seeds]
    tolerance = 0.05 if name in MIXTURES else 1e-6
    assert math.sqrt(float(sum(variances)) / len(variances)) == pytest.approx(case.std, rel=tolerance)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_measurements_of_gaussian_cases_have_noise_of_thirty_percent(name):
    prior, A, noise = find_case(name).setting(0)
    y = A(prior.sample(5000, seed=0) - prior.mean())
    y = y[:, (y != 0).any(0)]  # what a mask leaves out measures nothing
    parts = 2 if y.is_complex() else 1
    rms = math.sqrt(float(y.abs().square().mean()) / parts)
    assert float(noise.std.value) == pytest.approx(0.3 * rms, rel=0.05)  # of some 5000 draws, 1 / 70


@pytest.mark.parametrize("name", SMALL_NOISE)
def test_small_noise_is_that_part_of_the_deviation_of_what_is_measured(name):
    case, part = find_case(name), float(name.rsplit("-", 1)[1])
    settings = [case.setting(seed) for seed in range(20)]
    assert [float(s.noise.std.value) for s in settings] == pytest.approx([part * case.std] * 20)
    # rows are of unit length on average, so that measurements have the deviation of a pixel, or nearly so
    ratios = [float((s.operator(s.prior.sample(500, 0)).std(0) / case.std).mean()) for s in settings]
    assert 0.4 < sum(ratios) / len(ratios) < 1.6
    known = case.posterior(settings[0])
    y = settings[0].operator(settings[0].prior.sample(1, seed=0))[0]
    # along what is measured nothing is left but noise
    A = settings[0].operator(torch.eye(settings[0].operator.domain.size)).mT.double()
    left = (A @ (known(y).sample(300, 0).double() - known(y).mean.double()).mT).std(1)
    assert float((left / (part * case.std)).max()) < 1.2


def test_error_of_the_mean_is_in_decibel_over_the_least():
    truth, mean = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])
    assert measures.mmse_gap(torch.tensor([1.0, 0.0]), mean, truth) == pytest.approx(10 * math.log10(4))
    assert measures.mmse_gap(mean, mean, truth) == 0


def test_projections_are_those_of_radon():
    A = find_case("radon-32").setting(0).operator
    x = normal(4, 8)
    assert torch.allclose(A(x), ig.operators.Radon((4, 8), 3)(x).flatten(), atol=1e-10)


@pytest.mark.parametrize(("name", "d", "m"), [("mixture-8-2", 8, 2), ("mixture-80-40", 80, 40)])
def test_mixtures_are_those_of_the_paper(name, d, m):
    prior, A, noise = find_case(name).setting(0)
    assert prior.means.shape == (25, d)
    assert set(prior.means.flatten().tolist()) == {-16.0, -8.0, 0.0, 8.0, 16.0}
    assert torch.equal(prior.means[:, ::2], prior.means[:, :1].expand(-1, d // 2))
    assert len({tuple(mean[:2].tolist()) for mean in prior.means}) == 25
    assert torch.allclose(prior.covariance(), prior.covariance().mT)
    s = torch.linalg.svdvals(A(torch.eye(d)).mT)
    assert A.range.shape == (m,)
    assert 0 < float(s.min()) <= float(s.max()) < 1
    assert 0 < float(noise.std.value) < float(s.max())


def test_digits_are_looked_for_and_missed_in_words(monkeypatch, measured_file, tmp_path):
    monkeypatch.setenv("INVGEN_DATA", str(tmp_path))
    with pytest.raises(ig.errors.FileError, match="INVGEN_DATA"):
        find_case("digits").setting(0)
    path = measured_file("digits/mnist8k-images-idx3-ubyte.gz")
    monkeypatch.setenv("INVGEN_DATA", str(path.parents[1]))
    prior, A, _ = find_case("digits").setting(0)
    x = prior.sample(3, seed=0)
    assert x.shape == (3, 14, 14)
    assert not bool(A(x)[:, 7:].any())


def test_unknown_case_and_no_sampler_are_reported_in_words():
    with pytest.raises(ig.errors.ParameterError, match="dense-2"):
        certify(Exact, "dense-3")
    for wrong in (0.5, ig.solvers.FBP()):
        with pytest.raises(ig.errors.DtypeError, match="prior"):
            certify(wrong, "dense-2")
    with pytest.raises(ig.errors.ParameterError, match="twenty samples"):
        certify(Exact, "dense-2", samples=100)
    with pytest.raises(ig.errors.ShapeError, match="samples of the shape"):
        certify(lambda prior: lambda problem, **_: ig.Reconstruction(problem.zeros()), "dense-2")


def test_exact_samples_cannot_be_distinguished_from_exact_samples():
    """Four standard errors, with posteriors of 16 pixels of two parts for 12 measurements."""
    figures = certify(Exact, "fourier-16", samples=1200, measurements=6, rounds=2)
    assert figures.excess == pytest.approx(1, abs=0.2)  # sums of 12 figures that scatter by a tenth
    assert figures.mean_bias < 0.02
    assert figures.mmse_gap == pytest.approx(10 * math.log10(1 + 1 / 1200), abs=0.05)
    assert figures.variance_ratio == pytest.approx(1, abs=4 * math.sqrt(2 / 1200 / 32))
    assert figures.coverage_90 == pytest.approx(0.9, abs=4 * 0.3 / math.sqrt(1200 * 32))
    assert figures.coverage_50 == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(1200 * 32))
    assert figures.calibration > 1e-3
    again = certify(Exact, "fourier-16", samples=1200, measurements=6, rounds=2)
    assert (again.wasserstein, again.calibration) == (figures.wasserstein, figures.calibration)


def test_evaluations_are_counted_for_each_sample():
    counts = {"samples": np.int64(100), "measurements": np.int64(5), "rounds": 2}
    figures = certify(ig.solvers.DDS, "dense-2", **counts)
    assert (figures.evaluations, figures.derivatives) == (50, 0)


@pytest.mark.parametrize("counts", [{"samples": 100.0}, {"measurements": True}, {"rounds": 0}])
def test_counts_are_whole_numbers(counts):
    with pytest.raises(ig.errors.ParameterError, match=f"{next(iter(counts))} is a whole number"):
        certify(ig.solvers.DDS, "dense-2", **counts)


def test_samplers_are_made_by_name():
    view = DenoiserView(CASES["dense-2"].setting(0).prior, 1.0)
    assert Sampler("dds", {"iterations": 7}).build(view) == ig.solvers.DDS(view, iterations=7)
    ula = Sampler("ula", {"iterations": 7}).build(view)
    assert (ula.iterations, ula.sigma) == (7, pytest.approx(25 / 255))


def test_a_suite_of_samplers_refuses_what_one_of_them_does_not_have(tmp_path):
    assert {entry.name for entry in Certify(tmp_path).entries} == set(used_for("certify"))
    assert [entry.name for entry in Certify(tmp_path, ("ula", "dds")).entries] == ["ula", "dds"]
    for wrong, reason in (
        ({"samplers": ("dds", "fbp")}, "no sampler 'fbp'"),
        ({"samplers": ("dds", "ula"), "settings": {"eta": 0.5}}, "ula .*no hyper-parameter eta"),
        ({"cases": ("dense-3",)}, "dense-2"),
        ({"samples": 100}, "twenty samples"),
    ):
        with pytest.raises(ig.errors.ParameterError, match=reason):
            Certify(tmp_path, **wrong)


def test_check_sampler_passes_exact_samples():
    report = check_sampler(Exact, FEW[::2], skip={"dense-2"}, samples=5000)
    assert report.figures["average-32: mean"] == (pytest.approx(0, abs=0.02), 0.02)
    assert report.left_out == {"dense-2": "as asked"}
    assert "distance" in str(report)


@pytest.mark.parametrize(
    ("wrong", "figure"),
    [
        ({"noise": 2.0}, "mean|variance"),
        ({"noise": 0.5}, "mean|variance"),
        ({"spread": 0.9}, "variance"),
        ({"bias": 0.1}, "mean"),
    ],
)
@pytest.mark.parametrize("name", FEW[1:])
def test_check_sampler_finds_out_the_wrong_ones(name, wrong, figure):
    sampler = Exact(DenoiserView(CASES[name].setting(0).prior, 1.0), **wrong)
    with pytest.raises(CheckError, match=f"{name}: ({figure})"):
        check_sampler(sampler, [name], mean=0.05, samples=1000)


def test_bounds_are_those_that_were_asked_for():
    def wide(prior):
        return Exact(prior, spread=1.2)

    # a variance of 1.44; the quartiles of a normal density then bound 0.582
    loose = {"variance": 0.6, "coverage": 0.1, "samples": 1000, "mean": 0.05}
    check_sampler(wide, ["average-32"], **loose)
    with pytest.raises(CheckError, match="coverage 50%"):
        check_sampler(wide, ["average-32"], **(loose | {"coverage": 0.02}))
    with pytest.raises(CheckError, match="distance"):
        check_sampler(wide, ["average-32"], wasserstein=1.2, **loose)
    with pytest.raises(ig.errors.ParameterError, match="5000"):
        check_sampler(wide, samples=1000)


def test_an_approximation_does_not_pass():
    with pytest.raises(CheckError, match="dense-8"):
        check_sampler(ig.solvers.DDS, ["dense-8"], mean=0.1, variance=0.1, samples=200)


def test_check_sampler_fails_on_samples_that_warn_of_themselves():
    sampler = partial(ig.solvers.TwistedSMC, iterations=10, particles=100)
    with pytest.raises(CheckError, match=r"dense-8: .*samples were drawn from"):
        check_sampler(sampler, ["dense-8"], mean=5.0, variance=50.0, coverage=1.0, samples=100)
