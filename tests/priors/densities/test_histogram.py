"""Histograms: integral, risk and samples against brute force and numpy."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

import invgen as ig
from invgen.priors import GaussianMixture, Histogram
from invgen.priors.densities.histogram import cross_validated_risk

MIXTURE = GaussianMixture(
    torch.tensor([[-1.5], [1.0]]).double(), torch.tensor([[0.25], [0.64]]).double(), [0.4, 0.6]
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("bins", [7, (4, 5), (2, 3, 4)])
def test_density_is_numpys(bins):
    counts = (bins,) if isinstance(bins, int) else bins
    data = normal(300, len(counts))
    ours = Histogram.fit(data, bins)
    peer, edges = np.histogramdd(data.numpy(), counts, density=True)
    centers = np.stack(np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in edges], indexing="ij"), -1)
    np.testing.assert_allclose(ours.log_prob(torch.from_numpy(centers)).exp(), peer, rtol=1e-10)
    assert math.isclose(float(peer.sum()) * float(ours.widths.prod()), 1.0, rel_tol=1e-12)
    assert math.isclose(float(ours.probabilities.sum()), 1.0, rel_tol=1e-12)


def test_edges_belong_to_the_box_and_what_is_beyond_has_no_probability():
    ours = Histogram((0.0,), (1.0,), [1.0, 0.0, 3.0])
    x = torch.tensor([[-1e-9], [0.0], [0.5], [1.0], [1 + 1e-9]], dtype=torch.float64)
    expected = torch.tensor(
        [-math.inf, math.log(0.75), -math.inf, math.log(2.25), -math.inf], dtype=torch.float64
    )
    torch.testing.assert_close(ours.log_prob(x), expected, rtol=1e-12, atol=0)


def left_out(data, m):
    """The risk by leaving out each number in turn: integral of the square, less twice the mean density."""
    edges = np.linspace(data.min(), data.max(), m + 1)
    width, n = edges[1] - edges[0], len(data)
    counts, _ = np.histogram(data, edges)
    own = np.minimum(np.searchsorted(edges, data, side="right") - 1, m - 1)
    density_of_others = (counts[own] - 1) / ((n - 1) * width)
    return (counts / n) ** 2 @ np.ones(m) / width - 2 * density_of_others.mean()


def test_least_risk_is_that_of_brute_force():
    data = MIXTURE.sample(40, 0)
    risks = [left_out(data[:, 0].numpy(), m) for m in range(1, 41)]
    ours = [cross_validated_risk(data, m) for m in range(1, 41)]
    np.testing.assert_allclose(ours, risks, rtol=1e-9)
    assert Histogram.fit(data).probabilities.shape == (1 + int(np.argmin(risks)),)


def test_risk_estimates_the_integrated_squared_error():
    """Unbiased, but for the fixed edges, which here follow the data's extremes: to within five errors."""
    x = torch.linspace(-6, 6, 4801, dtype=torch.float64)[:, None]
    truth = MIXTURE.log_prob(x).exp()
    norm = float(truth.square().sum() * 0.0025)
    apart = []
    for seed in range(60):
        data = MIXTURE.sample(400, seed)
        error = float((Histogram.fit(data, 15).log_prob(x).exp() - truth).square().sum() * 0.0025)
        apart.append(cross_validated_risk(data, 15) + norm - error)
    assert abs(np.mean(apart)) < 5 * np.std(apart) / math.sqrt(len(apart))
    assert abs(np.mean(apart)) < 0.01 * norm


def test_samples_have_the_distribution_of_the_histogram():
    ours = Histogram.fit(MIXTURE.sample(500, 0))
    edges = torch.linspace(0, 1, len(ours.probabilities) + 1, dtype=torch.float64) * (ours.high - ours.low)
    total = np.concatenate([[0], ours.probabilities.cumsum(0).numpy()])
    x = ours.sample(2000, 7)[:, 0].numpy()
    found = kstest(x, lambda t: np.interp(t, (edges + ours.low).numpy(), total))
    assert found.pvalue > 0.01


def test_cells_of_several_dimensions_are_drawn_in_their_order():
    p = torch.tensor([[0.1, 0.2, 0.0], [0.3, 0.0, 0.4]]).double()
    x = Histogram((0.0, 0.0), (2.0, 3.0), p).sample(4000, 0)
    found = torch.histogramdd(x, [2, 3], range=[0.0, 2.0, 0.0, 3.0]).hist / 4000
    assert float((found - p).abs().max()) < 4 * math.sqrt(0.25 / 4000)
    assert not bool(found[p == 0].any())


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (torch.tensor([[1.0], [math.nan]]), {}, ig.errors.DataError, "NaN"),
        (torch.ones(5, 2), {}, ig.errors.DataError, "coordinate 0"),
        (torch.ones(1, 2), {}, ig.errors.ShapeError, "at least 2"),
        (torch.arange(5.0), {}, ig.errors.ShapeError, r"data\[:, None\]"),
        (torch.arange(5.0)[:, None] + 0j, {}, ig.errors.DtypeError, "real"),
        (torch.arange(5.0)[:, None], {"bins": "best"}, ig.errors.ParameterError, "risk"),
        (torch.arange(5.0)[:, None], {"bins": 0}, ig.errors.ParameterError, "bins"),
        (torch.arange(5.0)[:, None], {"bins": (2, 2)}, ig.errors.ShapeError, "1 coord"),
        (torch.eye(3), {"bins": 1000}, ig.errors.DataError, "too many"),
    ],
)
def test_bad_input_is_named(data, options, error, words):
    with pytest.raises(error, match=words):
        Histogram.fit(data, **options)
