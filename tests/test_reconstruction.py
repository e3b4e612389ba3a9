"""Quantiles, credible intervals and their coverage."""

import numpy as np
import pytest
import torch

from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.reconstruction import Reconstruction


def normal(n, pixels=20_000, seed=0):
    return torch.randn(n, pixels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of(samples):
    return Reconstruction(samples.mean(0), samples, samples.std(0) if len(samples) > 1 else None)


def test_quantiles_are_those_of_numpy():
    samples = normal(23, 50)
    for q in (1 / 24, 0.1, 0.5, 0.77, 23 / 24):
        expected = np.quantile(samples.numpy(), q, axis=0, method="weibull")
        torch.testing.assert_close(of(samples).quantile(q), torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("n", "level"), [(2, 0.9), (5, 0.9), (8, 0.9), (19, 0.9), (39, 0.9), (2, 0.5), (7, 0.5)]
)
def test_the_truth_lies_in_the_interval_as_often_as_it_says(n, level):
    """By Student's distribution, and by quantiles that need no interpolation: exact for so few samples."""
    covered = of(normal(n)).coverage(normal(1, seed=1)[0], level)
    assert abs(float(covered) - level) < 4 * (level * (1 - level) / 20_000) ** 0.5


def test_intervals_of_complex_images_are_those_of_the_modulus():
    samples = torch.complex(normal(30), normal(30, seed=2))
    truth = torch.complex(normal(1, seed=3)[0], normal(1, seed=4)[0])
    assert abs(float(of(samples).coverage(truth)) - 0.9) < 0.01
    assert of(samples).quantile(0.5).dtype == torch.float64


def test_a_mask_chooses_the_pixels_that_count():
    samples = normal(19, 4)
    truth = torch.tensor([0.0, 0.0, 1e3, 1e3], dtype=torch.float64)
    inside = torch.tensor([True, True, False, False])
    assert float(of(samples).coverage(truth, mask=~inside)) == 0


def test_what_samples_cannot_estimate_is_refused():
    with pytest.raises(ParameterError, match="takes 99 samples; there are 8"):
        of(normal(8)).quantile(0.01)
    with pytest.raises(CapabilityError, match="no samples"):
        Reconstruction(torch.zeros(3)).quantile(0.5)
    with pytest.raises(CapabilityError, match="two samples"):
        of(normal(1)).interval()
    with pytest.raises(ParameterError, match="probability"):
        of(normal(8)).interval(90)
    with pytest.raises(ShapeError, match="truth has the shape"):
        of(normal(8, 4)).coverage(torch.zeros(3))


@pytest.mark.parametrize("correlation", [-1.0, -0.8, 0.0, 1.0])
def test_intervals_of_antithetic_pairs_hold_what_they_say_whatever_their_correlation(correlation):
    """Four pairs: degrees of freedom are exact for -1 and 1, and good to a percent between."""
    first, second = normal(4), normal(4, seed=2)
    second = correlation * first + (1 - correlation**2) ** 0.5 * second
    samples = torch.stack([first, second], 1).flatten(0, 1)
    found = Reconstruction(samples.mean(0), samples, antithetic=True)
    covered = float(found.coverage(normal(1, seed=1)[0]))
    assert abs(covered - 0.9) < 4 * (0.09 / 20_000) ** 0.5 + (0.01 if abs(correlation) < 1 else 0)
    if correlation == -1.0:  # those of independent samples would be wider than they say
        assert float(of(samples).coverage(normal(1, seed=1)[0])) > 0.905
