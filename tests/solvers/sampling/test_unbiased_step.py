"""The step of split Gibbs sampling without a split, against explicit matrices."""

import math

import pytest
import torch

import invgen as ig
from invgen.core.draws import Draws
from invgen.noise import Gaussian
from invgen.operators import Mask, MatrixOperator
from invgen.solvers.sampling.unbiased_step import UnbiasedStep

from ..impulses import moved

SHAPE = (2, 3)
EYE = torch.eye(6, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    monkeypatch.setattr("invgen.solvers.sampling.unbiased_step.SAMPLER_PRECISION", 1e-9)


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def problem(kind):
    """Conjugate gradients, a closed form, and noise of unequal variances with a dead pixel."""
    A = MatrixOperator(normal(4, 6, seed=1), image_shape=SHAPE)
    noise = Gaussian(0.5)
    if kind == "mask":
        A = Mask(torch.tensor([[1.0, 0, 1], [0, 1, 1]], dtype=torch.float64))
    if kind == "weights":
        noise = Gaussian(torch.tensor([0.2, 1.0, math.inf, 0.5], dtype=torch.float64))
    return ig.Problem(A, noise.sample(A(normal(*SHAPE, seed=3)), seed=4), noise)


def hessian(prob):
    """``A.H W A`` as a matrix."""
    return prob.repeated(6).normal(EYE.reshape(6, *SHAPE)).flatten(1)


def law(prob, rho, **given):
    """Of z given x: what multiplies x, the mean at zero, the covariance."""
    numbers = prob.measurement.numel() + 6

    def step(problem, x, draws):
        return UnbiasedStep(problem)(x, torch.full(problem.batch_shape, rho).double(), draws, **given)

    zero = torch.zeros(SHAPE, dtype=torch.float64)
    at, spread = moved(step, prob, zero, 0 * EYE, numbers)
    both = moved(step, prob, zero, EYE, numbers)[1]
    columns = [moved(step, prob, e.reshape(SHAPE), 0 * EYE, numbers)[0] - at for e in EYE]
    T = torch.stack([c.flatten() for c in columns], 1)
    torch.testing.assert_close(both - spread, T @ T.mT)
    return T, at.flatten(), spread


@pytest.mark.parametrize("kind", ["matrix", "mask", "weights"])
@pytest.mark.parametrize("rho", [0.05, 0.2, 3.0])
def test_image_given_z_is_of_the_prior_times_a_gaussian(kind, rho):
    prob = problem(kind)
    H, L = hessian(prob), float(prob.lipschitz())
    kappa2 = max(rho**2 - 0.5 / L, 1e-3 * rho**2)
    eff = torch.linalg.solve(EYE + kappa2 * H, H)
    b = torch.linalg.solve(EYE + kappa2 * H, prob.backprojection.flatten())
    T, at, spread = law(prob, rho)
    torch.testing.assert_close(T, EYE - rho**2 * eff, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(at, rho**2 * b, rtol=1e-5, atol=1e-6)
    # the root is a polynomial: two of ten thousand
    torch.testing.assert_close(spread, rho**2 * (EYE - rho**2 * eff), rtol=3e-4, atol=3e-4 * rho**2)
    # of the joint density, likelihood times this Gaussian, the precision of x is 1 / rho^2 in all directions
    precision = eff + T.mT @ torch.linalg.solve(rho**2 * (EYE - rho**2 * eff), T)
    torch.testing.assert_close(precision, EYE / rho**2, rtol=1e-6, atol=1e-6 / rho**2)


@pytest.mark.parametrize("rho", [0.05, 3.0])
def test_overrelaxed_draw_keeps_the_density_of_z(rho):
    prob, over = problem("matrix"), 0.8
    x = normal(*SHAPE, seed=8)
    T, at, spread = law(prob, rho)
    mean = (T @ x.flatten() + at).reshape(SHAPE)
    before = mean + normal(*SHAPE, seed=9)

    def step(problem, z, draws):
        given = x.expand(problem.batch_shape + SHAPE)
        return UnbiasedStep(problem)(given, torch.full(problem.batch_shape, rho).double(), draws, z, over)

    reached, after = moved(step, prob, before, spread, prob.measurement.numel() + 6)
    torch.testing.assert_close(reached, mean - over * (before - mean), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(after, spread, rtol=1e-6, atol=1e-6)


def test_a_batch_of_unequal_problems_is_each_alone():
    A = MatrixOperator(normal(4, 6, seed=1), image_shape=SHAPE)
    std = torch.tensor([0.5, 0.05], dtype=torch.float64)
    both = ig.Problem(A, normal(2, 4, seed=2), Gaussian(std[:, None]))
    x, rho = normal(2, 2, *SHAPE, seed=3), torch.tensor([[0.1, 0.4], [0.1, 0.4]], dtype=torch.float64)
    z = UnbiasedStep(both.repeated(2))(x, rho, Draws([7, 8], 2))
    for i in range(2):
        alone = ig.Problem(A, both.measurement[i], Gaussian(float(std[i]))).repeated(2)
        torch.testing.assert_close(UnbiasedStep(alone)(x[:, i], rho[:, i], Draws([7, 8], 2)), z[:, i])


def test_complex_images_have_the_covariance_in_both_parts():
    A = MatrixOperator(normal(4, 6, seed=1, dtype=torch.complex128), image_shape=SHAPE)
    noise, n, rho = Gaussian(0.5), 4000, 0.2
    prob = ig.Problem(A, noise.sample(A(normal(*SHAPE, seed=3, dtype=torch.complex128)), seed=4), noise)
    x = torch.zeros(n, *SHAPE, dtype=torch.complex128)
    z = UnbiasedStep(prob.repeated(n))(x, torch.full((n,), rho).double(), Draws(range(n), 2)).flatten(1)
    identity = torch.eye(6, dtype=torch.complex128)
    H = prob.repeated(6).normal(identity.reshape(6, *SHAPE)).flatten(1).mT
    kappa2 = max(rho**2 - 0.5 / float(prob.lipschitz()), 1e-3 * rho**2)
    exact = rho**2 * (identity - rho**2 * torch.linalg.solve(identity + kappa2 * H, H))
    white = torch.linalg.solve(torch.linalg.cholesky(exact), (z - z.mean(0)).mT).mT
    found = white.mT @ white.conj() / n
    assert float((found / 2 - identity).abs().max()) < 5 / math.sqrt(n)


@pytest.mark.parametrize("kind", ["dense", "mask", "weights"])
def test_noise_of_image_and_data_have_factors_of_their_own(kind):
    """What each gives alone adds up to the covariance; the mean keeps."""
    prob = problem(kind)
    rho = 1.5 / math.sqrt(float(prob.lipschitz()))
    mean, _, whole = law(prob, rho)
    of_data, of_image = (law(prob, rho, data=d, image=1 - d)[2] for d in (1.0, 0.0))
    torch.testing.assert_close(of_data + of_image, whole)
    twice = law(prob, rho, data=2.0, image=3.0)
    torch.testing.assert_close(twice[0], mean)
    torch.testing.assert_close(twice[2], 4 * of_data + 9 * of_image)


@pytest.mark.parametrize("factor", [0.3, 2.0])
def test_what_the_data_determine_is_the_part_by_which_they_move_z(factor):
    prob = problem("weights")
    rho = factor / math.sqrt(float(prob.lipschitz()))
    given = UnbiasedStep(prob).determined(normal(*SHAPE, seed=8), torch.tensor(rho).double()).flatten()
    part = min(rho**2, 0.5 / float(prob.lipschitz())) * hessian(prob)
    torch.testing.assert_close(given, part @ normal(*SHAPE, seed=8).flatten())
    if factor < 0.5:  # but for the least part that is split
        torch.testing.assert_close(law(prob, rho)[0], EYE - part, rtol=0, atol=1e-3)
