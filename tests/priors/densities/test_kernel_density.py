"""Kernel densities against scipy, scikit-learn and by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde
from sklearn.model_selection import GridSearchCV, LeaveOneOut
from sklearn.neighbors import KernelDensity as Peer
from sklearn.neighbors import NearestNeighbors

import invgen as ig
from invgen.noise import Gaussian as Noise
from invgen.operators import MatrixOperator
from invgen.priors import KernelDensity


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_density_is_scikit_learns():
    data, x = normal(50, 2, 3), normal(4, 2, 3, seed=1)
    peer = Peer(bandwidth=0.4).fit(data.flatten(1).numpy())
    ours = KernelDensity(data, 0.4)
    np.testing.assert_allclose(ours.log_prob(x), peer.score_samples(x.flatten(1).numpy()), rtol=1e-10)


def test_silvermans_rule_is_scipys():
    """In one dimension, where the standard deviation of the data is one number."""
    data = 3 * normal(200, 1)
    peer = gaussian_kde(data[:, 0].numpy(), "silverman")
    assert math.isclose(
        float(KernelDensity(data).bandwidth), float(peer.covariance[0, 0]) ** 0.5, rel_tol=1e-9
    )


def test_cross_validation_finds_the_bandwidth_that_scikit_learn_does():
    data = torch.cat([normal(8, 2), 0.2 * normal(8, 2, seed=1) + 40])
    ours = KernelDensity(data, "cross-validation")
    tried = KernelDensity(data).bandwidth.numpy() * 2 ** (np.arange(-16, 17) / 4)
    peer = GridSearchCV(Peer(), {"bandwidth": tried}, cv=LeaveOneOut()).fit(data.numpy())
    assert math.isclose(float(ours.bandwidth), peer.best_params_["bandwidth"], rel_tol=1e-9)
    # two groups look like one wide one to Silverman's rule
    assert float(ours.bandwidth) < 0.5 * float(KernelDensity(data).bandwidth)


def test_each_image_has_the_distance_to_its_neighbor():
    data = normal(30, 2, 2)
    distances, _ = NearestNeighbors(n_neighbors=4).fit(data.flatten(1).numpy()).kneighbors()
    ours = KernelDensity(data, "neighbors", neighbors=4)
    np.testing.assert_allclose(ours.bandwidth, distances[:, -1] / 2, rtol=1e-10)


def test_blocks_make_no_difference(monkeypatch):
    data = normal(20, 3)
    whole = [KernelDensity(data, rule).bandwidth for rule in ("cross-validation", "neighbors")]
    monkeypatch.setattr("invgen.priors.densities.kernel_density._BLOCK", 7)
    for rule, width in zip(("cross-validation", "neighbors"), whole, strict=True):
        torch.testing.assert_close(KernelDensity(data, rule).bandwidth, width, rtol=1e-12, atol=0)


def test_little_noise_leaves_one_of_the_data():
    data = normal(100, 4, 4)
    x = data[17] + 0.01 * normal(4, 4, seed=1)
    torch.testing.assert_close(KernelDensity(data, 1e-4).denoise(x, 0.05), data[17], rtol=0, atol=1e-6)


def test_posterior_weighs_the_data_by_how_well_they_explain_the_measurement():
    data, A = normal(30, 6), normal(2, 6, seed=1)
    y, std, h = A @ data[3], 0.1, 1e-6
    posterior = KernelDensity(data, h).posterior(ig.Problem(MatrixOperator(A, (6,)), y, Noise(std)))
    residuals = (data @ A.T - y).square().sum(1)
    torch.testing.assert_close(
        posterior.weights,
        torch.softmax(-residuals / (2 * float(np.float32(std)) ** 2), 0),
        rtol=1e-6,
        atol=1e-9,
    )
    torch.testing.assert_close(posterior.means, data, rtol=0, atol=1e-6)


def test_complex_data_are_those_of_their_parts():
    data, x = normal(20, 3, dtype=torch.complex128), normal(3, seed=1, dtype=torch.complex128)
    parts = KernelDensity(torch.cat([data.real, data.imag], 1))
    ours = KernelDensity(data)
    torch.testing.assert_close(ours.bandwidth, parts.bandwidth)
    torch.testing.assert_close(
        ours.log_prob(x), parts.log_prob(torch.cat([x.real, x.imag])), rtol=1e-10, atol=0
    )


def test_data_without_a_density_are_refused():
    data = torch.ones(5, 3)
    for arguments, error, words in (
        ((data,), ig.errors.DataError, "same"),
        ((data, "neighbors", 2), ig.errors.DataError, "same"),
        ((data, "best"), ig.errors.ParameterError, "silverman"),
        ((data, -1.0), ig.errors.ParameterError, "positive"),
        ((data[:1],), ig.errors.ShapeError, "at least two"),
        ((data, "neighbors", 5), ig.errors.ShapeError, "neighbors"),
    ):
        with pytest.raises(error, match=words):
            KernelDensity(*arguments)
