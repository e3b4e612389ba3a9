"""Preconditioned Langevin dynamics: the law of its chain, by linear algebra alone."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.certification import field_posterior, field_setting
from invgen.noise import Gaussian
from invgen.operators import Mask
from invgen.solvers import PreconditionedLangevin, State

from .test_langevin import SHAPE, SIZE, correlated, problem_of


class Columns:
    """Zeros for the first rows of a batch; then, of each call, unit vectors for all that it draws."""

    def __init__(self, rows, first):
        self.rows, self.at = rows, first

    def __call__(self, like, axes=None):
        count = like[0].numel()
        drawn = torch.zeros(self.rows, count, dtype=like.dtype)
        drawn[self.at : self.at + count] = torch.eye(count, dtype=like.dtype)
        self.at += count
        return drawn.reshape(like.shape)


class Zeros:
    """In place of random numbers."""

    state = torch.zeros(1)

    def __call__(self, like, axes=None):
        return torch.zeros_like(like)


def law(solver, problem, levels=None):
    """Mean and covariance of the images at the end, or of noisy ones after the levels that are given.

    With the denoised images they are a chain.
    """
    first = 1 + 2 * SIZE
    rows = first + SIZE + problem.measurement.numel()
    repeated = problem.repeated(rows)
    prepared = solver.prepare(repeated)
    if levels is None:
        levels = solver.schedule(repeated)
    else:
        levels = [torch.full((rows,), level, dtype=torch.float64) for level in levels]
    mean = torch.zeros(2 * SIZE, dtype=torch.float64)
    # before the first step nothing is denoised: the image itself stands for it, and momentum is left out
    root = torch.zeros(2 * SIZE, 2 * SIZE, dtype=torch.float64)
    root[:SIZE, :SIZE] = levels[0][0] * torch.eye(SIZE)
    begun = False
    for high, low in pairwise(levels):
        both = mean.repeat(rows, 1)
        both[1:first] += root.T
        x, before = (part.reshape(rows, *SHAPE) for part in both.split(SIZE, dim=1))
        state = State(x=x, noisy=x, **({"denoised": before} if begun else {}))
        state, begun = solver.step(repeated, prepared, state, high, low, Columns(rows, first)), True
        seen = state.x if low is high else state["noisy"]
        both = torch.cat([seen.reshape(rows, SIZE), state["denoised"].reshape(rows, SIZE)], dim=1)
        mean, moved = both[0], (both - both[0]).T
        values, vectors = torch.linalg.eigh(moved @ moved.T)
        root = vectors * values.clamp(min=0).sqrt()
    covariance = root @ root.T
    return mean[:SIZE], covariance[:SIZE, :SIZE]


def polynomial_root(t):
    """``sqrt(1 - t)`` up to a half, as `UnbiasedStep` has it: interpolated at four Chebyshev points."""
    found = np.polynomial.Chebyshev.interpolate(lambda t: np.sqrt(1 - t), 3, domain=[0, 0.5])
    return found(t)


@pytest.fixture
def exactly(monkeypatch):
    """Systems are solved to rounding."""
    for step in ("likelihood_step", "unbiased_step"):
        monkeypatch.setattr(f"invgen.solvers.sampling.{step}.SAMPLER_PRECISION", 1e-7)


def errors(name, iterations, sigma_range=(0.002, 20.0)):
    """Of all pixels, the bias of the mean in standard deviations, and the variance's error, relative."""
    prior = correlated()
    problem = problem_of(prior, name)
    solver = PreconditionedLangevin(prior, iterations=iterations, step_size=1.0, sigma_range=sigma_range)
    mean, covariance = law(solver, problem)
    exact = prior.posterior(problem)
    variance = exact.covariance().diagonal()
    bias = (mean - exact.mean().flatten()) / variance.sqrt()
    return float(bias.square().mean().sqrt()), float((covariance.diagonal() / variance - 1).abs().max())


@pytest.mark.usefixtures("exactly")
@pytest.mark.parametrize("name", ["mask", "dense", "ill-conditioned", "projections"])
def test_it_ends_at_the_posterior_and_errors_fall_with_the_levels(name):
    (bias, excess), (half, less) = errors(name, 200), errors(name, 400)
    assert bias < 0.05
    assert excess < 0.03
    # of first order in the distance of two levels
    assert half < 0.6 * bias
    assert less < 0.6 * excess


@pytest.mark.usefixtures("exactly")
@pytest.mark.parametrize("name", ["mask", "dense", "projections"])
def test_levels_of_its_own_choice_are_within_the_figures_of_the_docstring(name):
    bias, excess = errors(name, 200, sigma_range=None)
    assert bias < 0.01
    assert excess < 0.02


@pytest.mark.usefixtures("exactly")
@pytest.mark.parametrize("side", [32, pytest.param(128, marks=pytest.mark.slow)])
def test_the_mean_of_a_field_of_which_a_fifth_is_seen_lags_by_less_than_three_percent(side):
    """Smooth parts move last where the level is far above the noise of the data; here is the mean alone."""

    class Silent(PreconditionedLangevin):
        def draws(self, problem, state):
            return Zeros()

    setting = field_setting("field-mask", seed=3, shape=(side, side))
    truth = setting.prior.sample(1, seed=1)[0]
    y = setting.noise.sample(setting.operator(truth), seed=2)
    problem = ig.Problem(setting.operator, y, setting.noise)
    drawn = Silent(setting.prior, iterations=199, step_size=1.0)(problem, seed=0)
    assert drawn.stats["network_evaluations"] == 200
    posterior = field_posterior(setting)
    off = (drawn.x - posterior.mean(y)) / posterior.std
    assert float(off.square().mean().sqrt()) < 0.03


@pytest.mark.parametrize(("step_size", "adjusted_steps"), [(0.5, 0), (1.0, 0), (0.5, 1)])
def test_levels_end_by_the_data_that_see_best(step_size, adjusted_steps):
    """At half of their noise, and an eighth of the prior's deviation; with correction at a tenth of both."""
    prior = correlated()
    A, y = Mask(torch.ones(SHAPE, dtype=torch.bool)), torch.zeros(3, *SHAPE, dtype=torch.float64)
    std = torch.tensor([0.2, 3.0, 1e-6], dtype=torch.float64)
    problem = ig.Problem(A, y, Gaussian(std[:, None, None]))
    solver = PreconditionedLangevin(prior, iterations=30, step_size=step_size, adjusted_steps=adjusted_steps)
    levels = solver.schedule(problem)
    assert len(levels) == 31
    assert levels[-1] is levels[-2]
    low, high = prior.image_format.noise_range
    # the prior's variance is one
    of_data, of_prior = (0.1, 0.1) if adjusted_steps else (0.5, 0.125)
    # the third is of less noise than the prior's lowest level
    expected = (of_prior**-2 + (of_data * std) ** -2).rsqrt().clamp(min=low)
    torch.testing.assert_close(levels[-1], expected, rtol=0.05, atol=0)
    logs, first = torch.stack(levels[:-1]).log(), high if adjusted_steps else min(high, 100.0)
    torch.testing.assert_close(logs[0].exp(), torch.full((3,), first, dtype=torch.float64))
    # factors of at most two, down to twice the deviation
    coarse = 0 if adjusted_steps else math.ceil(math.log2(first / 2))
    steps = -logs[: coarse + 1].diff(dim=0)
    torch.testing.assert_close(steps, torch.full((coarse, 3), math.log(first / 2) / max(coarse, 1)).double())
    # then equal steps of a power, or equal factors
    power = -0.25 if adjusted_steps else {0.5: 0.0, 1.0: -0.5}[step_size]
    below = (power * logs[coarse:]).exp() if power else -logs[coarse:]
    steps = below.diff(dim=0)
    torch.testing.assert_close(steps, steps.mean(0).expand_as(steps))
    if not adjusted_steps:  # of few levels, none is left out on the way
        logs = torch.stack(replace(solver, iterations=12).schedule(problem)[:-1]).log()
        steps = ((power * logs).exp() if power else -logs).diff(dim=0)
        torch.testing.assert_close(steps, steps.mean(0).expand_as(steps))
    # each problem has the levels that it has alone, and a range that is given is kept
    alone = solver.schedule(ig.Problem(A, y[1], Gaussian(3.0)))
    torch.testing.assert_close(alone[-1], levels[-1][1])
    given = replace(solver, sigma_range=(0.001, 5.0)).schedule(problem)
    for level, end in ((given[0], 5.0), (given[-1], 0.001)):
        torch.testing.assert_close(level, torch.full((3,), end, dtype=torch.float64))
    coarse = 0 if adjusted_steps else math.ceil(math.log2(5.0 / 2))
    logs = torch.stack(given[:-1]).log()[coarse:]
    steps = ((power * logs).exp() if power else -logs).diff(dim=0)
    torch.testing.assert_close(steps, steps.mean(0).expand_as(steps))


@pytest.mark.parametrize("step_size", [0.05, 0.3, 1.0])
def test_images_have_noise_of_each_level_however_short_a_step_is(step_size):
    """Of a prior of hardly any variance, with levels that fall faster than so short a step can follow."""
    prior = ig.priors.Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 1e-8)
    nothing = Mask(torch.zeros(SHAPE, dtype=torch.bool))
    problem = ig.Problem(nothing, torch.zeros(SHAPE, dtype=torch.float64), Gaussian(1.0))
    solver = PreconditionedLangevin(prior, step_size=step_size, sigma_range=(0.1, 8.0))
    for levels in ([8.0, 4.0, 2.0, 1.0], [8.0, 0.1], [1.0, 0.9, 0.1, 0.1]):
        _, covariance = law(solver, problem, levels)
        exact = levels[-1] ** 2 * torch.eye(SIZE, dtype=torch.float64)
        torch.testing.assert_close(covariance, exact, rtol=1e-3, atol=1e-6)


@pytest.mark.usefixtures("exactly")
@pytest.mark.parametrize("step_size", [0.3, 0.75, 1.0])
@pytest.mark.parametrize("what", ["noise", "data"])
def test_what_noise_or_the_data_determine_has_the_exact_variance_at_any_step(what, step_size):
    """At a level that stays: of a prior of hardly any variance, and of one that is hardly any prior."""
    variance, sigma = {"noise": (1e-8, 0.5), "data": (1e8, 20.0)}[what]
    prior = ig.priors.Gaussian(torch.zeros(SHAPE, dtype=torch.float64), variance)
    mask = torch.arange(SIZE).reshape(SHAPE) % 2 == 0
    std, y = 0.2, torch.zeros(SHAPE, dtype=torch.float64)
    solver = PreconditionedLangevin(prior, step_size=step_size, sigma_range=(0.1, 1.0))
    _, covariance = law(solver, ig.Problem(Mask(mask), y, Gaussian(std)), [sigma] * 200)
    # the likelihood is that of data with further noise, whose images without noise are of the posterior
    further = sigma**2 - std**2 / 2
    H = mask.double() / (std**2 + further)
    exact = sigma**2 - sigma**4 * H if what == "noise" else (1 / H - sigma**2)
    found = covariance.diagonal().reshape(SHAPE)
    chosen = mask if what == "data" else mask | True
    torch.testing.assert_close(found[chosen], exact[chosen], rtol=1e-3, atol=0)


@pytest.mark.parametrize("ratio", [0.05, 0.5, 1.0, 4.0])
def test_the_stationary_variance_of_a_prior_alone_is_that_of_the_docstring(ratio):
    prior = ig.priors.Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 1.0)
    nothing = Mask(torch.zeros(SHAPE, dtype=torch.bool))
    problem = ig.Problem(nothing, torch.zeros(SHAPE, dtype=torch.float64), Gaussian(1.0))
    sigma = math.sqrt(ratio)
    solver = PreconditionedLangevin(prior, step_size=1.0, sigma_range=(0.1, 3.0))
    _, covariance = law(solver, problem, [sigma] * 400)
    j = 1 / (1 + ratio)
    expected = (1 + ratio) * (1 + j / 2) / ((1 - j / 2) * (1 + 2 * j))
    # all noise is by the root's polynomial
    assert float(covariance[0, 0]) == pytest.approx(expected * float(polynomial_root(0.0)) ** 2, rel=1e-6)


@pytest.mark.usefixtures("exactly")
@pytest.mark.parametrize("low", [0.7, 0.6])
def test_a_step_solves_the_equation_of_the_docstring(low):
    prior, high, gamma, std = correlated(), 0.7, 0.6, 0.5
    problem = problem_of(prior, "dense").repeated(1)
    A, y = problem.operator, problem.measurement
    M = A(torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)).T
    x, before, n = (prior.sample(1, seed=seed) for seed in (7, 8, 9))
    e = torch.linspace(-1, 1, 5, dtype=torch.float64)[None]
    solver, drawn = PreconditionedLangevin(prior, step_size=gamma, sigma_range=(0.1, 3.0)), iter([e, n])
    state = State(x=x, noisy=x, denoised=before)
    ends = (torch.full((1,), level, dtype=torch.float64) for level in (high, low))
    found = solver.step(problem, solver.prepare(problem), state, *ends, lambda *_: next(drawn))

    x0 = prior.denoise(x, high)
    eye, H = torch.eye(SIZE, dtype=torch.float64), M.T @ M / std**2
    values, vectors = torch.linalg.eigh(H)
    longest = 0.5 / values[-1]
    kappa = math.sqrt(low**2 - longest)  # see `UnbiasedStep`
    root = vectors @ (torch.from_numpy(polynomial_root((longest * values).numpy()))[:, None] * vectors.T)
    way = (x0 - before).flatten()
    centre = x0.flatten() + math.sqrt(low / high) / 2 * way + 0.4 * longest * H @ way
    # noise: the level, less what is left of the old; and of variance gamma (2 - gamma), of the data
    fresh = math.sqrt(low**2 - (1 - gamma) ** 2 * high**2) / gamma
    of_data = math.sqrt(2 / gamma - 1)
    noise = root @ (fresh / low * n.flatten() + of_data * kappa * M.T @ (e / std).flatten())
    downhill = M.T @ (y / std**2).flatten() - H @ centre
    z = centre + low * torch.linalg.solve(eye + kappa**2 * H, low * downhill + noise)
    expected = (1 - gamma) * x.flatten() + gamma * z
    torch.testing.assert_close(found["noisy"].flatten(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found["denoised"], x0)


def test_steps_that_make_no_sense_are_refused():
    for step_size in (0.0, 1.1, math.nan):
        with pytest.raises(ig.errors.ParameterError, match="step_size"):
            PreconditionedLangevin(correlated(), step_size=step_size, sigma_range=(0.1, 1.0))
