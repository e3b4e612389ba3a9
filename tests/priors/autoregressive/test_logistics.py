"""Discretized logistics: their probabilities, and samples of them."""

import pytest
import torch

from invgen.priors.nets.logistics import LogisticMixture, level_log_prob

from ...contracts.numbers import normal


def double(number):
    return torch.tensor(number, dtype=torch.float64)


def grid(levels):
    return 2 * torch.arange(levels).double() / (levels - 1) - 1


@pytest.mark.parametrize("levels", [2, 4, 256])
@pytest.mark.parametrize(("mean", "log_scale"), [(0.1, -1.0), (-1.5, -4.0), (0.999, -6.9), (30.0, 0.0)])
def test_probabilities_of_all_levels_sum_to_one(levels, mean, log_scale):
    found = level_log_prob(grid(levels), double(mean), double(log_scale), levels)
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-13)
    assert bool(torch.isfinite(found).all())


def test_a_level_has_the_mass_of_its_cell():
    mean, scale, levels = 0.2, 0.05, 256
    edges = (grid(levels)[:-1] + 1 / (levels - 1) - mean) / scale
    below = torch.cat([torch.zeros(1), torch.sigmoid(edges), torch.ones(1)]).double()
    found = level_log_prob(grid(levels), double(mean), double(scale).log(), levels)
    torch.testing.assert_close(found.exp(), below.diff(), rtol=1e-9, atol=1e-15)


def test_far_tails_keep_their_logarithm():
    """The mass of cells 200 scales away is beyond single precision, its logarithm is not."""
    found = level_log_prob(torch.tensor(0.6), torch.tensor(-0.4), torch.tensor(5e-3).log(), 256)
    assert float(found) == pytest.approx(-200 + 0.5, abs=1.5)


def test_a_mixture_of_three_channels_sums_to_one():
    levels = 4
    outputs = normal(1, LogisticMixture.numbers(3, 5), 1, 1)
    every = torch.cartesian_prod(*[grid(levels)] * 3)[..., None, None]
    mixture = LogisticMixture.of(outputs.expand(len(every), -1, -1, -1), 3, 5, levels)
    assert float(mixture.log_prob(every).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_samples_follow_the_probabilities():
    levels, n = 4, 40_000
    outputs = normal(1, LogisticMixture.numbers(2, 3), 1, 1, seed=3)
    uniform = torch.rand(n, 3, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = LogisticMixture.of(outputs.expand(n, -1, -1, -1), 2, 3, levels).sample(uniform)
    every = torch.cartesian_prod(grid(levels), grid(levels))
    expected = LogisticMixture.of(outputs.expand(16, -1, -1, -1), 2, 3, levels)
    probability = expected.log_prob(every[..., None, None]).exp().flatten()
    index = ((drawn[..., 0, 0] + 1) / 2 * (levels - 1)).round().long()
    counts = (levels * index[:, 0] + index[:, 1]).bincount(minlength=16)
    # Pearson's statistic of 15 degrees of freedom: beyond 37.7 once in a thousand
    assert float(((counts - n * probability) ** 2 / (n * probability)).sum()) < 37.7
