"""Total variation of counts by PDHG: its minimiser is that of the exact likelihood, which others find too."""

import pytest
import torch
from scipy.optimize import minimize

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError
from invgen.noise import Poisson
from invgen.operators import Identity, Mask, MatrixOperator, Radon
from invgen.priors import Tikhonov, TotalVariation
from invgen.solvers import MLEM, PDHG

EXACT = {"iterations": 6000, "tolerance": 1e-9}


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def counts(gain=1.0, size=6):
    A = MatrixOperator(uniform(4 * size * size, size * size), image_shape=(size, size))
    x = 5 * phantoms.disc(size / 3).image((size, size), 1.0).double() + 1
    noise = Poisson(gain)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


@pytest.mark.parametrize("gain", [0.3, 1.0, 40.0])
def test_the_proximal_map_of_the_likelihood_is_a_minimiser(gain):
    """Zero derivative where the minimum is inside; also of hardly any counts, and far off."""
    v = torch.tensor([-3e4, -2.0, 0.0, 1e-9, 5.0, 2e5], dtype=torch.float64)[:, None]
    y = torch.tensor([0.0, 1e-3, 4.0, 1e4], dtype=torch.float64)
    for step in (1e-3, 1.0, 1e3):
        u = Poisson(gain).prox(v, y, step)
        slope = (1 - y / u) / gain + (u - v) / step
        scale = (1 + y / u) / gain + (u + v.abs()) / step
        inside = u > 0
        assert (u[:, 1:] > 0).all()
        assert (slope[inside].abs() < 1e-12 * scale[inside]).all()
        # at zero the function only rises: no counts, and nothing that draws upwards
        assert (1 / gain - v.expand_as(u)[~inside] / step >= 0).all()


@pytest.mark.parametrize("gain", [0.5, 1.0])
def test_hardly_any_prior_leaves_the_most_likely_image(gain):
    """As likely as that of expectation maximization, up to the bound on what this has left to gain."""
    problem = counts(gain)
    em = MLEM(iterations=1000, tolerance=0)(problem)
    left = float(em.history["optimality"][-1] * problem.measurement.sum() / gain)
    x = PDHG(TotalVariation(1e-7, nonnegative=True), **EXACT)(problem).x
    gained = float(problem.negative_log_likelihood(em.x) - problem.negative_log_likelihood(x))
    assert 0 <= gained <= left


@pytest.mark.slow
def test_a_smooth_penalty_gives_what_a_quasi_newton_method_finds():
    problem, prior = counts(), Tikhonov(0.05)

    def f(x):
        image = torch.tensor(x.reshape(6, 6), requires_grad=True)
        value = problem.noise.negative_log_likelihood(problem.operator(image), problem.measurement, (-1,))
        total = value + prior.value(image).sum()
        (slope,) = torch.autograd.grad(total, image)
        return float(total), slope.numpy().ravel()

    start = torch.full((36,), 3.0).double().numpy()
    found = minimize(f, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-9})
    rec = PDHG(prior, **EXACT)(problem)
    assert rec.stats["converged"]
    expected = torch.tensor(found.x.reshape(6, 6))
    assert (rec.x - expected).norm() < 1e-5 * expected.norm()
    # what Karush, Kuhn and Tucker ask for, and the independent method's own digits do not limit
    slope = problem.gradient(rec.x) + 0.05 * rec.x
    assert slope.norm() < 1e-7 * problem.operator.H(torch.ones_like(problem.measurement)).norm()


@pytest.mark.parametrize("operator", ["matrix", "projection"])
def test_total_variation_of_counts_has_a_certificate(operator):
    """A dual image with ``K.H z = -grad f`` where pixels are positive, and no less where they are zero."""
    if operator == "matrix":
        problem = counts(size=8)
    else:
        A = Radon((12, 12), 10, method="joseph")
        x = 20 * phantoms.disc(4.0).image((12, 12), 1.0).double() + 5  # no ray without counts
        problem = ig.Problem(A, Poisson().sample(A(x), seed=0), Poisson())
    seen, prior = [], TotalVariation(0.3, nonnegative=True)
    solver = PDHG(prior, iterations=6000, tolerance=1e-7)
    rec = solver(problem, callback=lambda k, state: seen.append(state.variables["duals"]))
    _, z, below = seen[-1]
    assert bool(rec.stats["converged"])
    K, g = prior.terms(problem.operator.domain)[0]
    size = problem.operator.H(torch.ones_like(problem.measurement)).norm()
    assert torch.isfinite(rec.history["objective"][-1])
    slope = problem.gradient(rec.x) + K.H(z)
    assert (slope + below).norm() < 1e-6 * size
    assert below.max() <= 1e-12
    assert (below * rec.x).abs().sum() < 1e-6 * size * rec.x.norm()
    assert g.magnitude(z).max() <= 0.3 * (1 + 1e-12)
    assert (prior.value(rec.x) - (z * K(rec.x)).sum()).abs() < 1e-6 * prior.value(rec.x)


def test_counts_seen_one_by_one_without_noise_of_neighbors():
    """With the same counts everywhere total variation has nothing to do; lost pixels follow the others."""
    y = torch.full((5, 6), 7.0, dtype=torch.float64)
    mask = torch.ones(5, 6)
    mask[2, 3] = 0
    for A in (Identity((5, 6)), Mask(mask)):
        x = PDHG(TotalVariation(0.1), **EXACT)(ig.Problem(A, y * A(torch.ones_like(y)), Poisson())).x
        torch.testing.assert_close(x, y, rtol=1e-6, atol=0)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_of_counts_is_their_gain(factor):
    problem = counts()
    x = PDHG(TotalVariation(0.3), iterations=60, tolerance=0)(problem).x
    other = PDHG(TotalVariation(0.3 / factor), iterations=60, tolerance=0)(problem.scaled(factor)).x / factor
    torch.testing.assert_close(other, x, rtol=1e-6, atol=0)


@pytest.mark.parametrize("operator", [Identity((6, 6)), MatrixOperator(uniform(40, 36), image_shape=(6, 6))])
def test_a_weight_is_asked_for_in_words(operator):
    problem = ig.Problem(operator, operator(5 * torch.ones(6, 6, dtype=torch.float64)), Poisson())
    with pytest.raises(CapabilityError, match="give the prior a number"):
        PDHG(TotalVariation())(problem)
