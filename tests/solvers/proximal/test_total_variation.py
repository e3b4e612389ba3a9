"""Total variation: closed forms, conditions of the minimum, and the weight from the data."""

from dataclasses import dataclass, replace

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import FanBeam, Identity, MatrixOperator, Radon
from invgen.priors import TotalVariation
from invgen.solvers import FISTA, PDHG

EXACT = {"iterations": 20000, "tolerance": 1e-10}
SOLVERS = [PDHG(TotalVariation(), **EXACT), FISTA(TotalVariation(), inner_steps=40, **EXACT)]
NAMES = ["PDHG", "FISTA"]


def solver_with(solver, prior):
    return replace(solver, prior=prior)


def step(dtype=torch.float64):
    y = torch.ones(20, dtype=dtype)
    y[8:] = 4
    return y


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
@pytest.mark.parametrize("std", [None, 0.7])
@pytest.mark.parametrize("phase", [1.0, 0.6 + 0.8j])
def test_denoising_a_step_moves_each_level_by_the_weight_over_its_width(solver, std, phase):
    """The derivative of ``w m^2 / 2 sigma^2 + weight * jump`` by a level's move m, w its width."""
    weight = 1.5
    y = step() if phase == 1.0 else phase * step(torch.complex128)
    A = Identity((20,), "complex" if y.is_complex() else "real")
    problem = ig.Problem(A, y, None if std is None else Gaussian(std))
    x = solver_with(solver, TotalVariation(weight, axes=(-1,)))(problem).x
    move = weight * (1.0 if std is None else std**2)
    expected = step()
    expected[:8] += move / 8
    expected[8:] -= move / 12
    torch.testing.assert_close(x, phase * expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_a_large_weight_leaves_the_mean(solver):
    y = step()
    x = solver_with(solver, TotalVariation(1000.0, axes=(-1,)))(ig.Problem(Identity((20,)), y)).x
    torch.testing.assert_close(x, y.mean().expand(20), rtol=1e-6, atol=0)


def test_a_pixel_counts_its_differences_jointly_or_one_by_one():
    x = torch.zeros(5, 6, dtype=torch.float64)
    x[2, 3] = 1
    assert float(TotalVariation(1.0).value(x)) == pytest.approx(2 + 2**0.5)
    assert float(TotalVariation(1.0, isotropic=False).value(x)) == pytest.approx(4)
    assert float(TotalVariation(2.0).value(3j * x)) == pytest.approx(6 * (2 + 2**0.5))
    assert float(TotalVariation(1.0, nonnegative=True).value(-x)) == float("inf")


def projections():
    A = Radon((24, 24), 15)
    x = phantoms.shepp_logan(12).image((24, 24), 1.0)
    noise = Gaussian(0.4)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


def compressed_sensing():
    """Random measurements, well conditioned, so that plain proximal gradients converge to many digits."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(900, 576, generator=generator, dtype=torch.float64) / 30
    A = MatrixOperator(matrix, image_shape=(24, 24))
    noise = Gaussian(0.2)
    x = phantoms.shepp_logan(12).image((24, 24), 1.0)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_fista_and_pdhg_reach_the_same_image(isotropic, nonnegative):
    prior = TotalVariation(2.0, isotropic=isotropic, nonnegative=nonnegative)
    problem = compressed_sensing()
    one = PDHG(prior, iterations=4000, tolerance=1e-9)(problem)
    other = FISTA(prior, iterations=1000, tolerance=1e-11, inner_steps=10)(problem)
    assert (one.x - other.x).norm() / one.x.norm() < 1e-5
    objectives = [float(rec.history["objective"][-1]) for rec in (one, other)]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-8)


@pytest.mark.parametrize("isotropic", [True, False])
def test_pdhg_ends_with_a_certificate(isotropic):
    """A dual image z with ``K.H z = -grad f(x)``, ``|z| <= weight`` and ``<z, K x> = weight |K x|``."""
    problem, seen = projections(), []
    prior = TotalVariation(2.0, isotropic=isotropic)
    rec = PDHG(prior, iterations=6000, tolerance=1e-10)(problem, callback=lambda k, state: seen.append(state))
    (K, g), z = prior.terms(problem.operator.domain)[0], seen[-1].variables["duals"][0]
    slope = problem.gradient(rec.x)
    assert (K.H(z) + slope).norm() / problem.gradient(problem.zeros()).norm() < 1e-6
    assert g.magnitude(z).max() <= 2.0 * (1 + 1e-12)
    gap = prior.value(rec.x) - (z * K(rec.x)).sum()
    assert 0 <= gap + 1e-9 < 1e-4 * prior.value(rec.x)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_without_negative_pixels_the_image_has_none(solver):
    solver = solver_with(solver, TotalVariation(0.5, nonnegative=True))
    problem = projections()
    x = replace(solver, iterations=100)(problem).x
    assert (x >= 0).all()
    free = PDHG(TotalVariation(0.5), iterations=100)(problem).x
    assert (free < 0).any()


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_dead_rays_say_nothing(solver):
    A = Radon((16, 16), 12, method="joseph")
    std = torch.full(A.range.shape, 0.3, dtype=torch.float64)
    std[3] = 0.6
    std[:, 5:9] = torch.inf
    y = A(phantoms.disc(5.0).image((16, 16), 1.0))
    spoiled = y.clone()
    spoiled[:, 5:9] += 100
    solver = replace(solver, prior=TotalVariation(1.0), iterations=100)
    one, other = (solver(ig.Problem(A, data, Gaussian(std))).x for data in (y, spoiled))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_weights_can_be_one_for_each_element(solver):
    """Also in another precision than the data."""
    A, y = Identity((20,)), torch.stack([step(), step()]).float()
    weights = torch.tensor([0.5, 3.0], dtype=torch.float64)
    solver = replace(solver, iterations=100)
    both = solver_with(solver, TotalVariation(weights, axes=(-1,)))(ig.Problem(A, y)).x
    assert both.dtype == torch.float32
    for one, image in zip(weights.tolist(), both, strict=True):
        alone = solver_with(solver, TotalVariation(one, axes=(-1,)))(ig.Problem(A, y[0])).x
        torch.testing.assert_close(image, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("std", [0.2, 1.0])
@pytest.mark.parametrize("views", [20, 60])
def test_the_automatic_weight_fits_the_data_to_their_noise(std, views):
    A = Radon((64, 64), views)
    x = phantoms.shepp_logan(32).image((64, 64), 1.0)
    noise = Gaussian(std)
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise)
    rec = PDHG(TotalVariation())(problem)
    ratio = float(problem.misfit(rec.x) / problem.expected_misfit())
    assert 0.9 < ratio < 1.1
    assert rec.stats["weight"] > 0


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("known", [True, False])
def test_the_automatic_weight_of_a_limited_angle_fits_the_data_to_their_noise(known):
    # the iteration comes slowly down to the noise here; a weight that is lowered meanwhile ends at nothing
    angles = torch.arange(45, dtype=torch.float64) * (torch.pi / 90)
    A = FanBeam((64, 64), angles, 400.0, 540.0, pixel_size=1.2)
    g = A.geometry
    object = phantoms.Ellipses(
        [0.04, -0.04, -0.04], [0, 10, -14], [0, 12, -5], [34, 6, 5], [34, 6, 9], [0, 0, 0.5]
    )
    clean = object.fan_sinogram(A.angles, 400.0, 540.0, g.detector_count, g.detector_spacing).float()
    noise = Gaussian(0.003 * float(clean.max()))
    problem = ig.Problem(A, noise.sample(clean, seed=0), noise if known else None)
    x = FISTA(TotalVariation(), iterations=300, tolerance=1e-6)(problem).x
    assert float(problem.misfit(x) / problem.expected_misfit()) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_the_automatic_weight_is_nearly_as_good_as_the_best():
    """Against the truth, within half more of the error that the best of many weights leaves."""
    A = Radon((64, 64), 30)
    x = phantoms.shepp_logan(32).image((64, 64), 1.0)
    noise = Gaussian(0.5)
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise)
    automatic = PDHG(TotalVariation())(problem)
    sweep = [PDHG(TotalVariation(automatic.stats["weight"] * 2.0**k))(problem).x for k in range(-5, 4)]
    assert (automatic.x - x).norm() < 1.5 * min((image - x).norm() for image in sweep)
    assert (automatic.x - x).norm() < (ig.solvers.FBP()(problem).x - x).norm()


def test_the_automatic_weight_follows_the_scale_of_the_data():
    """With known noise a thousandfold image needs a thousandth of the weight."""
    problem = projections()
    weight = TotalVariation().resolve(problem).weight
    scaled = TotalVariation().resolve(problem.scaled(1000.0)).weight
    assert scaled * 1000 == pytest.approx(weight, rel=1e-3)


def test_each_element_of_a_batch_gets_its_own_weight():
    A = Radon((32, 32), 40)
    x = phantoms.shepp_logan(16).image((32, 32), 1.0).expand(2, 32, 32)
    noise = Gaussian(torch.tensor([0.2, 1.0], dtype=torch.float64)[:, None, None])
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise)
    rec = PDHG(TotalVariation())(problem)
    ratio = problem.misfit(rec.x) / problem.expected_misfit()
    assert ((ratio > 0.9) & (ratio < 1.1)).all()
    assert rec.stats["weight"].shape == (2,)


@dataclass(frozen=True)
class Ridge:
    """``|x|^2 / 2``, with a closed-form proximal map."""

    weight: float = 2.0

    def value(self, x):
        return self.weight / 2 * x.abs().square().sum(-1)

    def prox(self, x, step):
        return x / (1 + self.weight * step)

    def resolve(self, problem):
        return self


def test_fista_takes_any_closed_form_proximal_map():
    M = torch.randn(12, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.randn(3, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = FISTA(Ridge(), iterations=3000, tolerance=1e-14)(ig.Problem(MatrixOperator(M), y)).x
    expected = torch.linalg.solve(M.T @ M + 2 * torch.eye(6), M.T @ y.mT).mT
    torch.testing.assert_close(x, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_transmission_counts_are_fitted_by_fista_and_pdhg_alike():
    """Not a quadratic: the exact negative log-likelihood of photon counts."""
    A = Radon((16, 16), 20, method="joseph")
    x = 0.1 * phantoms.disc(5.0).image((16, 16), 1.0)
    noise = ig.noise.Transmission(500.0)
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise)
    prior = TotalVariation(30.0, nonnegative=True)
    one = PDHG(prior, iterations=1000, tolerance=1e-9)(problem)
    other = FISTA(prior, iterations=300, tolerance=1e-9, inner_steps=20)(problem)
    objectives = [float(problem.negative_log_likelihood(r.x) + prior.value(r.x)) for r in (one, other)]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-8)
    assert (one.x - other.x).norm() / one.x.norm() < 1e-3


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ParameterError, match="positive"):
        TotalVariation(-1.0)
    with pytest.raises(ParameterError, match="auto"):
        TotalVariation("automatic")
    with pytest.raises(ParameterError, match="axes"):
        TotalVariation(1.0, axes=(0, 1))
    with pytest.raises(ShapeError, match="image_shape"):
        PDHG(TotalVariation(1.0))(ig.Problem(MatrixOperator(torch.eye(6)), torch.ones(6)))
    with pytest.raises(CapabilityError, match="real"):
        PDHG(TotalVariation(1.0, nonnegative=True))(
            ig.Problem(Identity((4, 4), "complex"), torch.ones(4, 4, dtype=torch.complex64))
        )
    with pytest.raises(CapabilityError, match="PDHG"):
        PDHG(Ridge())(ig.Problem(Identity((6,)), torch.ones(6)))
