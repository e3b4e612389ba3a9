"""RED-diff: an estimate, which on normal priors is the mean of the posterior."""

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian as Noise
from invgen.operators import MatrixOperator
from invgen.priors import Gaussian
from invgen.solvers import REDdiff

from ..sampled import Square, resumed


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def problem(std, dtype=torch.float64):
    prior = Gaussian(normal(2, 3, seed=1, dtype=dtype), torch.linspace(0.5, 2, 6).double().reshape(2, 3))
    A = MatrixOperator(normal(4, 6, seed=2, dtype=dtype), image_shape=(2, 3))
    noise = Noise(std)
    return prior, ig.Problem(A, noise.sample(A(prior.sample(1, seed=3)[0]), seed=4), noise)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("std", [0.2, 1.0])
def test_runs_average_to_the_mean_of_the_posterior(std, dtype):
    # at both noise levels, which data rescaled to one would not give
    prior, prob = problem(std, dtype)
    drawn = REDdiff(prior, iterations=400)(prob, samples=32, seed=0)
    exact = prior.posterior(prob)
    spread = exact.covariance().diagonal().real.sqrt().reshape(2, 3)
    # over the posterior's spread: runs vary by 0.3, the mean of 32 by 0.05, and 400 levels leave 0.2 of the
    # start
    off = (drawn.x - exact.mean()).abs() / spread
    assert float(off.square().mean().sqrt()) < 0.25
    # runs are no samples of the posterior, and are said not to be
    assert float((drawn.std / spread).mean()) < 0.5


def test_a_heavier_prior_draws_towards_its_mean():
    prior, prob = problem(1.0)
    away = [
        float((REDdiff(prior, weight=lam)(prob, samples=8, seed=0).x - prior.mean()).norm())
        for lam in (0.3, 1, 10)
    ]
    assert away[0] > away[1] > away[2]


def test_a_resumed_run_is_the_same(tmp_path):
    prior, prob = problem(0.2)
    solver = REDdiff(prior, iterations=6)
    whole = solver(prob, samples=2, seed=0).samples
    assert torch.equal(resumed(solver, prob, 2, tmp_path / "run").samples, whole)


def test_refusals():
    prior = problem(0.2)[0]
    with pytest.raises(ParameterError, match="damping"):
        REDdiff(prior, damping=0.0)
    with pytest.raises(CapabilityError, match="linear operator"):
        REDdiff(prior)(ig.Problem(Square((2, 3)), torch.ones(2, 3).double(), Noise(0.1)), seed=0)
