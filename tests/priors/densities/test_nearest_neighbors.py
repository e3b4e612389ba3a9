"""The density of nearest neighbors: estimate, integral and samples against brute force."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import chisquare, kstest

import invgen as ig
from invgen.priors import NearestNeighbors


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("dimensions", "ball"), [(1, 2.0), (2, math.pi), (3, 4 / 3 * math.pi)])
def test_estimate_is_that_of_the_paper(dimensions, ball):
    data, x = normal(40, dimensions), 2 * normal(9, dimensions, seed=1)
    R = torch.cdist(x, data).sort(1).values[:, 4]
    expected = 4 / (40 * ball * R**dimensions)
    torch.testing.assert_close(NearestNeighbors(data, 5).log_density_estimate(x).exp(), expected)


def test_estimate_has_an_infinite_integral():
    """Twice as far out, the integral has grown by the same number: 2 log 2 times what is at infinity."""
    data = normal(30, 1)
    grown = [
        NearestNeighbors(data, 5, ((-far,), (far,)))._integral[0]
        - NearestNeighbors(data, 5, ((-far / 2,), (far / 2,)))._integral[0]
        for far in (1e4, 1e5)
    ]
    np.testing.assert_allclose(grown, 2 * math.log(2) * 4 / (2 * 30), rtol=1e-3)


@pytest.mark.parametrize("box", [None, ((-3.0,), (5.0,)), ((-0.5,), (0.25,)), ((4.0,), (6.0,))])
def test_density_on_a_line_integrates_to_one(box):
    ours = NearestNeighbors(normal(25, 1), 4, box)
    low, high = (float(corner) for corner in ours.box)
    kinks = ours.data[:, 0].sort().values
    # where the k-th neighbor changes, and where it is as far to the left as to the right
    places = torch.cat([(kinks[:-4] + kinks[4:]) / 2, (kinks[:-3] + kinks[3:]) / 2]).sort().values
    places = [low, *places[(places > low) & (places < high)].tolist(), high]
    total = sum(
        quad(lambda t: float(ours.log_prob(torch.tensor([t]).double()).exp()), a, b, epsabs=1e-8)[0]
        for a, b in pairwise(places)
    )
    assert abs(total - 1) < 1e-6
    assert ours.normalization_error == 0


def test_a_box_whose_corners_are_data_is_one_of_them():
    data = torch.tensor([[0.0], [1.0], [3.0], [7.0]]).double()
    ours = NearestNeighbors(data, 2, ((1.0,), (3.0,)))
    x = torch.linspace(1, 3, 20001, dtype=torch.float64)[:, None]
    assert abs(float(torch.trapezoid(ours.log_prob(x).exp(), x[:, 0])) - 1) < 1e-4


def test_density_in_the_plane_integrates_to_one():
    ours = NearestNeighbors(normal(300, 2), 25)
    assert 0 < ours.normalization_error < 0.005
    low, high = ours.box
    side = (torch.arange(300) + 0.5) / 300
    x = low + torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).double() * (high - low)
    total = float(ours.log_prob(x).exp().mean() * (high - low).prod())
    assert abs(total - 1) < 4 * ours.normalization_error + 1e-3


def test_beyond_the_box_there_is_nothing():
    ours = NearestNeighbors(normal(30, 1), 4, ((-1.0,), (1.0,)))
    found = ours.log_prob(torch.tensor([[-1.001], [-1.0], [1.0], [1.001]]).double())
    assert torch.isfinite(found).tolist() == [False, True, True, False]
    assert bool(torch.isfinite(ours.energy(torch.tensor([[50.0]]).double())).all())


def test_energy_is_differentiable():
    ours = NearestNeighbors(normal(30, 2), 4)
    torch.autograd.gradcheck(ours.energy, 2 * normal(5, 2, seed=1).requires_grad_())


def test_samples_on_a_line_have_the_distribution():
    ours = NearestNeighbors(normal(60, 1), 8, ((-2.5,), (3.0,)))
    x = torch.linspace(-2.5, 3, 40001, dtype=torch.float64)
    cdf = torch.cumulative_trapezoid(ours.log_prob(x[:, None]).exp(), x)
    found = kstest(ours.sample(1500, 0)[:, 0].numpy(), lambda t: np.interp(t, x[1:], cdf))
    assert found.pvalue > 0.01


def test_samples_in_the_plane_have_the_distribution():
    ours = NearestNeighbors(normal(50, 2), 8)
    low, high = ours.box
    side = (torch.arange(200) + 0.5) / 200
    grid = low + torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).double() * (high - low)
    p = ours.log_prob(grid).exp().reshape(4, 50, 4, 50).mean((1, 3)).flatten()
    u = (ours.sample(2000, 0) - low) / (high - low)
    assert bool(((u >= 0) & (u <= 1)).all())
    counts = torch.histogramdd(u, [4, 4], range=[0.0, 1.0, 0.0, 1.0]).hist.flatten()
    assert chisquare(counts.numpy(), (p / p.sum() * 2000).numpy()).pvalue > 0.01


def test_an_integral_that_is_not_known_is_not_made_up():
    ours = NearestNeighbors(normal(200, 6), 3)
    with pytest.raises(ig.errors.CapabilityError, match="energy"):
        ours.log_prob(torch.zeros(6))


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (torch.tensor([[1.0], [math.nan]]), {}, ig.errors.DataError, "NaN"),
        (torch.ones(5, 2), {}, ig.errors.DataError, "coordinate 0"),
        (torch.arange(4.0)[:, None], {"neighbors": 5}, ig.errors.ParameterError, "from 2 to 4"),
        (torch.arange(4.0)[:, None], {"neighbors": 1}, ig.errors.ParameterError, "from 2 to 4"),
        (torch.tensor([[0.0], [0.0], [1.0]]), {"neighbors": 2}, ig.errors.DataError, "same"),
        (torch.arange(4.0)[:, None], {"box": ((0.0,), (0.0,))}, ig.errors.ParameterError, "below"),
        (torch.arange(4.0)[:, None], {"box": 3.0}, ig.errors.ParameterError, "corners"),
        (torch.arange(4.0)[:, None], {"box": ((0, 0), (1, 1))}, ig.errors.ShapeError, "1 coord"),
    ],
)
def test_bad_input_is_named(data, options, error, words):
    with pytest.raises(error, match=words):
        NearestNeighbors(data, **options)
