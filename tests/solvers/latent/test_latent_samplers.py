"""Markov chains in latent variables against posteriors that are known: in closed form, and on grids."""

import math
from dataclasses import replace

import pytest
import torch

import invgen as ig
from invgen.certification import measures
from invgen.core.errors import CapabilityError, DivergenceError, ParameterError, ShapeError
from invgen.noise import Gaussian, Poisson
from invgen.operators import Identity, Mask, MatrixOperator, Saturation, Space
from invgen.solvers import LatentHMC, LatentLangevin
from invgen.solvers.latent.hmc import van_der_corput
from invgen.solvers.latent.sampler import Spread
from invgen.solvers.point import Point
from invgen.solvers.sampling.dual_averaging import DualAveraging
from invgen.solvers.sampling.metropolis import langevin, metropolis

from ..sampled import resumed

SHAPE = (2, 4)
BRIEF = {"hmc": {"iterations": 12, "leapfrog_steps": 3}, "langevin": {"iterations": 20, "thinning": 1}}
SOLVERS = {"hmc": LatentHMC, "langevin": LatentLangevin}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Linear:
    """Images ``W z + b``: Gaussian, of a rank below the number of pixels."""

    def __init__(self, latents=3, widths=None, scale=1.0):
        self.latent_shape = (latents,)
        widths = torch.ones(latents, dtype=torch.float64) if widths is None else widths
        self.W = scale * torch.linalg.qr(normal(8, latents)).Q * widths
        self.b = scale * normal(8, seed=7)

    def decode(self, z):
        return (z @ self.W.mT.to(z) + self.b.to(z)).unflatten(-1, SHAPE)

    def latent_log_prob(self, z):
        return -(z.square() + math.log(2 * math.pi)).sum(-1) / 2


def measured(generator, rows=5, std=0.3, batch=()):
    A, noise = MatrixOperator(normal(rows, 8, seed=1) / math.sqrt(8), SHAPE), Gaussian(std)
    truth = generator.decode(normal(*batch, *generator.latent_shape, seed=2))
    return ig.Problem(A, noise.sample(A(truth), seed=3), noise)


def posterior_of(generator, problem):
    """Mean and standard deviation of each pixel, by the linear algebra of latent variables."""
    W = generator.W
    M = problem.operator(W.mT.unflatten(-1, SHAPE)).flatten(1).mT
    weight = float(problem.noise.std.value) ** -2
    covariance = torch.linalg.inv(weight * M.mT @ M + torch.eye(len(W.mT), dtype=W.dtype))
    residual = problem.measurement - problem.operator(generator.b.unflatten(0, SHAPE))
    mean = covariance @ (weight * M.mT @ residual.flatten())
    return W @ mean + generator.b, (W @ covariance @ W.mT).diagonal().sqrt()


def after_burn_in(solver, problem, samples, every=1):
    """The images of all chains at each of the later iterations, (iterations, samples, *image)."""
    burn_in = solver.iterations // 2
    states = enumerate(solver.iterate(problem, samples=samples, seed=0))
    return torch.stack([state.x for k, state in states if k >= burn_in and (k - burn_in) % every == 0])


# -- the posterior


@pytest.mark.parametrize(
    "solver",
    [
        LatentHMC(Linear(), iterations=200, leapfrog_steps=6),
        LatentHMC(Linear(), iterations=200, leapfrog_steps=6, annealed=True),
        LatentLangevin(Linear(), iterations=400),
    ],
    ids=["hmc", "annealed", "langevin"],
)
def test_of_a_linear_generator_mean_and_variance_are_those_of_the_closed_form(solver):
    generator = solver.prior
    problem = measured(generator)
    mean, std = posterior_of(generator, problem)
    draws = after_burn_in(solver, problem, 400).reshape(-1, 8)
    # in a subspace of three dimensions, of forty thousand draws that are alike within a chain: a hundredth
    assert measures.mean_bias(draws, mean, std) < 0.02**2
    assert float((draws.var(0) / std.square() - 1).abs().max()) < 0.05


@pytest.mark.slow
def test_ill_conditioned_latents_are_sampled_by_their_own_step_sizes():
    """Of axes that the data fix 1 to 30: mean within 2 %, variance within 5 %, R-hat below 1.01."""
    generator = Linear(4, torch.logspace(0, -1.5, 4, dtype=torch.float64))
    y = generator.decode(normal(4, seed=2))
    problem = ig.Problem(Identity(SHAPE), Gaussian(0.03).sample(y, seed=3), Gaussian(0.03))
    mean, std = posterior_of(generator, problem)
    solver = LatentHMC(generator)
    draws = after_burn_in(solver, problem, 200).reshape(-1, 8)
    assert measures.mean_bias(draws, mean, std) < 0.02**2
    assert measures.variance_error(draws, std) < 0.05**2
    stats = LatentHMC(generator, iterations=600)(problem, samples=100, seed=0).stats
    assert stats["r_hat"] < 1.01


def test_chains_of_a_linear_generator_have_mixed():
    solver = LatentHMC(Linear(), iterations=400, leapfrog_steps=6, burn_in=100)
    stats = solver(measured(solver.prior), samples=20, seed=0).stats
    assert stats["r_hat"] < 1.01
    assert stats["effective_sample_size"] > 2000  # of 6000 draws
    assert stats["stuck"] == 0


class Parabola:
    """Latent variables, and their ``z1^2 + z2 / 2``, which alone is measured: two modes along an arc."""

    latent_shape = (2,)

    def decode(self, z):
        return torch.stack([z[..., 0], z[..., 1], z[..., 0] ** 2 + z[..., 1] / 2], -1)[..., None, :]

    def latent_log_prob(self, z):
        return -z.square().sum(-1) / 2


THIRD = Mask(torch.tensor([[0, 0, 1]]).bool())
NOISES = {"gaussian": Gaussian(0.3), "counts": Poisson(0.2)}


def exact(problem, generator, n, seed):
    """Images drawn from the posterior on a grid, uniformly within its cells."""
    line = torch.linspace(-4, 4, 801, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    log_p = generator.latent_log_prob(z) - problem.negative_log_likelihood(generator.decode(z))
    random = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(torch.softmax(log_p, 0), n, replacement=True, generator=random)
    jitter = torch.rand(n, 2, generator=random, dtype=torch.float64) - 0.5
    return generator.decode(z[chosen] + 0.01 * jitter)


def compared(solver, noise, chains, sets, every):
    """Distance of sets of draws from exact ones, over that of exact ones from one another."""
    y = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    problem = ig.Problem(THIRD, y, noise)
    drawn = after_burn_in(solver, problem, chains, every)[:sets].flatten(2)
    assert len(drawn) == sets
    a, b = (exact(problem, solver.prior, sets * chains, seed).flatten(1).split(chains) for seed in (1, 2))
    far = sum(measures.sliced_wasserstein(x, z) for x, z in zip(drawn, a, strict=True))
    return far / sum(measures.sliced_wasserstein(x, z) for x, z in zip(a, b, strict=True))


@pytest.mark.parametrize("noise", NOISES)
def test_two_modes_along_an_arc_are_sampled_as_on_a_grid(noise):
    """Nearly independent sets of a hundred draws: the quotient scatters by some five percent."""
    solver = LatentHMC(Parabola(), iterations=240, leapfrog_steps=6)
    assert compared(solver, NOISES[noise], chains=100, sets=20, every=6) < 1.2


@pytest.mark.slow
@pytest.mark.parametrize("annealed", [False, True])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", SOLVERS)
def test_larger_sets_are_as_on_a_grid_too(name, noise, annealed):
    solver = SOLVERS[name](Parabola(), annealed=annealed)
    every = solver.iterations // 2 // 20
    assert compared(solver, NOISES[noise], chains=400, sets=20, every=every) < 1.2


def test_any_operator_and_noise_has_its_own_gradient():
    generator, z = Linear(), normal(4, 3, seed=5)
    saturated = Saturation(SHAPE, high=0.6)
    positive = MatrixOperator(normal(5, 8, seed=1).abs(), SHAPE)
    problems = [
        measured(generator),
        ig.Problem(saturated, torch.full(SHAPE, 0.5, dtype=torch.float64), Gaussian(0.3)),
        ig.Problem(positive, torch.full((5,), 3.0, dtype=torch.float64), Poisson()),
    ]
    for problem in problems:
        repeated = problem.repeated(4)
        found = LatentHMC(generator).prepare(repeated)(z, power=0.5)
        at = z.clone().requires_grad_()
        misfit = repeated.negative_log_likelihood(generator.decode(at))
        energy = misfit / 2 - generator.latent_log_prob(at)
        torch.testing.assert_close(found.energy, energy.detach())
        finite = energy.isfinite()
        assert bool(finite.any())
        (slope,) = torch.autograd.grad(energy[finite].sum(), at)
        torch.testing.assert_close(found.gradient[finite], slope[finite])
        assert not bool(found.gradient[~finite].any())


# -- proposals


def quartic(x):
    """``exp(-x^4 / 4 - x)``: no Gaussian, and not symmetric."""
    return Point(x, (x**4 / 4).sum(-1), x.sum(-1), x**3 + 1, x)


class Fixed:
    """In place of random numbers."""

    def __init__(self, value):
        self.value = value

    def __call__(self, like, axes=None):
        return self.value.expand(like.shape)


def test_the_acceptance_of_langevin_steps_is_that_of_detailed_balance():
    """``p(x) q(x, x') a(x, x') = p(x') q(x', x) a(x', x)`` with the densities of both ways written out."""
    x, n, width = normal(50, 1), normal(50, 1, seed=1), 0.7
    at = quartic(x)
    there, log_ratio = langevin(quartic, at, width, n, Space((1,)))

    def log_q(start, end):
        mean = start - width**2 / 2 * (start**3 + 1)
        return torch.distributions.Normal(mean, width).log_prob(end)[:, 0]

    forth, back = log_q(x, there.x) - at.energy, log_q(there.x, x) - there.energy
    torch.testing.assert_close(log_ratio, back - forth)
    torch.testing.assert_close(forth + log_ratio.clamp(max=0), back + (-log_ratio).clamp(max=0))


def test_leapfrog_steps_can_be_reversed_and_keep_volumes():
    solver, width = LatentHMC(Linear(), leapfrog_steps=4), torch.tensor(0.3, dtype=torch.float64)

    def end(x, p):
        momenta = []

        def density(x):
            momenta.append(x)
            return quartic(x)

        there, log_ratio = solver.propose(density, quartic(x), width, 5, Fixed(p), Space((1,)))
        return there, log_ratio, len(momenta)

    x, p = normal(20, 1), normal(20, 1, seed=1)
    there, log_ratio, steps = end(x, p)
    assert 1 < steps < 8
    # the momentum at the end, from the energy that the ratio keeps, has two signs: the one that leads back
    size = (2 * (quartic(x).energy + p[:, 0].square() / 2 - log_ratio - there.energy)).clamp(min=0).sqrt()
    back = [end(there.x, sign * size[:, None])[0].x for sign in (1, -1)]
    nearest = torch.stack([(b - x).abs() for b in back]).amin(0)
    assert float(nearest.max()) < 1e-6
    torch.testing.assert_close(
        torch.stack([end(there.x, sign * size[:, None])[1] for sign in (1, -1)])[
            torch.stack([(b - x).abs()[:, 0] for b in back]).argmin(0), torch.arange(20)
        ],
        -log_ratio,
        atol=1e-6,
        rtol=1e-6,
    )


def test_one_leapfrog_step_is_one_of_langevin_dynamics():
    x, n, width = normal(30, 1), normal(30, 1, seed=1), torch.tensor(0.4, dtype=torch.float64)
    one = LatentHMC(Linear(), leapfrog_steps=1)
    both = [
        solver.propose(quartic, quartic(x), width, 3, Fixed(n), Space((1,)))
        for solver in (one, LatentLangevin(Linear()))
    ]
    torch.testing.assert_close(both[0][0].x, both[1][0].x)
    torch.testing.assert_close(both[0][1], both[1][1])


def test_numbers_of_leapfrog_steps_have_the_mean_that_was_asked_for():
    found = [1 + int(van_der_corput(k) * 19) for k in range(1024)]
    assert min(found) == 1
    assert max(found) == 19
    assert sum(found) / len(found) == pytest.approx(10, abs=0.05)
    assert [van_der_corput(k) for k in range(5)] == [0, 0.5, 0.25, 0.75, 0.125]


def test_what_is_not_a_number_is_not_accepted():
    x = torch.zeros(5, 1, dtype=torch.float64)
    at = quartic(x)
    log_ratio = torch.tensor([math.nan, -math.inf, math.inf, 50.0, -50.0], dtype=torch.float64)
    kept, accepted, probability = metropolis(at, quartic(x + 1), log_ratio, Fixed(x[0]))
    assert accepted.tolist() == [False, False, True, True, False]
    assert kept.x[:, 0].tolist() == [0, 0, 1, 1, 0]
    assert probability.tolist() == pytest.approx([0, 0, 1, 1, 0])


# -- adaptation


def test_dual_averaging_is_algorithm_5():
    acceptances, target = [0.1, 0.9, 0.95, 0.4, 1.0], 0.8
    found = DualAveraging.around(torch.tensor([math.log(0.3)], dtype=torch.float64))
    H, average, mu, gamma = 0.0, math.log(0.3), math.log(0.3), 0.1
    for m, a in enumerate(acceptances, 1):
        found = found.updated(m, torch.tensor([a], dtype=torch.float64), target)
        H = (1 - 1 / (m + 10)) * H + (target - a) / (m + 10)
        log_step = mu - math.sqrt(m) / gamma * H
        average = m**-0.75 * log_step + (1 - m**-0.75) * average
    assert float(found.log_step) == pytest.approx(log_step)
    assert float(found.average) == pytest.approx(average)


def test_spread_is_the_standard_deviation_shrunk_by_a_few_draws():
    z = normal(50, 4, 3) * torch.tensor([0.1, 1.0, 5.0], dtype=torch.float64)
    spread = Spread.of(z[0])
    for n, draw in enumerate(z, 1):
        spread = spread.updated(n, draw)
    variance = z.var(0)
    expected = ((50 * variance + 5 * variance.mean(-1, keepdim=True)) / 55).sqrt()
    torch.testing.assert_close(spread.widths(50, Space((3,))), expected)
    assert bool((Spread.of(z[0]).widths(50, Space((3,))) == 1).all())


@pytest.mark.parametrize("name", SOLVERS)
def test_step_sizes_are_found_in_the_burn_in_and_kept(name):
    generator = Linear()
    solver = SOLVERS[name](generator, iterations=240, **({"leapfrog_steps": 4} if name == "hmc" else {}))
    states = list(solver.iterate(measured(generator), samples=20, seed=0))
    steps = torch.stack([state["step"][0] for state in states])
    assert bool((steps[60] != steps[61]).all())
    assert bool((steps[119:] == steps[119]).all())
    acceptance = float(states[-1]["accepted"].mean()) / 120
    assert acceptance == pytest.approx(solver.target, abs=0.12)
    scales = torch.stack([state["scale"] for state in states])
    assert bool((scales[:89] == 1).all())
    assert bool((scales[89:] == scales[89]).all())
    assert not bool((scales[89] == 1).any())


# -- seeds, batches, units


@pytest.mark.parametrize("name", SOLVERS)
def test_samples_follow_from_their_seeds_in_batches_and_chunks(name):
    generator = Linear()
    problem = measured(generator, batch=(2,))
    solver = SOLVERS[name](generator, **BRIEF[name])
    whole = solver(problem, samples=3, seed=5)
    chunked = replace(solver, chunk_size=1)(problem, samples=3, seed=5)
    torch.testing.assert_close(chunked.samples, whole.samples, rtol=1e-8, atol=1e-8)
    for statistic in ("r_hat", "acceptance", "step_size", "stuck"):
        torch.testing.assert_close(chunked.stats[statistic], whole.stats[statistic], rtol=1e-6, atol=1e-8)
        assert whole.stats[statistic].shape == (2,)
    for i, y in enumerate(problem.measurement):
        alone = solver(ig.Problem(problem.operator, y, problem.noise), seed=6)
        torch.testing.assert_close(alone.x, whole.samples[1, i], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("at", [3, 9])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_run_resumes_to_the_bit(name, at, tmp_path):
    generator = Linear()
    problem = measured(generator)
    solver = SOLVERS[name](generator, annealed=True, **BRIEF[name])
    whole = solver(problem, samples=2, seed=0)
    again = resumed(solver, problem, 2, tmp_path / "checkpoint", at=at)
    assert torch.equal(again.samples, whole.samples)
    for statistic in ("r_hat", "acceptance", "step_size"):
        assert again.stats[statistic] == whole.stats[statistic]


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20])
@pytest.mark.parametrize("name", SOLVERS)
def test_images_and_data_of_another_unit_give_the_same_chains(name, factor):
    one, other = Linear(), Linear(scale=factor)
    problem = measured(one)
    scaled = ig.Problem(problem.operator, factor * problem.measurement, Gaussian(0.3 * factor))
    found, expected = (
        SOLVERS[name](generator, **BRIEF[name])(p, samples=2, seed=0).samples
        for generator, p in ((other, scaled), (one, problem))
    )
    torch.testing.assert_close(found / factor, expected, rtol=1e-9, atol=1e-9)


def test_samples_have_what_every_reconstruction_has():
    generator = Linear()
    solver = LatentHMC(generator, iterations=40, leapfrog_steps=4)
    truth = generator.decode(normal(3, seed=2))
    found = solver(measured(generator), samples=30, seed=0)
    assert found.samples.shape == (30, *SHAPE)
    torch.testing.assert_close(found.std, found.samples.std(0))
    assert 0 <= float(found.coverage(truth)) <= 1
    # one for each leapfrog step, and the first
    steps = sum(1 + int(van_der_corput(k) * 7) for k in range(40))
    assert found.stats["network_evaluations"] == steps + 1


# -- what cannot be


class Logarithmic(Linear):
    """Not a number for a half of the latent variables, and infinite at their edge."""

    def decode(self, z):
        return super().decode(z) + z[..., :1, None].log()


@pytest.mark.parametrize("name", SOLVERS)
def test_places_without_a_density_are_not_accepted(name):
    """Chains that begin there look for others until they find one."""
    generator = Logarithmic()
    y = generator.decode(torch.tensor([0.5, 0.2, -0.3], dtype=torch.float64))
    problem = ig.Problem(Identity(SHAPE), y, Gaussian(1.0))
    states = list(SOLVERS[name](generator, iterations=60).iterate(problem, samples=10, seed=0))
    assert not bool((states[0]["z"][:, 0] > 0).all())
    assert bool((states[-1]["z"][:, 0] > 0).all())
    assert bool(states[-1].x.isfinite().all())


def test_chains_that_find_no_density_are_refused():
    class Nowhere(Linear):
        def decode(self, z):
            return super().decode(z) / 0 * 0

    with pytest.raises(DivergenceError, match="2 of 2 chains of LatentHMC have found no latent variables"):
        LatentHMC(Nowhere(), iterations=5)(measured(Linear()), samples=2, seed=0)


def test_chains_that_are_stuck_are_reported():
    generator = Linear()
    problem = measured(generator, rows=8, std=1e-6)
    stats = LatentHMC(generator, iterations=12, burn_in=0)(problem, samples=4, seed=0).stats
    assert stats["acceptance"] == 0
    assert stats["stuck"] == 4
    assert stats["r_hat"] == math.inf


def test_what_is_no_generator_or_has_no_derivative_is_refused():
    with pytest.raises(CapabilityError, match=r"needs a prior that is Generator \(decode"):
        LatentHMC(ig.priors.TotalVariation())

    class Detached(Linear):
        def decode(self, z):
            return super().decode(z.detach())

    with pytest.raises(CapabilityError, match="needs the derivative of decode; that of Detached has none"):
        LatentHMC(Detached())(measured(Linear()), seed=0)
    with pytest.raises(ShapeError, match=r"Linear makes images of the shape \(2, 4\); those of Identity"):
        LatentHMC(Linear())(ig.Problem(Identity((3, 3)), torch.ones(3, 3), Gaussian(1.0)), seed=0)


@pytest.mark.parametrize("name", ["iterations", "leapfrog_steps", "thinning"])
def test_counts_are_positive(name):
    with pytest.raises(ParameterError, match=name):
        LatentHMC(Linear(), **{name: 0})
