"""Kernels around numbers, against SciPy."""

import math

import pytest
import torch
from scipy.stats import gaussian_kde

from invgen.core.errors import DataError
from invgen.plausibility.anomaly.kernels import Kernels

POINTS = torch.randn(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64).exp()
VALUES = torch.tensor([-3.0, 0.0, 0.5, 1.0, 4.0, 9.0], dtype=torch.float64)


def test_density_and_tail_are_those_of_scipy():
    peer, kernels = gaussian_kde(POINTS.numpy()), Kernels(POINTS.tolist())
    torch.testing.assert_close(kernels.surprise(VALUES), torch.from_numpy(-peer.logpdf(VALUES.numpy())))
    tails = torch.tensor([peer.integrate_box_1d(float(each), math.inf) for each in VALUES])
    torch.testing.assert_close(kernels.tail(VALUES), -tails.double().log(), rtol=1e-6, atol=1e-6)


def test_points_are_surprising_by_the_others():
    kernels = Kernels(POINTS.tolist())
    width = float(POINTS.std()) * 30**-0.2
    for i, found in enumerate(kernels.own_surprises()):
        others = torch.cat([POINTS[:i], POINTS[i + 1 :]])
        peer = gaussian_kde(others.numpy(), bw_method=width / float(others.std()))
        assert float(found) == pytest.approx(-float(peer.logpdf(float(POINTS[i]))[0]), rel=1e-9)


def test_far_away_values_stay_in_order():
    """The tail of what is a million standard deviations away has a logarithm still."""
    far = torch.tensor([1e3, 1e6, 1e9], dtype=torch.float64)
    found = Kernels(POINTS.tolist()).tail(far)
    assert bool(torch.isfinite(found).all())
    assert bool((found.diff() > 0).all())


@pytest.mark.parametrize("points", [[], [1.0], [2.0, 2.0], [1.0, math.inf], [math.nan, 1.0], [[1.0], [2.0]]])
def test_what_has_no_bandwidth_is_refused(points):
    with pytest.raises(DataError, match="numbers"):
        Kernels(points)
