"""Measures of a reconstruction against their definitions and other packages."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import invgen as ig
from invgen.bench.measures import MEASURES, Instance, as_reconstruction, measure
from invgen.core.errors import DataError, ShapeError


def given(truth, std=0.1, data_range=1.0, volume_peak=0.8, mask=None):
    A = ig.operators.Identity(tuple(truth.shape), field="complex" if truth.is_complex() else "real")
    noise = ig.noise.Gaussian(std)
    return Instance(
        ig.Problem(A, noise.sample(A(truth), seed=0), noise), truth, data_range, volume_peak, mask
    )


def drawn(mean, std, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    samples = mean + std * torch.randn(n, *mean.shape, generator=generator)
    return ig.Reconstruction(samples.mean(0), samples)


@pytest.fixture
def truth():
    return torch.rand(32, 24, generator=torch.Generator().manual_seed(0))


def test_both_definitions_of_psnr_and_ssim(truth):
    x = truth + 0.1 * torch.randn(32, 24, generator=torch.Generator().manual_seed(1))
    found = measure(ig.Reconstruction(x), given(truth), 0)
    a, b = truth.double().numpy(), x.double().numpy()
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1.0))
    # fastmri.evaluate: both by the largest value of the volume, square windows of seven pixels
    assert found["psnr_fastmri"] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=0.8))
    assert found["ssim_fastmri"] == pytest.approx(structural_similarity(a, b, data_range=0.8))
    wang = structural_similarity(
        a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert found["ssim"] == pytest.approx(wang)
    assert found["nmse"] == pytest.approx(np.sum((a - b) ** 2) / np.sum(a**2))
    assert set(found) <= set(MEASURES)


def test_of_complex_images_the_modulus_counts(truth):
    image = truth * torch.polar(torch.ones(32, 24), torch.full((32, 24), 2.0))
    turned = ig.Reconstruction(image * complex(0, 1))
    found = measure(turned, given(image.to(torch.complex64)), 0)
    assert found["psnr"] > 100  # up to rounding: only the phase is wrong
    assert found["consistency"] > 2  # which the data see


def test_only_pixels_of_the_mask_count(truth):
    mask = torch.zeros(32, 24, dtype=torch.bool)
    mask[8:24, 8:16] = True
    x = torch.where(mask, truth + 0.01, truth + 5)
    found = measure(ig.Reconstruction(x), given(truth, mask=mask), 0)
    assert found["psnr"] == pytest.approx(40.0, abs=1e-3)


def test_misfit_of_the_truth_is_one_and_of_the_data_zero(truth):
    problem = given(truth.repeat(8, 8))
    assert measure(ig.Reconstruction(problem.truth), problem, 0)["consistency"] == pytest.approx(1, abs=0.02)
    of_data = measure(ig.Reconstruction(problem.problem.measurement), problem, 0)
    assert of_data["consistency"] == pytest.approx(0, abs=1e-6)
    assert measure(ig.Reconstruction(problem.truth), problem, 0)["psnr"] == math.inf


def test_samples_of_the_distribution_of_the_truth_are_calibrated():
    """Truth and samples alike: Gaussian of standard deviation 0.1 about a mean that is known."""
    mean = torch.full((64, 64), 0.5)
    truth = drawn(mean, 0.1, 1, seed=99).samples[0]
    found = measure(drawn(mean, 0.1, 40), given(truth), 0)
    assert found["coverage_50"] == pytest.approx(0.5, abs=0.03)
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.02)
    assert found["spread"] == pytest.approx(1, abs=0.03)
    # CRPS of a Gaussian forecast with its own spread: std / sqrt(pi) (Gneiting and Raftery 2007, eq. 21)
    assert found["crps"] == pytest.approx(0.1 / math.sqrt(math.pi), rel=0.03)
    sure = measure(drawn(mean, 0.02, 40), given(truth), 0)
    assert sure["coverage_90"] < 0.4
    assert sure["spread"] < 0.3
    assert sure["crps"] > found["crps"]


def test_crps_is_fair_to_few_samples():
    """Its expectation does not depend on how many samples there are."""
    mean = torch.zeros(200, 200)
    truth = drawn(mean, 1.0, 1, seed=99).samples[0]
    few, many = (measure(drawn(mean, 1.0, n), given(truth), 0)["crps"] for n in (2, 32))
    assert few == pytest.approx(many, rel=0.02)


@pytest.mark.parametrize("name", ["rank", "tarp"])
def test_ranks_are_uniform_where_truth_and_samples_are_alike(name):
    mean = torch.zeros(12, 12)
    values = []
    for seed in range(200):
        truth = drawn(mean, 1.0, 1, seed=10_000 + seed).samples[0]
        values.append(measure(drawn(mean, 1.0, 19, seed), given(truth), seed)[name])
    from scipy.stats import kstest

    jitter = np.random.default_rng(0).random(200) / 20 if name == "tarp" else 0  # a multiple of 1/19
    assert kstest(np.array(values) * (19 / 20 if name == "tarp" else 1) + jitter, "uniform").pvalue > 0.01


def test_ranks_of_samples_that_are_off_are_not_uniform():
    mean = torch.zeros(12, 12)
    ranks = []
    for seed in range(40):
        truth = drawn(mean, 1.0, 1, seed=10_000 + seed).samples[0]
        ranks.append(measure(drawn(mean, 0.3, 19, seed), given(truth), seed)["rank"])
    extreme = sum(rank < 0.1 or rank > 0.9 for rank in ranks)
    assert extreme > 20  # of 40, where 8 are expected


def test_what_is_no_result_is_refused(truth):
    problem = given(truth)
    with pytest.raises(ShapeError, match=r"\(3, 3\)"):
        as_reconstruction(torch.zeros(3, 3), problem)
    with pytest.raises(DataError, match="NaN"):
        as_reconstruction(truth * float("nan"), problem)
    with pytest.raises(ShapeError, match="samples"):
        as_reconstruction(ig.Reconstruction(truth, torch.zeros(4, 3, 3)), problem)
    assert as_reconstruction(truth.numpy(), problem).x.shape == truth.shape


def test_a_measure_that_is_no_number_is_an_error(truth):
    with pytest.raises(DataError, match="nmse"):
        measure(ig.Reconstruction(truth * 0), given(truth * 0), 0)


def test_scores_of_antithetic_pairs_are_those_of_independent_samples():
    """Truths and samples of one distribution, 20,000 pixels: spread, coverage and CRPS in closed form."""
    truth, mean = torch.randn(2, 200, 100, generator=torch.Generator().manual_seed(3))
    truth, mean = mean + truth, mean
    away = torch.randn(4, 200, 100, generator=torch.Generator().manual_seed(4))
    samples = torch.stack([mean + away, mean - away], 1).flatten(0, 1)
    found = measure(ig.Reconstruction(samples.mean(0), samples, antithetic=True), given(truth), 0)
    assert found["spread"] == pytest.approx(1, abs=0.02)
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.01)
    assert found["crps"] == pytest.approx(1 / math.sqrt(math.pi), rel=0.02)
    # of the four that are independent
    assert found["tarp"] * 4 == round(found["tarp"] * 4)
    alone = measure(ig.Reconstruction(mean, samples[:2], antithetic=True), given(truth), 0)
    assert "crps" not in alone  # which takes independent samples
