"""The twisting function and the noise of a step against explicit matrices."""

from itertools import pairwise

import pytest
import torch

import invgen as ig
from invgen.certification import CASES
from invgen.operators import Downsample, MatrixOperator
from invgen.priors import Gaussian
from invgen.solvers.particles.step import given
from invgen.solvers.particles.twist import DataStep

from .problems import SHAPE, correlated, dense, explicit, measured


def jacobian(prior, sigma):
    """Of the denoiser of a Gaussian: ``C (C + sigma^2)^-1``."""
    C = prior.covariance()
    return C @ torch.linalg.inv(C + sigma**2 * torch.eye(len(C), dtype=C.dtype))


def twist(problem, prior, x, sigma, variance, steps):
    J = jacobian(prior, sigma)
    problem = problem.repeated(len(x))
    return DataStep(problem).twist(
        prior.denoise(x, sigma), lambda v: (v.flatten(1) @ J.mT).reshape(v.shape), sigma, variance, steps
    )


def exact(problem, prior, x, sigma):
    """Value and guide by explicit matrices, of noise of any levels."""
    A, J = explicit(problem.operator), jacobian(prior, sigma).to(x.dtype)
    std = torch.as_tensor(problem.noise.std.value).expand(len(A)).to(A.dtype)
    S = torch.diag(std**2) + sigma**2 * A @ J @ A.mH
    r = (problem.measurement - problem.operator(prior.denoise(x, sigma))).flatten(1)
    u = torch.linalg.solve(S, r.mT).mT
    guide = sigma**2 * (u @ (J.mH @ A.mH).mT)
    return -(r.conj() * u).sum(1).real / 2, guide.reshape(x.shape)


@pytest.mark.parametrize("sigma", [0.05, 0.8, 20.0])
@pytest.mark.parametrize("case", ["real", "complex", "unequal noise", "small noise", "blocks"])
def test_enough_steps_give_the_exact_likelihood_of_the_noisy_image(case, sigma):
    field = "complex" if case == "complex" else "real"
    prior = correlated(field)
    A = Downsample(SHAPE, 2) if case == "blocks" else dense(field)
    std = {"unequal noise": torch.tensor([0.1, 0.2, 0.4, 0.3]).double(), "small noise": 1e-3}.get(case, 0.3)
    problem, x = measured(A, prior, std), prior.sample(5, 3)
    x = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(4), dtype=x.dtype)
    value, guide = exact(problem, prior, x, sigma)
    found = twist(problem, prior, x, sigma, sigma**2 / (1 + sigma**2), 8)
    assert torch.allclose(found.value, value, rtol=1e-4)
    assert float((found.guide - guide).norm() / guide.norm()) < 1e-2
    # from below, nearer with every step
    few = [twist(problem, prior, x, sigma, sigma**2 / (1 + sigma**2), k).value for k in (1, 2, 3, 8)]
    errors = [float((v - value).abs().max()) for v in few]
    assert all(later <= earlier * (1 + 1e-6) + 1e-9 for earlier, later in pairwise(errors))


def test_one_step_is_exact_for_one_measurement_and_for_an_isotropic_prior():
    prior, sigma = correlated(), 0.6
    A = MatrixOperator(dense()(torch.eye(8, dtype=torch.float64).reshape(8, *SHAPE)).mT[:1], SHAPE)
    problem, x = measured(A, prior), prior.sample(5, 3)
    assert torch.allclose(twist(problem, prior, x, sigma, 0.1, 1).value, exact(problem, prior, x, sigma)[0])
    prior, v = Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 0.5), 0.5 * sigma**2 / (0.5 + sigma**2)
    problem, x = measured(dense(), prior), prior.sample(5, 3)
    assert torch.allclose(twist(problem, prior, x, sigma, v, 1).value, exact(problem, prior, x, sigma)[0])


def test_the_twist_ends_at_the_likelihood():
    prior, problem, sigma = correlated(), measured(dense(), correlated()), 1e-4
    x = prior.sample(5, 3)
    expected = -problem.repeated(5).negative_log_likelihood(prior.denoise(x, sigma))
    # they differ by sigma^2 |A|^2 / std^2, 1e-7
    assert torch.allclose(twist(problem, prior, x, sigma, sigma**2, 3).value, expected, rtol=1e-6)


@pytest.mark.parametrize("field", ["real", "complex"])
def test_the_noise_of_a_step_has_its_covariance_and_density(field):
    A, prior, low, high = dense(field), correlated(field), 0.3, 2.0
    problem = measured(A, prior, 0.2)
    matrix = explicit(A)
    n, m = 8, 4
    eye = torch.eye(2 * n + m, dtype=matrix.dtype)
    white, other, e = eye.split([n, n, m], 1)
    white, other = (part.reshape(-1, *SHAPE) for part in (white, other))
    step = DataStep(problem.repeated(len(eye)))
    # each unit vector gives a column of the map from white numbers to the noise
    columns, surplus = step.noise(white, other, 0.2 * e, low, high)
    L = columns.flatten(1).mT
    G = matrix.mH @ matrix / 0.2**2
    one = torch.eye(n, dtype=matrix.dtype)
    covariance = (one + low * G) @ torch.linalg.inv(one + high * G)
    assert torch.allclose(L @ L.mH, covariance, atol=1e-10)
    rows = columns.flatten(1)
    whitened = torch.linalg.solve(covariance, rows.mT).mT - rows
    squares = (rows.conj() * whitened).sum(1).real
    parts = 2 if field == "complex" else 1
    expected = squares / 2 + parts / 2 * torch.linalg.slogdet(covariance).logabsdet
    assert torch.allclose(surplus, expected, rtol=1e-8)


def test_unknown_determinants_are_left_out():
    problem = measured(dense(), correlated(), torch.tensor([0.1, 0.2, 0.4, 0.3]).double())
    assert DataStep(problem.repeated(2)).log_determinant(0.1, 0.2) == 0
    assert DataStep(measured(dense(), correlated()).repeated(2)).log_determinant(0.1, 0.2) < 0


def test_rounding_of_the_image_does_not_move_the_likelihood():
    """Where the residual is far larger than the noise, between the modes of a mixture."""
    setting, sigma = CASES["mixture-8-4"].setting(50_012), 18.0
    A, prior = setting.operator, setting.prior
    y = setting.noise.sample(A(prior.sample(1, 1)[0]), 2)
    assert y.dtype == torch.float32
    problem = ig.Problem(A, y, setting.noise).repeated(500)
    x = prior.sample(500, 3)
    x = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(4))

    def value(x):
        with torch.enable_grad():
            at = x.clone().requires_grad_()
            denoised = prior.denoise(at, sigma)
        found = DataStep(problem).twist(
            denoised.detach(),
            lambda v: torch.autograd.grad(denoised, at, v, retain_graph=True)[0],
            sigma,
            given(sigma, 400.0),
            3,
        )
        assert found.guide.dtype == x.dtype
        return found.value

    assert float((value(x) - value((1 + 1e-6) * x)).abs().max()) < 0.05
