"""The work of an operator is counted where it is done, also along its singular vectors."""

import pytest
import torch

import invgen as ig
from invgen.core.counting import count_calls
from invgen.operators import MRI, SVD, Identity, LinearOperator, MatrixOperator, Wavelet
from invgen.solvers.data_prox import DataProx


class Tally(LinearOperator):
    """An operator that notes its applications in a list."""

    def __init__(self, operator, seen):
        super().__init__(operator.domain, operator.range)
        self._operator, self._seen = operator, seen

    def _apply(self, x):
        self._seen.append("forward")
        return self._operator._apply(x)

    def _adjoint(self, y):
        self._seen.append("adjoint")
        return self._operator._adjoint(y)


class TalliedMRI(MRI):
    """One coil, whose singular vectors are counted by hand."""

    def __init__(self, seen, *args):
        super().__init__(*args)
        self._seen = seen

    def _svd(self):
        svd = super()._svd()
        return SVD(Tally(svd.U, self._seen), svd.s, Tally(svd.V, self._seen))


def half_sampled(seen):
    mask = torch.rand(8, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    A = TalliedMRI(seen, (8, 6), mask)
    x = A.domain.random(seed=0, dtype=torch.float64)
    noise = ig.noise.Gaussian(0.1)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


def test_applications_are_counted_by_what_is_applied():
    A = MatrixOperator(torch.eye(3))
    x = torch.ones(3)
    with count_calls(A) as calls:
        for _ in range(2):
            A(x)
        A.H(x)
        for _ in range(3):
            A.gram(x)
        (2 * A)(x)  # another operator
    assert calls == {"forward": 2, "adjoint": 1, "gram": 3}


def test_a_vectorized_application_and_a_derivative_are_one_call_each():
    A = MatrixOperator(torch.eye(3))
    with count_calls(A) as calls:
        torch.func.vmap(A)(torch.ones(2, 3))
        A(torch.ones(3, requires_grad=True)).sum().backward()
    assert calls == {"forward": 2, "adjoint": 1, "gram": 0}


def test_the_adjoint_of_an_adjoint_is_counted():
    A = MatrixOperator(torch.eye(3)).H
    with count_calls(A) as calls:
        A.H(torch.ones(3))
    assert calls["adjoint"] == 1


def test_singular_vectors_are_made_once_and_counted_in_both_directions():
    A = MatrixOperator(torch.diag(torch.tensor([3.0, 2.0, 1.0])))
    assert A.svd is A.svd
    assert A.H.svd.U is A.svd.V
    with count_calls(A) as calls:
        A.svd.U(A.svd.U.H(torch.ones(3)))
        A.svd.V(A.svd.V.H(A.svd.V.H(torch.ones(3))))
    assert calls == {"forward": 0, "adjoint": 0, "gram": 0, "svd": 5}


def test_an_operator_that_is_its_own_singular_vectors_counts_once():
    A = Wavelet((8, 8), "haar", levels=1)
    assert A.svd.U is A
    with count_calls(A) as calls:
        A(A.svd.V(torch.ones(8, 8)))
        A.svd.U.H(torch.ones(8, 8))
    assert calls == {"forward": 1, "adjoint": 1, "gram": 0, "svd": 1}


def test_the_least_squares_solution_counts_its_two_steps():
    A = MatrixOperator(torch.eye(3))
    with count_calls(A) as calls:
        A.pinv(torch.ones(3))
    assert calls["svd"] == 2


def test_an_operator_without_singular_vectors_reports_none():
    A = Identity((4,)) + Identity((4,))
    assert A.svd is None
    with count_calls(A) as calls:
        A(torch.ones(4))
    assert "svd" not in calls


def test_a_data_step_reports_what_a_hand_count_gives():
    seen = []
    problem = half_sampled(seen)
    with count_calls(problem.operator) as calls:
        data = DataProx(problem)
        for rho in (1.0, 2.0, 3.0):
            data(problem.zeros(), torch.tensor(rho, dtype=torch.float64))
    # the measurement once; in each step into the singular vectors and back
    assert len(seen) == 1 + 3 * 2
    assert calls == {"forward": 0, "adjoint": 0, "gram": 0, "svd": 7}


@pytest.mark.parametrize("name", ["DDRM", "DiffPIR"])
def test_samplers_report_what_a_hand_count_gives(name):
    seen = []
    problem = half_sampled(seen)
    prior = ig.priors.Gaussian(torch.zeros(8, 6, dtype=torch.complex128), torch.ones(8, 6))
    sampler = getattr(ig.solvers, name)(prior, iterations=4, sigma_range=(0.05, 5.0))
    stats = sampler(problem, samples=2, seed=0).stats
    assert stats["operator_calls"]["svd"] == len(seen) > 4
