"""Which way round an image lies: where the posterior means are known."""

import pytest
import torch

import invgen as ig
from invgen.plausibility.reconstructions.groups import against, may_be_oriented
from invgen.plausibility.reconstructions.orientation import orientation

QUARTERS, HALF = "orientation, quarter turns", "orientation, half turn"


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def around(mean, variance):
    """Independent Gaussian pixels: ``D(y) = m + w (y - m)``."""
    return ig.priors.GaussianMixture(mean[None], torch.full_like(mean, variance)[None], torch.ones(1))


@pytest.mark.parametrize("shape", [(16, 16), (20, 16), (15, 24)])
def test_it_is_one_at_the_mean_of_a_narrow_prior_and_minus_one_at_the_turned_mean(shape):
    """There D is the mean whatever the image, and D_g the mean turned back."""
    mean, side = torch.zeros(shape, dtype=torch.float64), min(shape)
    rows, columns = ((n - side) // 2 for n in shape)
    square = mean[rows : rows + side, columns : columns + side]
    square += normal(side, side)
    prior = around(mean, 1e-10)
    one = torch.ones((), dtype=torch.float64)
    for value in orientation(prior, mean).values():
        torch.testing.assert_close(value, one, atol=1e-3, rtol=0)
    for quarter in (1, 2, 3):
        turned = mean.clone()
        turned[rows : rows + side, columns : columns + side] = torch.rot90(square, quarter)
        name = HALF if quarter == 2 else QUARTERS
        torch.testing.assert_close(orientation(prior, turned)[name], -one, atol=1e-3, rtol=0)
    batch = orientation(prior, torch.stack((mean, turned)))
    torch.testing.assert_close(batch[QUARTERS], torch.stack((one, -one)), atol=1e-3, rtol=0)


def test_images_of_the_prior_are_about_one_although_each_differs_from_its_mean():
    prior = around(3 * normal(32, 32), 1.0)
    for found in orientation(prior, prior.sample(20, seed=1)).values():
        assert 0.5 < float(found.mean()) < 1.2
        assert float(found.min()) > 0


def test_a_prior_that_turns_with_the_image_says_nothing():
    prior = around(torch.ones(16, 16, dtype=torch.float64), 0.5)
    for found in orientation(prior, prior.sample(8, seed=2)).values():
        assert float(found.abs().max()) < 1e-3
    assert orientation(ig.priors.TotalVariation(), torch.ones(8, 8)) == {}


def test_orientation_counts_only_where_calibration_scans_have_one():
    def calibration(values):
        conditions = {"signal to noise": normal(60, seed=5).tolist()}
        return ig.plausibility.Calibration(
            {}, {QUARTERS: values.tolist(), "misfit": normal(60).tolist()}, conditions
        )

    scan = {QUARTERS: torch.tensor(-5.0), "misfit": torch.tensor(0.0)}
    at = {"signal to noise": torch.tensor(0.0)}
    with_one, _ = against(calibration(1 + 0.2 * normal(60, seed=6)), scan, at)
    assert float(with_one["typicality"]) == 1 / 61
    assert may_be_oriented(calibration(1 + 0.2 * normal(60, seed=6)).statistics)
    assert not may_be_oriented(calibration(-1 + 0.2 * normal(60, seed=6)).statistics)
    without, _ = against(calibration(-1 + 0.2 * normal(60, seed=6)), scan, at)
    assert set(without) == {"residual", "scan"}


@pytest.mark.parametrize("knows", [True, False])
def test_a_calibration_leaves_it_out_where_the_prior_knows_nothing_of_it(knows):
    mean = 3 * normal(12, 12) if knows else torch.ones(12, 12, dtype=torch.float64)
    prior = around(mean, 1.0)
    solver = ig.solvers.DDS(prior, iterations=2, scale=1.0)
    A, noise = ig.operators.Mask(torch.ones(12, 12, dtype=torch.float64)), ig.noise.Gaussian(0.1)
    problems = (ig.Problem(A, noise.sample(x, seed=i), noise) for i, x in enumerate(prior.sample(21, seed=3)))
    found = ig.plausibility.calibrate(solver, problems)
    assert {name for name in found.statistics if "orientation" in name} == (
        {QUARTERS, HALF} if knows else set()
    )
    assert may_be_oriented(found.statistics) == knows
