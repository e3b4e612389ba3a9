"""Langevin samplers against posteriors that are known.

With a normal prior every step is an affine map of the image and of its noise: what a sampler's law is follows
exactly, by pushing a mean and a root of the covariance through its steps, with no Monte-Carlo error.
"""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import invgen as ig
from invgen.noise import Gaussian, Poisson, Transmission
from invgen.operators import Downsample, Identity, Mask, MatrixOperator, Radon, Saturation
from invgen.solvers import ULA, AnnealedLangevin, PreconditionedLangevin, PredictorCorrector, State
from invgen.testing.report import distance

from ..sampled import resumed

SHAPE, SIZE = (2, 4), 8


def generator(seed):
    return torch.Generator().manual_seed(seed)


def correlated(length=2.0):
    """Images whose pixels are alike when their numbers are near."""
    n = torch.arange(SIZE, dtype=torch.float64)
    mean = torch.randn(SHAPE, generator=generator(0), dtype=torch.float64)
    return ig.priors.Gaussian(mean, torch.exp(-(n[:, None] - n).abs() / length))


def explicit(A):
    """The operator as a matrix."""
    columns = A(torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)).flatten(1)
    return MatrixOperator(columns.T, image_shape=SHAPE)


def dense(rows, condition=1.0):
    matrix = torch.randn(rows, SIZE, generator=generator(1), dtype=torch.float64)
    scale = torch.logspace(0, -math.log10(condition), rows, dtype=torch.float64)
    return MatrixOperator(scale[:, None] * matrix, image_shape=SHAPE)


MASK = Mask(torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0]], dtype=torch.bool))
OPERATORS = {
    "mask": (MASK, 0.3),
    "dense": (dense(5), 0.5),
    "ill-conditioned": (dense(SIZE, condition=30.0), 0.1),
    "blocks": (Downsample(SHAPE, 2), 0.2),
    "projections": (explicit(Radon(SHAPE, angles=3)), 0.3),
}


def problem_of(prior, name):
    A, std = OPERATORS[name]
    return measured(prior, A, Gaussian(std))


def measured(prior, A, noise):
    return ig.Problem(A, noise.sample(A(prior.sample(1, seed=3)[0]), seed=4), noise)


class Columns:
    """Zeros for the first row of a batch and `SIZE` others; then, of each call, unit vectors for as many."""

    def __init__(self, rows):
        self.rows, self.at = rows, 1 + SIZE

    def __call__(self, like):
        drawn = torch.zeros(self.rows, SIZE, dtype=like.dtype)
        drawn[self.at : self.at + SIZE] = torch.eye(SIZE, dtype=like.dtype)
        self.at += SIZE
        return drawn.reshape(like.shape)


def law(solver, problem, calls):
    """Mean and covariance of what comes down the levels with so many draws at each."""
    rows = 1 + (1 + calls) * SIZE
    repeated, levels = problem.repeated(rows), solver.levels()
    prepared = solver.prepare(repeated)
    mean, root = torch.zeros(SIZE, dtype=torch.float64), levels[0] * torch.eye(SIZE, dtype=torch.float64)
    for high, low in pairwise(levels):
        x = mean.repeat(rows, 1)
        x[1 : 1 + SIZE] += root.T
        x = x.reshape(rows, *SHAPE)
        state = solver.step(repeated, prepared, State(x=x, noisy=x), high, low, Columns(rows))
        seen, x = state.x, state["noisy"].reshape(rows, SIZE)
        mean, moved = x[0], (x - x[0]).T
        root = torch.linalg.cholesky(moved @ moved.T + 1e-14 * torch.eye(SIZE))
    seen = seen.reshape(rows, SIZE)
    return seen[0], (seen - seen[0]).T @ (seen - seen[0])


def errors(solver, problem, calls):
    """Of the pixels: the mean's in the posterior's standard deviation, and the variance's, relative."""
    mean, covariance = law(solver, problem, calls)
    exact = solver.prior.posterior(problem)
    variance = exact.covariance().diagonal()
    bias = (mean - exact.mean().flatten()) / variance.sqrt()
    return float(bias.abs().max()), float((covariance.diagonal() / variance - 1).abs().max())


# -- annealed Langevin dynamics


@pytest.mark.parametrize("name", ["mask", "dense", "ill-conditioned", "projections"])
def test_annealed_langevin_ends_at_the_posterior(name):
    """Within the figures of the certification, from 1280 evaluations."""
    prior = correlated()
    solver = AnnealedLangevin(prior, iterations=320, langevin_steps=4, step_size=0.8, sigma_range=(0.01, 3.0))
    bias, excess = errors(solver, problem_of(prior, name), calls=4)
    assert bias < 0.02
    assert excess < 0.05


def test_annealed_langevin_is_late_by_the_steps_for_each_factor_e():
    """Of one variable without data: the variance ``a / (a - 1)``, a as in the docstring."""
    prior = ig.priors.Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 1.0)
    nothing = Mask(torch.zeros(SHAPE, dtype=torch.bool))
    problem = ig.Problem(nothing, torch.zeros(SHAPE, dtype=torch.float64), Gaussian(1.0))
    for iterations in (100, 300):
        solver = AnnealedLangevin(prior, iterations=iterations, sigma_range=(1e-3, 1e2))
        a = 0.5 * 3 * iterations / math.log(1e5)
        _, covariance = law(solver, problem, calls=3)
        # and half a step more where they end, for their finite size; the next order is one part in a^2
        assert float(covariance[0, 0]) == pytest.approx(a / (a - 1) + 0.25 / a, abs=1 / a**2)


def test_annealed_langevin_takes_the_steps_of_the_paper_where_rows_are_orthonormal():
    prior, std, sigma = correlated(), 0.3, 0.7
    problem = problem_of(prior, "mask").repeated(1)
    A, y = problem.operator, problem.measurement
    x = prior.sample(1, seed=9)
    solver = AnnealedLangevin(prior, langevin_steps=1, step_size=0.25)
    state, prepared = State(x=x, noisy=x), solver.prepare(problem)
    found = solver.step(problem, prepared, state, sigma, 0.0, torch.zeros_like)["noisy"]
    eta = 0.25 * sigma**2
    expected = x + eta * (prior.score(x, sigma) + A.H(y - A(x)) / (std**2 + sigma**2))
    torch.testing.assert_close(found, expected)


def test_annealed_langevin_weighs_unequal_noise_by_its_covariance():
    prior, sigma = correlated(), 0.7
    A = OPERATORS["dense"][0]
    std = torch.linspace(0.1, 2.0, 5, dtype=torch.float64)
    problem = measured(prior, A, Gaussian(std)).repeated(1)
    x = prior.sample(1, seed=9)
    solver = AnnealedLangevin(prior, langevin_steps=1, step_size=0.25)
    state, prepared = State(x=x, noisy=x), solver.prepare(problem)
    found = solver.step(problem, prepared, state, sigma, 0.0, torch.zeros_like)["noisy"]
    M = A(torch.eye(SIZE, dtype=torch.float64).reshape(SIZE, *SHAPE)).T
    pull = M.T @ torch.linalg.solve(torch.diag(std**2) + sigma**2 * M @ M.T, (problem.measurement - A(x))[0])
    expected = x + 0.25 * sigma**2 * (prior.score(x, sigma) + pull.reshape(1, *SHAPE))
    # with the mean weight's closed form for a preconditioner conjugate gradients leave less than this
    assert distance(found, expected) < 1e-5


def test_projections_themselves_give_what_their_matrix_does(monkeypatch):
    """By conjugate gradients, as of an operator without a closed form, that go on for as long as it takes."""
    monkeypatch.setattr("invgen.solvers.langevin.annealed.SAMPLER_PRECISION", 1e-5)
    prior, A = correlated(), Radon(SHAPE, angles=3)
    problem = measured(prior, A, Gaussian(0.3))
    matrix = ig.Problem(explicit(A), problem.measurement.flatten(), Gaussian(0.3))
    solver = AnnealedLangevin(prior, iterations=10, sigma_range=(0.05, 5.0))
    found, expected = (solver(p, seed=0).x for p in (problem, matrix))
    assert distance(found, expected) < 1e-4


def test_levels_fall_by_one_factor():
    levels = AnnealedLangevin(correlated(), iterations=5, sigma_range=(0.01, 100.0)).levels()
    assert levels == pytest.approx([100, 10, 1, 0.1, 0.01, 0])


# -- predictor and corrector


@pytest.mark.parametrize("name", ["mask", "blocks"])
def test_with_corrections_the_projection_ends_at_the_posterior(name):
    """Within the figures of the certification, from 540 evaluations; without any it does not."""
    prior = correlated()
    problem = problem_of(prior, name)
    few, many = (
        errors(
            PredictorCorrector(prior, iterations=60, corrector_steps=k, snr=0.5, sigma_range=(0.01, 5.0)),
            problem,
            2 * k + 2,
        )
        for k in (0, 8)
    )
    assert few[0] > 0.1
    assert many[0] < 0.02
    assert many[1] < 0.05


def test_denoising_needs_no_correction():
    """The measurement is an image with noise of its own level: from there on reverse diffusion is exact."""
    prior = correlated()
    problem = measured(prior, Identity(SHAPE), Gaussian(0.5))
    solver = PredictorCorrector(prior, iterations=200, corrector_steps=0, sigma_range=(0.01, 5.0))
    bias, excess = errors(solver, problem, calls=2)
    assert bias < 0.02
    assert excess < 0.05


def test_with_hardly_any_noise_samples_keep_what_was_measured():
    prior = correlated()
    problem = measured(prior, MASK, Gaussian(1e-4))
    solver = PredictorCorrector(prior, iterations=50, sigma_range=(0.01, 5.0))
    drawn = solver(problem, samples=20, seed=0).samples
    apart = (drawn - problem.measurement)[:, MASK(torch.ones(SHAPE, dtype=torch.float64)) > 0]
    assert float(apart.square().mean().sqrt()) < 0.02  # noise of the lowest level, 0.01


def test_unequal_noise_takes_the_relaxed_form():
    """Pixels of nearly no noise are kept, those of noise without end are the prior's."""
    prior = ig.priors.Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 1.0)
    std = torch.tensor([1e-3, torch.inf], dtype=torch.float64).repeat(4).reshape(SHAPE)
    problem = ig.Problem(Identity(SHAPE), torch.full(SHAPE, 2.0, dtype=torch.float64), Gaussian(std))
    mean, covariance = law(
        PredictorCorrector(prior, iterations=200, corrector_steps=1, sigma_range=(0.01, 20.0)),
        problem,
        calls=2,
    )
    torch.testing.assert_close(mean[::2], torch.full((4,), 2.0, dtype=torch.float64), atol=0.02, rtol=0)
    torch.testing.assert_close(mean[1::2], torch.zeros(4, dtype=torch.float64), atol=1e-9, rtol=0)
    assert covariance.diagonal()[1::2].tolist() == pytest.approx([1.0] * 4, rel=0.05)


# -- the unadjusted algorithm


def test_ula_samples_from_the_density_that_its_steps_have():
    """Of one pixel: precision ``1 / (c + sigma^2) + 1 / std^2``, variance ``v / (1 - delta / (2 v))``."""
    c, sigma, std = 1.0, 0.5, torch.linspace(0.3, 3.0, SIZE, dtype=torch.float64).reshape(SHAPE)
    prior = ig.priors.Gaussian(torch.zeros(SHAPE, dtype=torch.float64), c)
    y = torch.linspace(-2, 2, SIZE, dtype=torch.float64).reshape(SHAPE)
    problem = ig.Problem(Identity(SHAPE), y, Gaussian(std))
    # the slowest pixel forgets its start in 21 steps
    solver = ULA(prior, iterations=100, sigma=sigma, step_size=0.8)
    drawn = solver(problem, samples=400, seed=0).samples
    v = 1 / (1 / (c + sigma**2) + std**-2)
    delta = 0.8 / (0.3**-2 + sigma**-2)
    variance = v / (1 - delta / (2 * v))
    # four standard errors of 400 draws, and what is left of the start
    assert bool(((drawn.mean(0) - v * y / std**2).abs() < 0.02 + 4 * (variance / 400).sqrt()).all())
    assert bool(((drawn.var(0) / variance - 1).abs() < 4 * math.sqrt(2 / 400)).all())
    # and all pixels together
    assert float((drawn.var(0) / variance).mean()) == pytest.approx(1.0, abs=4 * math.sqrt(2 / 400 / SIZE))


def test_ula_reports_how_well_its_chains_have_mixed():
    prior = ig.priors.Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 1.0)
    problem = ig.Problem(Identity(SHAPE), torch.zeros(SHAPE, dtype=torch.float64), Gaussian(1.0))
    mixed = ULA(prior, iterations=1000, sigma=0.5, step_size=0.8, thinning=5)(problem, samples=4, seed=0)
    assert mixed.stats["r_hat"] < 1.1
    assert 50 < mixed.stats["effective_sample_size"] <= 4 * 100 * math.log10(400)
    stuck = ULA(prior, iterations=100, sigma=0.02, thinning=5)(problem, samples=4, seed=0)
    assert stuck.stats["r_hat"] > 1.5
    short = ULA(prior, iterations=10, sigma=0.5)(problem, samples=4, seed=0)
    assert "r_hat" not in short.stats


def test_ula_follows_chains_through_chunks_and_batches():
    prior = correlated()
    problem = problem_of(prior, "mask")
    both = ig.Problem(MASK, torch.stack([problem.measurement, problem.measurement + 1]), problem.noise)
    solver = ULA(prior, iterations=60, sigma=0.3, thinning=2)
    together = solver(both, samples=3, seed=0)
    apart = replace(solver, chunk_size=1)(both, samples=3, seed=0)
    alone = solver(problem, samples=3, seed=0)
    for name in ("r_hat", "effective_sample_size"):
        assert together.stats[name].shape == (2,)
        torch.testing.assert_close(apart.stats[name], together.stats[name])
        assert alone.stats[name] == pytest.approx(float(together.stats[name][0]))


def test_ula_takes_operators_that_are_not_linear():
    """What saturation leaves of bright pixels is little; dark ones keep their posterior."""
    prior = ig.priors.Gaussian(torch.full(SHAPE, 0.5, dtype=torch.float64), 0.01)
    A = Saturation(SHAPE, high=0.6)
    problem = measured(prior, A, Gaussian(0.05))
    x = ULA(prior, iterations=200, sigma=0.05)(problem, samples=40, seed=0).samples
    assert bool(torch.isfinite(x).all())
    # the likelihood is that of the truth: the residual is about the noise
    residual = A(x.mean(0)) - problem.measurement
    assert float(residual.square().mean().sqrt()) < 0.1


def test_ula_takes_counts_behind_an_absorber():
    prior = ig.priors.Gaussian(torch.ones(SHAPE, dtype=torch.float64), 0.1)
    noise = Transmission(1000.0)
    problem = measured(prior, Identity(SHAPE), noise)
    found = ULA(prior, iterations=300, sigma=0.1)(problem, samples=60, seed=0)
    x = found.x
    # near the maximum the likelihood is normal, of the precision I0 exp(-x)
    weight = 1000 * torch.exp(-x)
    expected = (weight * -torch.log(problem.measurement / 1000) + 1 / 0.11) / (weight + 1 / 0.11)
    # half of the posterior's standard deviation, a tenth of which 60 samples leave open
    torch.testing.assert_close(x, expected, atol=0.03, rtol=0)


class Quadratic:
    """The energy of a Gaussian, and nothing else of it."""

    def __init__(self, gaussian):
        self.mean = gaussian.mean()
        self.precision = torch.linalg.inv(gaussian.covariance())

    def energy(self, x):
        away = (x - self.mean).flatten(-2)
        return (away * (away @ self.precision)).sum(-1) / 2


class QuadraticByHand(Quadratic):
    """With a gradient of its own, and an energy outside of PyTorch."""

    def energy(self, x):
        return super().energy(x).detach()

    def energy_gradient(self, x):
        return ((x - self.mean).flatten(-2) @ self.precision).unflatten(-1, SHAPE)


@pytest.mark.parametrize("make", [Quadratic, QuadraticByHand])
def test_ula_takes_an_energy_by_its_own_gradient(make):
    """One step is ``x - delta (grad(-log p(y | x)) + P (x - m)) + sqrt(2 delta) z``, whatever sigma."""
    gaussian = correlated()
    prior, problem = make(gaussian), problem_of(gaussian, "dense")
    solver = ULA(prior, iterations=1, sigma=0.4, step_size=0.5)
    x0 = gaussian.sample(1, seed=8)[0]
    found = solver(problem, x0=x0, seed=5)
    delta = 0.5 / (float(problem.lipschitz()) + 0.4**-2)
    slope = problem.gradient(x0) + ((x0 - prior.mean).flatten() @ prior.precision).reshape(SHAPE)
    noise = torch.randn(SHAPE, generator=generator(5), dtype=torch.float64)
    torch.testing.assert_close(found.x, x0 - delta * slope + math.sqrt(2 * delta) * noise)
    assert found.stats["network_evaluations"] == 1


def test_ula_samples_from_the_posterior_of_an_energy():
    """``x - delta H (x - m)`` and noise leave the covariance ``(H - delta H^2 / 2)^-1`` around m."""
    gaussian = correlated(length=1.0)
    prior, problem = Quadratic(gaussian), problem_of(gaussian, "mask")
    sigma = float(torch.linalg.eigvalsh(prior.precision).max()) ** -0.5
    drawn = ULA(prior, iterations=150, sigma=sigma, step_size=0.4)(problem, samples=400, seed=0).samples
    H = prior.precision + torch.diag(MASK(torch.ones(SHAPE, dtype=torch.float64)).flatten()) / 0.3**2
    delta = 0.4 / (0.3**-2 + sigma**-2)
    variance = torch.linalg.inv(H - delta * H @ H / 2).diagonal().reshape(SHAPE)
    mean = gaussian.posterior(problem).mean()
    assert bool(((drawn.mean(0) - mean).abs() < 4 * (variance / 400).sqrt()).all())
    assert bool(((drawn.var(0) / variance - 1).abs() < 4 * math.sqrt(2 / 400)).all())


def test_energies_without_a_derivative_are_refused_and_annealing_needs_a_denoiser():
    class Opaque(Quadratic):
        def energy(self, x):
            return super().energy(x).detach()

    problem = problem_of(correlated(), "mask")
    with pytest.raises(ig.errors.CapabilityError, match="Opaque has no derivative in PyTorch"):
        ULA(Opaque(correlated()), sigma=0.3)(problem, seed=0)
    with pytest.raises(ig.errors.CapabilityError, match="AnnealedLangevin needs a prior that is Denoiser"):
        AnnealedLangevin(Quadratic(correlated()), sigma_range=(0.1, 3.0))
    with pytest.raises(ig.errors.CapabilityError, match=r"ULA needs a prior that is Denoiser .* or Energy"):
        ULA(object(), sigma=0.1)


# -- all of them

SOLVERS = {
    "annealed": lambda prior: AnnealedLangevin(prior, iterations=15, sigma_range=(0.05, 5.0)),
    "preconditioned": lambda prior: PreconditionedLangevin(prior, iterations=15, sigma_range=(0.05, 5.0)),
    "predictor-corrector": lambda prior: PredictorCorrector(prior, iterations=15, sigma_range=(0.05, 5.0)),
    "ula": lambda prior: ULA(prior, iterations=30, sigma=0.3, thinning=2),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_of_complex_images_both_parts_have_the_posterior_variance(name):
    prior = ig.priors.Gaussian(torch.zeros(4, 4, dtype=torch.complex128), 1.0)
    mask = torch.arange(16).reshape(4, 4) % 2 == 0
    noise = Gaussian(0.5)
    problem = ig.Problem(
        Mask(mask, field="complex"), noise.sample(torch.zeros(4, 4, dtype=torch.complex128), seed=0), noise
    )
    solver = replace(SOLVERS[name](prior), iterations=200)
    if name == "ula":  # whose prior is smoothed
        solver = replace(solver, sigma=0.5)
        prior = ig.priors.Gaussian(torch.zeros(4, 4, dtype=torch.complex128), 1.25)
    drawn = solver(problem, samples=60, seed=0).samples
    exact = prior.posterior(problem).covariance().diagonal().real
    spread = drawn - drawn.mean(0)
    for part in (spread.real, spread.imag):
        # 16 pixels of 60 samples: a standard error of five percent, and some percent of bias
        assert float(part.square().mean() / exact.mean()) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_run_resumes_to_the_bit(name, tmp_path):
    prior = correlated()
    problem, solver = problem_of(prior, "mask"), SOLVERS[name](prior)
    whole = solver(problem, samples=2, seed=0)
    again = resumed(solver, problem, 2, tmp_path / "checkpoint", at=7)
    assert torch.equal(again.samples, whole.samples)
    assert again.stats.get("r_hat") == whole.stats.get("r_hat")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda prior: AnnealedLangevin(prior, step_size=1.0), "step_size"),
        (lambda prior: AnnealedLangevin(prior, langevin_steps=0), "langevin_steps"),
        (lambda prior: PredictorCorrector(prior, corrector_steps=-1), "corrector_steps"),
        (lambda prior: PredictorCorrector(prior, snr=0.8), "snr"),
        (lambda prior: ULA(prior, sigma=0.1, step_size=2.0), "step_size"),
        (lambda prior: ULA(prior, sigma=0.0), "sigma"),
        (lambda prior: ULA(prior), "no value range: give sigma"),
        (lambda prior: ULA(prior, sigma=0.1, thinning=0), "thinning"),
        (lambda prior: ULA(prior, sigma=0.1, burn_in=-1), "burn_in"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ig.errors.ParameterError, match=words):
        make(correlated())


def test_what_a_method_cannot_do_is_refused_with_what_can():
    prior = correlated()
    noise = Gaussian(0.1)
    nonlinear = ig.Problem(Saturation(SHAPE, high=0.6), torch.full(SHAPE, 0.5, dtype=torch.float64), noise)
    with pytest.raises(ig.errors.CapabilityError, match="ULA"):
        AnnealedLangevin(prior)(nonlinear)
    counts = ig.Problem(Identity(SHAPE), torch.ones(SHAPE, dtype=torch.float64), Poisson())
    with pytest.raises(ig.errors.CapabilityError, match="unbounded curvature"):
        ULA(prior, sigma=0.1)(counts)


def test_a_chain_that_diverges_is_named_with_what_to_do():
    class Expanding:
        def denoise(self, x, sigma):
            return 100 * x

    problem = ig.Problem(Identity(SHAPE), torch.ones(SHAPE, dtype=torch.float64), Gaussian(1.0))
    with pytest.raises(ig.errors.DivergenceError, match=r"ULA diverged at iteration .*step_size"):
        ULA(Expanding(), sigma=1.0, iterations=500)(problem, seed=0)
