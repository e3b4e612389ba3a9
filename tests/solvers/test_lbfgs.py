"""L-BFGS of many problems at once, against closed forms and SciPy."""

import pytest
import torch
from scipy.optimize import minimize

from invgen.core.batching import chosen
from invgen.solvers.lbfgs import LBFGS
from invgen.solvers.point import Point

from .latent.toys import normal


def objective(function):
    """Points of a function of the last axis."""

    def at(z):
        with torch.enable_grad():
            where = z.detach().requires_grad_()
            value = function(where)
            (gradient,) = torch.autograd.grad(value.sum(), where)
        return Point(z, value.detach(), torch.zeros_like(value), gradient, z)

    return at


def minimized(function, z, iterations, tolerance=1e-9):
    """The last points, and the evaluations that each took."""
    method, evaluate = LBFGS(), objective(function)
    point = evaluate(z)
    memory, moving = method.begin(point), torch.ones(z.shape[:-1], dtype=torch.bool)
    needed = torch.zeros(z.shape[:-1])
    for _ in range(iterations):
        reached, remembered, measure = method.advance(evaluate, point, memory)
        point, memory = chosen(moving, reached, point), chosen(moving, remembered, memory)
        needed = needed + moving
        moving = moving & (measure > tolerance)
    return point, needed, moving


def rosenbrock(z):
    return (100 * (z[..., 1:] - z[..., :-1].square()).square() + (1 - z[..., :-1]).square()).sum(-1)


def test_the_minimum_of_a_quadratic_is_found_whatever_its_scale():
    """Batch elements of curvatures that differ by a factor of a trillion."""
    curvature = torch.logspace(0, 3, 8, dtype=torch.float64)
    scales = torch.tensor([1e-6, 1.0, 1e6], dtype=torch.float64)
    center = normal(3, 8)

    def function(z):
        return scales * (curvature * (z - center).square()).sum(-1) / 2

    point, _, moving = minimized(function, torch.zeros(3, 8, dtype=torch.float64), 200)
    assert not bool(moving.any())
    # the decrement is in units of the curvature
    error = (scales[:, None] * curvature * (point.x - center).square()).sum(-1).sqrt()
    assert float(error.amax()) < 1e-8


def test_evaluations_are_like_those_of_scipy():
    starts = 0.5 * normal(5, 6)
    point, needed, moving = minimized(rosenbrock, starts, 300)
    assert not bool(moving.any())
    torch.testing.assert_close(point.x, torch.ones_like(point.x), atol=1e-7, rtol=0)
    for i, start in enumerate(starts):
        peer = minimize(
            lambda z: float(rosenbrock(torch.tensor(z))),
            start.numpy(),
            jac=lambda z: objective(rosenbrock)(torch.tensor(z)).gradient.numpy(),
            method="L-BFGS-B",
            options={"maxcor": 10, "gtol": 1e-9, "ftol": 0, "maxiter": 1000},
        )
        assert float(needed[i]) < 1.5 * peer.nfev


def test_each_element_goes_its_own_way():
    starts = torch.stack([0.5 * normal(6), 3 * normal(6, seed=1), torch.ones(6, dtype=torch.float64)])
    together, needed, _ = minimized(rosenbrock, starts, 40)
    for i in range(3):
        alone, own, _ = minimized(rosenbrock, starts[i : i + 1], 40)
        torch.testing.assert_close(together.x[i], alone.x[0], rtol=1e-9, atol=1e-12)
        assert needed[i] == own[0]
    assert needed[2] == 1  # it starts at the minimum


def test_the_objective_never_rises_and_infinity_is_stepped_back_from():
    """``z - log z`` for positive z, whose first steps leave what it is defined for."""

    def function(z):
        return torch.where(z > 0, 1e4 * (z - torch.log(z.clamp(min=1e-300))), torch.inf).sum(-1)

    method, evaluate = LBFGS(), objective(function)
    point = evaluate(torch.tensor([[0.1], [1e-3], [30.0]], dtype=torch.float64))
    memory = method.begin(point)
    for _ in range(60):
        reached, memory, _ = method.advance(evaluate, point, memory)
        assert bool((reached.energy <= point.energy * (1 + 1e-13)).all())
        point = reached
    torch.testing.assert_close(point.x, torch.ones_like(point.x), atol=1e-7, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_ends_where_the_precision_does(dtype):
    """With a tolerance that cannot be reached: no search goes on for ever."""
    point, _, moving = minimized(rosenbrock, (0.5 * normal(4, 6)).to(dtype), 500, tolerance=0.0)
    assert not bool(moving.any())
    assert float((point.x - 1).abs().amax()) < 1e4 * torch.finfo(dtype).eps


def test_kinks_are_no_obstacle():
    """``|z_1| + 10 |z_2 - z_1|``, whose gradient never falls."""

    def function(z):
        return z[..., 0].abs() + 10 * (z[..., 1] - z[..., 0]).abs()

    point, _, _ = minimized(function, torch.tensor([[1.3, -0.7], [0.4, 0.5]], dtype=torch.float64), 200)
    assert float(point.energy.amax()) < 1e-3
