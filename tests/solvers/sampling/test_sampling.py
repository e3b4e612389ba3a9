"""What all posterior samplers share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

import invgen as ig
from invgen.core.errors import (
    CapabilityError,
    DivergenceError,
    FileError,
    ParameterError,
    ShapeError,
)
from invgen.noise import Poisson
from invgen.operators import MRI, Identity, Mask, MatrixOperator, Operator
from invgen.priors import Diffusion, Gaussian, TotalVariation
from invgen.priors.nets import EDM, UNet
from invgen.solvers import DDS, PosteriorSampler, State

SHAPE = (3, 4)
NORMAL = Gaussian(torch.full(SHAPE, 0.5, dtype=torch.float64), 0.2)


@dataclass(frozen=True)
class Noisy(PosteriorSampler):
    """Adds noise to the first image, and denoises it once: no posterior, but every part of the base."""

    iterations: int = 3

    def steps(self, problem, prepared, state) -> Iterator[State]:
        seen.append(problem)
        draws, x = self.draws(problem, state), state.x
        for k in range(state.get("k", lambda: 0), self.iterations):
            x = self.denoised(x + draws(x), 1.0)
            yield State(x=x, k=k + 1, draws=draws.state)


@dataclass(frozen=True)
class General(Noisy):
    """Takes whatever has a likelihood."""

    general: ClassVar[bool] = True


@dataclass(frozen=True)
class Small(Noisy):
    """As if three samples were all the memory there is."""

    memory: ClassVar[int] = 3 * 12


#: The problems that samplers were given, in the prior's unit.
seen: list[ig.Problem] = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


class Wiener(torch.nn.Module):
    """A network that knows a normal prior around one half."""

    def forward(self, x, sigma, label=None, extra=None):
        return 0.5 + (x - 0.5) / (1 + 4 * sigma.reshape(-1, 1, 1, 1) ** 2)


class Squares(Operator):
    """Not linear."""

    def __init__(self):
        super().__init__(SHAPE, SHAPE)

    def _apply(self, x):
        return x**2


class Detached:
    """A denoiser outside of PyTorch."""

    def denoise(self, x, sigma):
        return x.detach() / 2


def measured(batch=(), dtype=torch.float64, std=0.1, A=None):
    A = A or Identity(SHAPE)
    x = (
        A.domain.random(batch, seed=0, dtype=dtype)
        .abs()
        .to(dtype if A.domain.field == "real" else dtype.to_complex())
    )
    noise = ig.noise.Gaussian(std)
    return ig.Problem(A, noise.sample(A(x), seed=1), noise)


def test_samples_mean_and_spread():
    result = Noisy(NORMAL)(measured((2,)), samples=5, seed=0)
    assert result.samples.shape == (5, 2, *SHAPE)
    assert torch.equal(result.x, result.samples.mean(0))
    assert torch.equal(result.std, result.samples.std(0))
    assert Noisy(NORMAL)(measured(), seed=0).std is None
    assert result.history["residual"].shape == (3, 5, 2)
    assert result.stats["samples"] == 5


def test_each_sample_follows_from_a_seed_of_its_own():
    problem = measured()
    drawn = Noisy(NORMAL)(problem, samples=4, seed=7).samples
    for i in range(4):
        assert torch.equal(Noisy(NORMAL)(problem, seed=7 + i).x, drawn[i])


def test_a_batch_draws_what_its_elements_draw():
    problem = measured((3,))
    drawn = Noisy(NORMAL)(problem, samples=2, seed=0).samples
    for i, y in enumerate(problem.measurement):
        alone = Noisy(NORMAL)(ig.Problem(problem.operator, y, problem.noise), samples=2, seed=0).samples
        assert torch.equal(alone, drawn[:, i])


@pytest.mark.parametrize("seed", [0, -1, 2**40])
def test_any_whole_number_is_a_seed(seed):
    problem = measured()
    first, second = (Noisy(NORMAL)(problem, seed=seed) for _ in range(2))
    assert torch.equal(first.x, second.x)
    assert first.stats["seed"] == seed


def test_without_a_seed_one_is_made_and_reported():
    problem, state = measured(), torch.get_rng_state()
    first, second = Noisy(NORMAL)(problem), Noisy(NORMAL)(problem)
    assert not torch.equal(first.x, second.x)
    assert torch.equal(Noisy(NORMAL)(problem, seed=first.stats["seed"]).x, first.x)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("solver", "sizes"),
    [(Noisy(NORMAL), [7]), (Noisy(NORMAL, chunk_size=2), [2, 2, 2, 1]), (Small(NORMAL), [3, 3, 1])],
)
def test_samples_are_drawn_in_chunks(solver, sizes):
    problem = measured()
    result = solver(problem, samples=7, seed=0)
    assert [len(p.measurement) for p in seen] == sizes
    assert torch.equal(result.samples, Noisy(NORMAL)(problem, samples=7, seed=0).samples)
    assert result.stats["network_evaluations"] == 3
    assert result.history["residual"].shape == (3, 7)


def test_the_walk_is_in_the_priors_unit_with_the_noise_along():
    """An image whose white is 50, for a prior of images up to 2."""
    prior, problem = Diffusion(Wiener(), value_range=(0, 2)), measured((2,), std=0.1)
    result = Noisy(prior, scale=50.0)(problem, samples=3, seed=0)
    assert torch.allclose(seen[0].measurement, problem.measurement.expand(3, 2, *SHAPE) * 2 / 50)
    assert float(seen[0].noise.std.value) == pytest.approx(0.1 * 2 / 50)
    assert result.stats["scale"].tolist() == [50.0, 50.0]
    # 50 / 2 of what comes out in the prior's unit
    inner = Noisy(prior, scale=2.0)(problem.scaled(2 / 50), samples=3, seed=0)
    assert torch.allclose(result.samples, 25 * inner.samples)


def test_each_element_has_its_scale():
    prior, problem = Diffusion(Wiener()), measured((2,))
    both = Noisy(prior, scale=torch.tensor([2.0, 30.0]))(problem, samples=2, seed=0)
    for i, scale in enumerate((2.0, 30.0)):
        one = ig.Problem(problem.operator, problem.measurement[i], problem.noise)
        alone = Noisy(prior, scale=scale)(one, samples=2, seed=0)
        assert torch.allclose(alone.samples, both.samples[:, i])
        assert alone.stats["scale"] == scale


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_found_scale_follows_the_data(factor):
    prior, problem = Diffusion(Wiener()), measured((2,))
    found, scaled = (Noisy(prior)(p, seed=0) for p in (problem, problem.scaled(factor)))
    assert torch.allclose(scaled.stats["scale"], factor * found.stats["scale"])
    assert torch.allclose(scaled.x, factor * found.x)


def test_priors_without_a_range_have_no_scale():
    assert "scale" not in Noisy(NORMAL)(measured(), seed=0).stats


def test_noise_that_is_not_known_is_assumed():
    y = measured().measurement
    Noisy(NORMAL)(ig.Problem(Identity(SHAPE), y), seed=0)
    assert bool((seen[0].noise.std.value > 0).all())


def test_the_pullback_is_the_adjoint_of_the_derivative():
    covariance = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)).double())[0]
    covariance = covariance @ torch.diag(torch.linspace(0.1, 2, 12, dtype=torch.float64)) @ covariance.mT
    prior = Gaussian(torch.zeros(SHAPE, dtype=torch.float64), covariance)
    x, v = torch.randn(2, 5, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    denoised, pullback = Noisy(prior).denoised_with_pullback(x, 0.7)
    J = covariance @ torch.linalg.inv(covariance + 0.49 * torch.eye(12))
    assert torch.equal(denoised, prior.denoise(x, 0.7))
    assert not denoised.requires_grad
    for _ in range(2):  # as often as one likes
        assert torch.allclose(pullback(v).flatten(1), v.flatten(1) @ J)


def test_a_denoiser_outside_of_pytorch_has_no_pullback():
    with pytest.raises(CapabilityError, match="Detached"):
        Noisy(Detached()).denoised_with_pullback(torch.ones(SHAPE), 1.0)
    assert Noisy(Detached())(measured(), seed=0).x.shape == SHAPE


def interrupt(after):
    """Ctrl-C in that iteration, of all chunks counted together."""
    calls = []

    def callback(iteration, state):
        calls.append(iteration)
        if len(calls) == after:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize("after", [2, 5, 8])
def test_an_interrupted_call_goes_on_in_the_chunk_that_it_was_in(tmp_path, after):
    """Of three chunks with three iterations each."""
    solver, problem, path = Noisy(NORMAL, chunk_size=2), measured(), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        solver(problem, samples=5, seed=3, checkpoint=path, callback=interrupt(after))
    done = []
    result = solver(problem, samples=5, seed=3, checkpoint=path, callback=lambda k, state: done.append(k))
    assert len(done) == 9 - after
    assert torch.equal(result.samples, solver(problem, samples=5, seed=3).samples)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changed", [{"seed": 4}, {"samples": 6}])
def test_a_checkpoint_of_other_samples_is_refused(tmp_path, changed):
    path, problem = tmp_path / "run", measured()
    with pytest.raises(KeyboardInterrupt):
        Noisy(NORMAL)(problem, samples=5, seed=3, checkpoint=path, callback=interrupt(2))
    with pytest.raises(FileError, match="another"):
        Noisy(NORMAL)(problem, **{"samples": 5, "seed": 3, **changed}, checkpoint=path)


def test_a_diverging_chain_is_named_with_a_remedy():
    class Exploding:
        def denoise(self, x, sigma):
            return 1e200 * x

    with pytest.raises(DivergenceError, match=r"Noisy diverged at iteration \d.*noise level"):
        Noisy(Exploding())(measured(), seed=0)


def test_an_image_to_start_from():
    problem = measured((2,))
    one = torch.full(SHAPE, 0.3, dtype=torch.float64)
    same = [Noisy(NORMAL)(problem, x0=x0, seed=0).x for x0 in (one, one.expand(2, *SHAPE))]
    assert torch.equal(*same)
    with pytest.raises(ShapeError):
        Noisy(NORMAL)(problem, x0=one[:2])


@pytest.mark.parametrize("solver", [Noisy(NORMAL), Noisy(NORMAL, chunk_size=2)], ids=["at once", "in chunks"])
def test_each_sample_starts_from_an_image_of_its_own(solver):
    problem = ig.Problem(Identity(SHAPE), torch.zeros(2, *SHAPE, dtype=torch.float64), ig.noise.Gaussian(1.0))
    starts = torch.arange(3.0, dtype=torch.float64)[:, None, None, None] + torch.zeros(3, 2, *SHAPE)
    together = solver(problem, x0=starts, samples=3, seed=5)
    for i, start in enumerate(starts):
        assert torch.equal(together.samples[i], solver(problem, x0=start, samples=1, seed=5 + i).x)
    *_, last = solver.iterate(problem, starts, samples=3, seed=5)
    assert torch.equal(last.x, together.samples)
    with pytest.raises(ShapeError, match="x0"):
        solver(problem, x0=starts[:2], samples=3)


@pytest.mark.parametrize("scale", [0, -1.0, "large", torch.tensor([1.0, 0.0])])
def test_a_scale_is_positive(scale):
    with pytest.raises(ParameterError, match="scale"):
        Noisy(NORMAL, scale=scale)


def test_what_does_not_fit_is_refused():
    problem = measured()
    with pytest.raises(ShapeError, match="scale"):
        Noisy(Diffusion(Wiener()), scale=torch.ones(3))(measured((2,)))
    for chunk_size in (0, 1.5):
        with pytest.raises(ParameterError, match="chunk_size"):
            Noisy(NORMAL, chunk_size=chunk_size)
    with pytest.raises(CapabilityError, match="TotalVariation"):
        Noisy(TotalVariation())
    with pytest.raises(ParameterError, match="samples"):
        Noisy(NORMAL)(problem, samples=0)
    with pytest.raises(ParameterError, match="seed"):
        Noisy(NORMAL)(problem, seed="0")


def test_what_takes_normal_noise_and_linear_operators_refuses_others():
    y = torch.ones(SHAPE).double()
    counts = ig.Problem(Identity(SHAPE), y, Poisson(1.0))
    squares = ig.Problem(Squares(), y, ig.noise.Gaussian(0.1))
    with pytest.raises(CapabilityError, match="Poisson"):
        Noisy(NORMAL)(counts)
    with pytest.raises(CapabilityError, match=r"not linear.*DPS"):
        Noisy(NORMAL)(squares)
    for problem in (counts, squares):
        assert General(NORMAL)(problem, seed=0).x.shape == SHAPE
    with pytest.raises(CapabilityError, match="noise level"):
        General(NORMAL)(ig.Problem(Squares(), y))


def test_images_of_a_nonlinear_operator_keep_their_unit():
    problem = ig.Problem(Squares(), torch.ones(SHAPE).double(), ig.noise.Gaussian(0.1))
    prior = Diffusion(Wiener())
    assert General(prior)(problem, seed=0).stats["scale"] == 1
    with pytest.raises(CapabilityError, match="unit"):
        General(prior, scale=2.0)(problem, seed=0)


def test_complex_images_of_single_precision():
    A = MRI(SHAPE, torch.tensor([1, 0, 1, 1]).bool())
    problem = measured((2,), torch.float32, A=A)
    result = Noisy(Diffusion(Wiener(), field="complex"))(problem, samples=2, seed=0)
    assert result.samples.dtype == torch.complex64
    assert result.std.dtype == torch.float32


@pytest.mark.parametrize("std", [0.02, 2.0])
def test_noise_of_unequal_level_counts_by_weight(std):
    """Of two measurements of one number the better one says what it is."""
    A = MatrixOperator(torch.ones(2, 1, dtype=torch.float64))
    noise = ig.noise.Gaussian(torch.tensor([std, 0.2]).double())
    problem = ig.Problem(A, torch.tensor([0.0, 1.0]).double(), noise)
    prior = Gaussian(torch.zeros(1, dtype=torch.float64), 100.0)
    x = float(DDS(prior, gamma=1e4)(problem, samples=8, seed=0).x)
    weights = std**-2, 0.2**-2
    assert x == pytest.approx(weights[1] / sum(weights), abs=0.02)


def test_dead_measurements_say_nothing():
    std = torch.full(SHAPE, 0.1).double()
    std[0] = torch.inf
    y = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)).double()
    spoiled = y.clone()
    spoiled[0] = 1e3
    given, other = (
        Noisy(NORMAL)(ig.Problem(Mask(torch.ones(SHAPE)), data, ig.noise.Gaussian(std)), seed=0).x
        for data in (y, spoiled)
    )
    assert torch.equal(given, other)


def test_a_prior_of_colours_takes_no_samples_for_channels():
    problem = ig.Problem(Identity((8, 8)), torch.zeros(8, 8), ig.noise.Gaussian(0.1))
    network = EDM(UNet(3, 3, widths=(8,)), 0.5)
    with pytest.raises(ShapeError, match="channels among them"):
        DDS(Diffusion(network, channels=3), iterations=2)(problem, samples=3)
