"""MCGDiff and FPS: their steps against closed forms, and what they reach."""

import warnings

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, ParameterError, SamplingWarning
from invgen.operators import Downsample, Mask, Radon
from invgen.priors import Gaussian
from invgen.solvers import FPS, MCGDiff
from invgen.solvers.diffusion.spectral import MeasuredSpectrum
from invgen.solvers.particles.coordinates import conditioned, log_density

from .problems import SHAPE, correlated, dense, explicit, measured


@pytest.mark.parametrize("field", ["real", "complex"])
def test_draws_given_noisy_coefficients_have_the_law_of_bayes(field):
    """Each unit vector of the random numbers gives a column of an affine map."""
    A, variance, spread = dense(field), 0.7, 0.2
    problem = measured(A, correlated(field))
    data, matrix = MeasuredSpectrum(problem), explicit(A)
    n, m = 8, data.seen.numel()
    mean = correlated(field).sample(1, 2)[0]
    eye = torch.eye(n + m, dtype=matrix.dtype)
    eye = torch.cat([eye, 0 * eye[:1]])
    x = mean + variance**0.5 * eye[:, :n].reshape(-1, *SHAPE)
    noise, spreads = eye[:, n:].reshape(-1, *data.seen.shape), 0 * data.std + spread
    found = conditioned(data, x, noise, variance, data.seen, spreads, data.known)
    columns = (found[:-1] - found[-1]).flatten(1).mT
    V = torch.linalg.svd(matrix, full_matrices=False)[2].mH
    gain = variance / (variance + spread) * V @ V.mH
    covariance = variance * (torch.eye(n, dtype=matrix.dtype) - gain)
    assert torch.allclose(columns @ columns.mH, covariance, atol=1e-10)
    nearest = (torch.linalg.pinv(matrix) @ problem.measurement).reshape(SHAPE)
    away = gain @ (nearest - mean).flatten()
    assert torch.allclose(found[-1], mean + away.reshape(SHAPE), atol=1e-10)


def test_the_density_of_coefficients_counts_those_that_are_on():
    problem = measured(Mask(torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1]]).bool()), correlated())
    data = MeasuredSpectrum(problem)
    at, on = torch.randn(5, *SHAPE, dtype=torch.float64), data.known.clone()
    on.view(-1)[0] = False
    found = log_density(data, at, data.seen, 0.5 + 0 * data.std, on)
    squares = (data.V(at) - problem.measurement)[:, [0, 1], [1, 3]].square().sum(1)
    assert torch.allclose(found, -squares / 2 / 0.5)


@pytest.mark.parametrize(("method", "lost"), [(MCGDiff, 0.25), (FPS, 0.5)])
def test_without_measurements_samples_are_those_of_the_prior(method, lost):
    """But for the variance that their steps lose, by far less in ancestral sampling than with c = 0.95."""
    prior = correlated()
    problem = ig.Problem(Mask(torch.zeros(SHAPE).bool()), torch.zeros(SHAPE).double(), ig.noise.Gaussian(0.1))
    drawn = method(prior, iterations=60)(problem, samples=2000, seed=0).samples
    std = prior.covariance().diagonal().sqrt().reshape(SHAPE)
    assert ((drawn.mean(0) - prior.mean()) / std).abs().max() < 4 / 2000**0.5
    ratio = drawn.var(0) / std**2
    assert ratio.min() > 1 - lost
    assert ratio.max() < 1.1


def test_the_mean_of_mcgdiff_is_that_of_the_posterior():
    """Of several runs with wide potentials, whose weights vary less: by their own standard error."""
    prior = Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 1.0)
    A = Downsample(SHAPE, 2)
    problem = measured(A, prior, 0.4)
    solver = MCGDiff(prior, iterations=60, particles=2000, kappa=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        means = torch.stack([A(solver(problem, samples=1000, seed=seed).x).flatten() for seed in range(8)])
    posterior = prior.posterior(problem)
    std = (explicit(A) @ posterior.covariance() @ explicit(A).mT).diagonal().sqrt()
    away = (means.mean(0) - A(posterior.mean()).flatten()) / std
    error = ((means - means.mean(0)) / std).square().mean().sqrt()
    assert error < 0.3
    assert away.abs().max() < 4 * error / 8**0.5 + 0.05


def test_fps_is_too_sure_with_many_levels():
    """As its docstring says: the data count again at every level."""
    prior = Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 1.0)
    problem = measured(Mask(torch.ones(SHAPE).bool()), prior, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        few, many = (
            FPS(prior, iterations=k, particles=2000)(problem, samples=500, seed=0).samples.var(0).mean()
            for k in (10, 80)
        )
    exact = 0.5
    assert many < 0.6 * exact
    assert many < few


@pytest.mark.parametrize("method", [MCGDiff, FPS])
def test_particles_announce_that_they_have_collapsed(method):
    prior = correlated()
    problem = measured(dense(), prior, 1e-3)
    with pytest.warns(SamplingWarning, match="take more particles"):
        result = method(prior, iterations=20, particles=60)(problem, samples=60, seed=0)
    assert result.stats["network_evaluations"] == 20
    assert "log_evidence" not in result.stats


def test_what_does_not_fit_is_refused():
    prior = correlated()
    with pytest.raises(ParameterError, match="kappa"):
        MCGDiff(prior, kappa=0.0)
    with pytest.raises(ParameterError, match="c above 0"):
        FPS(prior, c=1.5)
    square = Gaussian(torch.zeros(8, 8), 1.0)
    A = Radon((8, 8), 4)
    problem = ig.Problem(A, torch.zeros(A.range.shape), ig.noise.Gaussian(0.1))
    for method in (MCGDiff, FPS):
        with pytest.raises(CapabilityError, match="singular value"):
            method(square)(problem)
