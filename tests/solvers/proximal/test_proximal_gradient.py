"""Proximal gradients: conditions of the minimum, what the options promise, and each element by itself."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError
from invgen.noise import Gaussian, Poisson
from invgen.operators import GaussianMatrix, MatrixOperator, Radon, Saturation
from invgen.priors import TotalVariation
from invgen.solvers import FISTA, ISTA, MLEM

EXACT = {"iterations": 20000, "tolerance": 1e-11}
OPTIONS = {
    "ISTA": (ISTA, {}),
    "ISTA by trial": (ISTA, {"backtracking": True}),
    "FISTA": (FISTA, {}),
    "monotone": (FISTA, {"monotone": True}),
    "restart": (FISTA, {"restart": True}),
    "by trial": (FISTA, {"backtracking": True}),
    "all": (FISTA, {"monotone": True, "restart": True, "backtracking": True}),
}


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@dataclass(frozen=True)
class Sparse:
    """``weight * |x|_1``, of vectors."""

    weight: float = 1.0

    def value(self, x):
        return self.weight * x.abs().sum(-1)

    def prox(self, x, step):
        return x * (1 - self.weight * step / x.abs().clamp(min=1e-300)).clamp(min=0)

    def resolve(self, problem):
        return self


@dataclass(frozen=True)
class Positive:
    """No negative entry, of vectors and images."""

    def value(self, x):
        return torch.zeros_like(x[..., 0])

    def prox(self, x, step):
        return x.clamp(min=0)

    def resolve(self, problem):
        return self


def lasso(dtype=torch.float64, batch=()):
    M = normal(60, 32, dtype=dtype)
    x = torch.zeros(*batch, 32, dtype=dtype)
    x[..., ::5] = 3
    noise = Gaussian(0.5)
    A = MatrixOperator(M)
    return ig.Problem(A, noise.sample(A(x), seed=1), noise)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(("solver", "options"), OPTIONS.values(), ids=OPTIONS)
def test_the_gradient_is_a_subgradient_of_the_prior_at_the_minimum(solver, options, dtype):
    problem, weight = lasso(dtype), 60.0
    rec = solver(Sparse(weight), **EXACT, **options)(problem)
    slope, support = -problem.gradient(rec.x), rec.x != 0
    assert bool(rec.stats["converged"])
    assert 0 < support.sum() < 32
    torch.testing.assert_close(slope[support], (weight * rec.x.sgn())[support], rtol=1e-6, atol=0)
    assert (slope[~support].abs() <= weight * (1 + 1e-6)).all()
    assert rec.history["optimality"][-1] <= 1e-11


def objectives(solver, problem):
    prior, seen = solver.prior, []
    solver(
        problem,
        callback=lambda k, s: seen.append(
            float(problem.negative_log_likelihood(s.x) + prior.value(s.x).sum())
        ),
    )
    return seen


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("prior", [Sparse(20.0), TotalVariation(2.0)], ids=["closed form", "composite"])
def test_ista_and_monotone_fista_never_rise_where_fista_does(prior):
    if isinstance(prior, Sparse):
        M = normal(30, 32)
        problem = ig.Problem(MatrixOperator(M), M @ normal(32, seed=1), Gaussian(0.3))
    else:
        A = Radon((16, 16), 10)
        problem = ig.Problem(A, A(phantoms.disc(5.0).image((16, 16), 1.0)), Gaussian(0.1))
    settings = {"iterations": 80, "tolerance": 0.0, "inner_steps": 30}
    plain, ista, monotone = (
        objectives(solver, problem)
        for solver in (
            FISTA(prior, **settings),
            ISTA(prior, **settings),
            FISTA(prior, monotone=True, **settings),
        )
    )
    for falling in (ista, monotone):
        assert all(after <= before * (1 + 1e-10) for before, after in pairwise(falling))
    assert any(after > before * (1 + 1e-8) for before, after in pairwise(plain))
    assert monotone[-1] < ista[-1]


def test_restarting_makes_convergence_linear():
    """Without, momentum goes round the minimum: the iterations are of O'Donoghue and Candes' figure 1."""
    problem = lasso()
    settings = {"iterations": 5000, "tolerance": 1e-10}
    needed = [
        FISTA(Sparse(60.0), restart=restart, **settings)(problem).stats["iterations"]
        for restart in (True, False)
    ]
    assert needed[0] < 0.6 * needed[1]


def test_a_step_by_trial_is_no_shorter_than_needed():
    problem, seen = lasso(), []
    FISTA(Sparse(60.0), backtracking=True, iterations=50)(problem, callback=lambda k, s: seen.append(s))
    found = [float(s.variables["memory"][0]) for s in seen]
    assert found == sorted(found)
    assert found[-1] <= 2 * problem.lipschitz()


def test_operators_that_are_not_linear_are_solved_by_trial():
    """A detector that saturates, in its smooth part: there the least-squares image is the truth."""
    A = Saturation(MatrixOperator(normal(40, 8)), -100.0, 100.0)
    x = normal(8, seed=1)
    rec = ISTA(Sparse(1e-9), backtracking=True, **EXACT)(ig.Problem(A, A(x)))
    torch.testing.assert_close(rec.x, x, rtol=1e-6, atol=0)


def test_poisson_counts_are_solved_by_trial_as_by_expectation_maximization():
    A = MatrixOperator(normal(40, 6).abs())
    problem = ig.Problem(A, Poisson().sample(A(20 * normal(6, seed=2).abs()), seed=0), Poisson())
    solver = ISTA(Positive(), backtracking=True, iterations=2000, tolerance=1e-9)
    x, expected = (
        solver(problem, x0=torch.full((6,), 20.0)).x,
        MLEM(iterations=5000, tolerance=1e-9)(problem).x,
    )
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("solver", "options"), OPTIONS.values(), ids=OPTIONS)
def test_each_element_of_a_batch_stops_by_itself(solver, options):
    """Nothing to see, something sparse, and noise: each takes the iterations that it does alone."""
    A, problem = MatrixOperator(normal(60, 32)), lasso()
    data = torch.stack([torch.zeros(60, dtype=torch.float64), problem.measurement, 3 * normal(60, seed=5)])
    solver = solver(Sparse(20.0), iterations=3000, tolerance=1e-9, **options)
    rec = solver(ig.Problem(A, data, Gaussian(0.5)))
    assert len(set(rec.stats["iterations"].tolist())) == 3
    for i, y in enumerate(data):
        alone = solver(ig.Problem(A, y, Gaussian(0.5)))
        assert alone.stats["iterations"] == rec.stats["iterations"][i]
        torch.testing.assert_close(rec.x[i], alone.x, rtol=1e-12, atol=1e-14)


def test_compressed_sensing_finds_the_sparse_image():
    A = GaussianMatrix((16, 16), 128, seed=0)
    x = torch.zeros(16, 16, dtype=torch.float64)
    x.view(-1)[::17] = 1
    rec = FISTA(Sparse(1e-5), restart=True, iterations=5000, tolerance=1e-9)(ig.Problem(A, A(x)))
    assert (rec.x - x).norm() < 1e-3 * x.norm()


def test_what_does_not_fit_is_refused_in_words():
    A = Radon((8, 8), 6)
    problem = ig.Problem(A, A(torch.ones(8, 8)))
    with pytest.raises(CapabilityError, match="Leave backtracking off"):
        FISTA(TotalVariation(1.0), backtracking=True)(problem)
    counts = ig.Problem(MatrixOperator(normal(40, 6).abs()), torch.ones(40).double(), Poisson())
    with pytest.raises(CapabilityError, match="no step size is safe"):
        ISTA(Positive())(counts)
