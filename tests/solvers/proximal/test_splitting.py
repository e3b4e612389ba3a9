"""ADMM and the splitting of Condat and Vu: certificates of the minimum, which others find too."""

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian, Poisson
from invgen.operators import MRI, Identity, MatrixOperator, Radon, sampling
from invgen.priors import L1, NonNegative, TotalVariation, Wavelet
from invgen.solvers import ADMM, FISTA, PDHG, CondatVu

EXACT = {"iterations": 5000, "tolerance": 1e-8}


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def head(n):
    return phantoms.shepp_logan(n / 2).image((n, n), 1.0)


def projections():
    noise = Gaussian(0.4)
    A = Radon((24, 24), 15)
    return ig.Problem(A, noise.sample(A(head(24)), seed=0), noise)


def weighted():
    A = MatrixOperator(normal(300, 100) / 15, image_shape=(10, 10))
    std = 0.2 + 0.2 * torch.rand(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    std[::9] = torch.inf
    noise = Gaussian(std)
    return ig.Problem(A, noise.sample(A(head(10)), seed=0), noise)


def resonance():
    A, noise = MRI((32, 32), sampling.poisson_disc((32, 32), 2.0, seed=0)), Gaussian(0.05)
    return ig.Problem(A, noise.sample(A(head(32).to(torch.complex128)), seed=0), noise)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    ("solver", "variable"), [(ADMM, "us"), (CondatVu, "duals")], ids=["ADMM", "CondatVu"]
)
@pytest.mark.parametrize("problem", [projections, weighted], ids=["projections", "weighted"])
def test_the_minimum_has_a_certificate(problem, solver, variable):
    """A dual image u with ``K.H u = -grad f(x)``, ``|u| <= weight`` and ``<u, K x> = weight |K x|``."""
    problem, seen, prior = problem(), [], TotalVariation(2.0)
    rec = solver(prior, **EXACT)(problem, callback=lambda k, state: seen.append(state.variables[variable][0]))
    (K, g), u = prior.terms(problem.operator.domain)[0], seen[-1]
    assert bool(rec.stats["converged"])
    slope = problem.gradient(rec.x)
    assert (K.H(u) + slope).norm() < 1e-6 * problem.gradient(problem.zeros()).norm()
    assert g.magnitude(u).max() <= 2.0 * (1 + 1e-12)
    assert (prior.value(rec.x) - (u * K(rec.x)).sum()).abs() < 1e-6 * prior.value(rec.x)


@pytest.mark.parametrize("solver", [ADMM, CondatVu])
@pytest.mark.parametrize("factor", [1.0, 1e3])
def test_of_two_solvers_the_minimiser_is_one(factor, solver):
    """With a constraint beside; and as well for data in another unit."""
    problem = weighted().scaled(factor)
    prior = (0.5 / factor) * TotalVariation() + NonNegative()
    x = solver(prior, **EXACT)(problem).x
    other = FISTA(prior, iterations=1000, tolerance=1e-9, inner_steps=20)(problem).x
    assert (x >= 0).all()
    assert (x == 0).any()
    assert (x - other).norm() < 1e-5 * x.norm()


def test_isometries_are_solved_in_closed_form():
    """No step of conjugate gradients beyond the first: the exact inverse is its preconditioner."""
    problem, prior = resonance(), Wavelet(2.0, "db2")
    rec = ADMM(prior, **EXACT)(problem)
    other = FISTA(prior, iterations=5000, tolerance=1e-11, restart=True)(problem)
    assert (rec.x - other.x).norm() < 1e-5 * other.x.norm()
    assert rec.stats["operator_calls"]["gram"] <= 2 * rec.stats["iterations"] + 10


@pytest.mark.parametrize("solver", [ADMM, CondatVu])
def test_shrinking_what_is_seen_directly(solver):
    y = normal(4, 5)
    x = solver(L1(0.7), **EXACT)(ig.Problem(Identity((4, 5)), y)).x
    torch.testing.assert_close(x, y.sign() * (y.abs() - 0.7).clamp(min=0), rtol=1e-7, atol=1e-7)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("solver", [ADMM, CondatVu])
def test_a_batch_of_easy_and_hard_problems(solver):
    """Zeros, the object, and noise alone: each takes the iterations that it does by itself."""
    problem = projections()
    data = torch.stack(
        [torch.zeros_like(problem.measurement), problem.measurement, normal(*problem.measurement.shape)]
    )
    solver = solver(TotalVariation(2.0), iterations=1000, tolerance=1e-4)
    rec = solver(ig.Problem(problem.operator, data, problem.noise))
    assert len(set(rec.stats["iterations"].tolist())) == 3
    for i, y in enumerate(data):
        alone = solver(ig.Problem(problem.operator, y, problem.noise))
        assert alone.stats["iterations"] == rec.stats["iterations"][i]
        torch.testing.assert_close(rec.x[i], alone.x, rtol=1e-8, atol=1e-10)


def test_its_objective_is_that_of_pdhg():
    problem = projections()
    one, other = (
        s(problem) for s in (ADMM(TotalVariation(2.0), **EXACT), PDHG(TotalVariation(2.0), **EXACT))
    )
    least = float(other.history["objective"][-1])
    assert float(one.history["objective"][-1]) == pytest.approx(least, rel=1e-6)


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ParameterError, match="relaxation"):
        ADMM(TotalVariation(), relaxation=2.0)
    counts = ig.Problem(Identity((4, 4)), torch.ones(4, 4), Poisson())
    with pytest.raises(CapabilityError, match="Poisson"):
        ADMM(TotalVariation(1.0))(counts)
