"""What is left of the data: exact distributions where posteriors are exact, and what wrong models leave."""

import math

import pytest
import torch
from scipy.stats import chi2, kstest

import invgen as ig
from invgen.core.errors import CapabilityError
from invgen.noise import Clipped, Gaussian, Poisson, Transmission
from invgen.operators import MRI, Mask, MatrixOperator, stack
from invgen.plausibility.reconstructions.residuals import (
    discrepancy,
    least_squares_bound,
    least_squares_image,
    noise_statistics,
    pivotal_p_value,
    residual_statistics,
)

SCANS = 400


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gaussian_world(std=0.5, rows=30, columns=20):
    """Many scans of images of a Gaussian prior, and for each a draw and the mean of its exact posterior."""
    A = normal(rows, columns, seed=1)
    x = normal(SCANS, columns, seed=2)
    y = x @ A.T + std * normal(SCANS, rows, seed=3)
    covariance = torch.linalg.inv(A.T @ A / std**2 + torch.eye(columns, dtype=torch.float64))
    mean = y @ A @ covariance / std**2
    sample = mean + normal(SCANS, columns, seed=4) @ torch.linalg.cholesky(covariance).T
    return MatrixOperator(A), y, sample, mean


def test_the_discrepancy_of_a_draw_of_the_exact_posterior_is_chi_square():
    A, y, sample, _ = gaussian_world()
    problem = ig.Problem(A, y, Gaussian(0.5))
    total, count = discrepancy(problem, sample)
    assert count.tolist() == [30.0] * SCANS
    assert kstest(total.numpy(), chi2(30).cdf).pvalue > 0.01
    assert kstest(pivotal_p_value(problem, sample).numpy(), "uniform").pvalue > 0.01


def test_that_of_the_posterior_mean_is_not():
    A, y, _, mean = gaussian_world()
    p = pivotal_p_value(ig.Problem(A, y, Gaussian(0.5)), mean)
    assert kstest(p.numpy(), "uniform").pvalue < 1e-6


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_noise_that_is_wrong_by_half_is_seen(factor):
    A, y, sample, _ = gaussian_world()
    assert (pivotal_p_value(ig.Problem(A, y, Gaussian(0.5 * factor)), sample) < 0.05).double().mean() > 0.9


def test_a_wrong_operator_is_seen():
    A, y, sample, _ = gaussian_world()
    other = MatrixOperator(A(torch.eye(20, dtype=torch.float64)).T + 0.3 * normal(30, 20, seed=9))
    assert (pivotal_p_value(ig.Problem(other, y, Gaussian(0.5)), sample) < 0.05).double().mean() > 0.9


def test_correlated_and_complex_noise_is_whitened():
    L = normal(3, 3, seed=5, dtype=torch.complex128) + 2 * torch.eye(3)
    noise = Gaussian(covariance=L @ L.mH, axis=-2)
    truth = normal(3, 4000, seed=6, dtype=torch.complex128)
    r = noise.standardized(truth, noise.sample(truth, seed=7))
    torch.testing.assert_close(r @ r.mH / 4000 / 2, torch.eye(3).to(r), atol=0.06, rtol=0)


@pytest.mark.parametrize("noise", [Poisson(0.5), Transmission(1000.0, 3.0), Gaussian(0.3)])
def test_standardized_residuals_at_the_truth_have_unit_variance(noise):
    truth = 1 + normal(20000, seed=8).abs()
    y = noise.sample(truth if not isinstance(noise, Poisson) else 20 * truth, seed=9)
    r = noise.standardized(truth if not isinstance(noise, Poisson) else 20 * truth, y)
    assert abs(float(r.mean())) < 0.05
    assert abs(float(r.var()) - 1) < 0.06


def test_dead_pixels_are_no_data():
    std = torch.tensor([1.0, math.inf, 1.0], dtype=torch.float64)
    problem = ig.Problem(
        MatrixOperator(torch.eye(3).double()), torch.tensor([1.0, 9.0, 2.0]).double(), Gaussian(std)
    )
    total, count = discrepancy(problem, torch.zeros(3, dtype=torch.float64))
    assert (float(total), float(count)) == (5.0, 2.0)


def test_white_residuals_have_statistics_around_zero_and_structure_has_not():
    n = 64
    mask = torch.rand(n, n, generator=torch.Generator().manual_seed(0)) < 0.6
    A, noise = MRI((n, n), mask, torch.ones(4, n, n, dtype=torch.complex128) / 2), Gaussian(0.1)
    x = normal(n, n, seed=1, dtype=torch.complex128)
    y = noise.sample(A(x), seed=2) * mask
    white = residual_statistics(ig.Problem(A, y, noise), x)
    assert set(white) == {"misfit"} | {
        f"{what} axis {k}" for what in ("misfit by", "neighbors along") for k in (-3, -2, -1)
    }
    assert all(abs(float(value)) < 0.6 for name, value in white.items() if "axis" in name)
    assert abs(float(white["misfit"])) < 0.05
    # the gain of a coil is wrong by a tenth: that coil's misfit stands out
    wrong = y.clone()
    wrong[1] *= 1.1
    found = residual_statistics(ig.Problem(A, wrong, noise), x)
    assert float(found["misfit by axis -3"]) > 3
    # a shift of the object by a fraction of a pixel is a phase along k-space: neighbors err alike
    ramp = torch.exp(1j * torch.linspace(-1, 1, n, dtype=torch.float64))
    found = residual_statistics(ig.Problem(A, noise.sample(A(x), 2) * ramp * mask, noise), x)
    assert float(found["misfit by axis -1"]) > 3


def test_a_batch_has_the_statistics_of_its_elements():
    A, y, sample, _ = gaussian_world()
    problem = ig.Problem(A, y[:3], Gaussian(0.5))
    together = residual_statistics(problem, sample[:3])
    for i in range(3):
        alone = residual_statistics(problem.element(i), sample[i])
        for name, value in alone.items():
            torch.testing.assert_close(together[name][i], value)


def test_the_noise_that_the_data_show():
    A = ig.operators.Radon((32, 32), angles=40)
    y = Gaussian(0.2).sample(torch.zeros(A.range.shape), seed=0)
    for stated, ratio in ((0.2, 1.0), (0.1, 2.0), (0.4, 0.5)):
        (found,) = noise_statistics(ig.Problem(A, y, Gaussian(stated))).values()
        assert abs(float(found.exp()) / ratio - 1) < 0.05
    assert noise_statistics(ig.Problem(A, y)) == {}
    assert noise_statistics(ig.Problem(MatrixOperator(torch.eye(3)), torch.zeros(3), Gaussian(1.0))) == {}


@pytest.mark.parametrize(("rows", "columns"), [(60, 20), (20, 60)])
def test_the_bound_is_conservative_at_any_image_and_sees_what_no_image_explains(rows, columns):
    A, y, sample, _ = gaussian_world(0.5, rows, columns)
    problem = ig.Problem(A, y, Gaussian(0.5))
    for x in (sample, least_squares_image(problem, sample), least_squares_image(problem, 0 * sample)):
        assert (least_squares_bound(problem, x) <= 0.05).double().mean() <= 0.05
    for factor in (0.4, 2.5):
        wrong = ig.Problem(A, y, Gaussian(0.5 * factor))
        p = least_squares_bound(wrong, least_squares_image(wrong, sample))
        seen = (p <= 0.05).double().mean()
        # fewer data than unknowns: an image explains any
        assert seen > 0.9 if rows > columns else seen == 0


def test_what_has_no_residual_is_refused():
    A = MatrixOperator(torch.eye(4))
    with pytest.raises(CapabilityError, match="noise level is unknown"):
        discrepancy(ig.Problem(A, torch.zeros(4)), torch.zeros(4))
    unequal = stack([Mask(torch.ones(4)), MatrixOperator(torch.ones(3, 4))])
    with pytest.raises(CapabilityError, match="tuples"):
        residual_statistics(ig.Problem(unequal, (torch.zeros(4), torch.zeros(3))), torch.zeros(4))
    with pytest.raises(CapabilityError, match="no known variance"):
        residual_statistics(ig.Problem(A, torch.zeros(4), Clipped(1.0, high=9.0)), torch.zeros(4))
