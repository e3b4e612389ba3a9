"""Decoupled annealing: the posterior where the data determine much, elsewhere what its formulas say."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian as Noise
from invgen.noise import Poisson
from invgen.operators import Mask, MatrixOperator
from invgen.priors import Gaussian
from invgen.solvers import DAPS, State

from ..impulses import errors, moved
from ..sampled import Square, resumed


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def moments(solver, problem):
    """Mean and covariance of its samples on a normal prior, from the highest level on."""
    levels, d = solver.levels(), problem.operator.domain.size
    numbers = problem.measurement.numel() + d
    mean, covariance = problem.zeros(), levels[0] ** 2 * torch.eye(d, dtype=torch.float64)
    for high, low in pairwise(levels):

        def step(problem, x, draws, high=high):
            # the last level is zero: what is left is the image
            state = State(x=x, noisy=x)
            return solver.step(problem, solver.prepare(problem), state, high, 0.0, _Once(draws, numbers)).x

        mean, covariance = moved(step, problem, mean, covariance, numbers)
        noisy = covariance + low**2 * torch.eye(d, dtype=torch.float64)
        covariance, image = noisy, covariance
    return mean, image


class _Once:
    """Random numbers of the first `numbers`; what comes after is multiplied by zero."""

    def __init__(self, draws, numbers):
        self._draws, self._last = draws, draws.used + numbers

    def __call__(self, like, axes=None):
        return torch.zeros_like(like) if self._draws.used >= self._last else self._draws(like, axes)


def measured_and_not(std):
    prior = Gaussian(torch.tensor([1.0, -1.0]).double(), torch.tensor([1.0, 1.0]).double())
    A = Mask(torch.tensor([1.0, 0.0]).double())
    return prior, ig.Problem(A, torch.tensor([1.7, 0.0]).double(), Noise(std))


@pytest.mark.parametrize("ode_steps", [1, 3])
def test_measured_pixels_are_those_of_the_posterior(ode_steps):
    # at a tenth of the prior's spread the prior counts one percent, and r_t hardly matters
    prior, prob = measured_and_not(0.1)
    off, ratio = errors(
        *moments(DAPS(prior, iterations=100, ode_steps=ode_steps), prob), prior.posterior(prob)
    )
    assert abs(float(off[0])) < 0.15
    assert abs(float(ratio[0]) - 1) < 0.05


def test_unmeasured_pixels_vary_too_much_along_the_flow_and_little_too_much_from_the_denoised_image():
    # v' = c^2 (v + sigma^2) + sigma^2 has its fixed point at twice the prior's variance for the flow, with
    # c^2 = s^2 / (s^2 + sigma^2), and at about it for the denoised image, with c = s^2 / (s^2 + sigma^2)
    prior, prob = measured_and_not(0.1)
    flow, image = (
        errors(*moments(DAPS(prior, iterations=400, ode_steps=k), prob), prior.posterior(prob))[1]
        for k in (4, 1)
    )
    assert 1.9 < float(flow[1]) < 2.6
    assert 1.0 < float(image[1]) < 1.15


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_a_call_samples_what_the_steps_say(dtype):
    prior = Gaussian(normal(2, 2, seed=1, dtype=dtype), 1.0)
    A = MatrixOperator(normal(6, 4, seed=2, dtype=dtype), image_shape=(2, 2))
    noise = Noise(0.1)
    prob = ig.Problem(A, noise.sample(A(prior.sample(1, seed=3)[0]), seed=4), noise)
    n = 300
    drawn = DAPS(prior, iterations=30)(prob, samples=n, seed=0)
    exact = prior.posterior(prob)
    std = exact.covariance().diagonal().real.sqrt().reshape(2, 2)
    # all pixels are measured; 4.5 standard errors, and a tenth that the prior counts for
    off = torch.view_as_real((drawn.samples - exact.mean()).to(torch.complex128))[..., : 1 + dtype.is_complex]
    off = off / std[..., None]
    assert float(off.mean(0).abs().max()) < 4.5 / math.sqrt(n) + 0.1
    assert float((off.var(0) - 1).abs().max()) < 4.5 * math.sqrt(2 / n) + 0.1
    assert drawn.stats["network_evaluations"] == 30 * 5 - 4  # the lowest level is one evaluation


def test_an_operator_that_is_not_linear_gets_both_of_its_images():
    prior = Gaussian(torch.zeros(1).double(), torch.ones(1).double())
    prob = ig.Problem(Square((1,)), torch.tensor([1.0]).double(), Noise(0.2))
    x = DAPS(prior, iterations=20, langevin_steps=20)(prob, samples=60, seed=0).samples
    # noise of 0.2 in the square is 0.1 in the root: all are within 4.5 deviations of one of both
    assert float((x.abs() - 1).abs().max()) < 0.45
    assert 0.25 < float((x > 0).double().mean()) < 0.75


def test_interruptions_and_chunks_change_nothing(tmp_path):
    prior, prob = measured_and_not(0.1)
    solver = DAPS(prior, iterations=6)
    whole = solver(prob, samples=3, seed=0).samples
    torch.testing.assert_close(
        dataclasses.replace(solver, chunk_size=1)(prob, samples=3, seed=0).samples, whole
    )
    assert torch.equal(resumed(solver, prob, 3, tmp_path / "run").samples, whole)


def test_refusals():
    prior, prob = measured_and_not(0.1)
    with pytest.raises(ParameterError, match="ode_steps"):
        DAPS(prior, ode_steps=0)
    counts = ig.Problem(prob.operator, prob.measurement, Poisson(1.0))
    with pytest.raises(CapabilityError, match="Gaussian weights"):
        DAPS(prior, iterations=3)(counts, seed=0)
