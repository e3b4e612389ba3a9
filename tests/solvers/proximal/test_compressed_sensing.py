"""Lasso and basis pursuit: certificates, scikit-learn's coefficients, and exact recovery."""

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import DCT, MRI, GaussianMatrix, Gradient, MatrixOperator, SubsampledTransform
from invgen.priors import L1
from invgen.solvers import FISTA, BasisPursuit, Lasso

EXACT = {"iterations": 20000, "tolerance": 1e-14}


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sparse(n=128, k=6, dtype=torch.float64):
    x = torch.zeros(n, dtype=dtype)
    places = torch.randperm(n, generator=torch.Generator().manual_seed(7))[:k]
    x[places] = normal(k, seed=8, dtype=dtype).sgn() * 2
    return x


@pytest.mark.parametrize("weight", [0.5, 5.0])
def test_the_coefficients_are_those_of_scikit_learn(weight):
    linear_model = pytest.importorskip(
        "sklearn.linear_model", reason="needs scikit-learn, of the extra peers"
    )
    M, y = normal(60, 100), normal(60, seed=1)
    peer = linear_model.Lasso(weight / 60, fit_intercept=False, tol=1e-14, max_iter=100000).fit(M, y).coef_
    x = Lasso(weight=weight, **EXACT)(ig.Problem(MatrixOperator(M), y)).x
    torch.testing.assert_close(x, torch.from_numpy(peer), rtol=1e-6, atol=1e-6 * float(abs(peer).max()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("std", [None, 0.3])
def test_the_correlations_of_the_lasso_are_bounded_by_its_weight(dtype, std):
    """Tight where the image is not zero: what defines the minimum, for any transform."""
    T = DCT((8, 8), "complex" if dtype.is_complex else "real")
    A = MatrixOperator(normal(40, 64, dtype=dtype), image_shape=(8, 8))
    problem = ig.Problem(A, normal(40, seed=1, dtype=dtype), None if std is None else Gaussian(std))
    weight = 3.0 if std is None else 30.0
    x = Lasso(weight=weight, transform=T, **EXACT)(problem).x
    slope, coefficients = -T(problem.gradient(x)), T(x)
    support = coefficients.abs() > 1e-6 * coefficients.abs().max()
    assert 0 < support.sum() < 64
    torch.testing.assert_close(slope[support], weight * coefficients[support].sgn(), rtol=1e-5, atol=0)
    assert (slope[~support].abs() <= weight * (1 + 1e-6)).all()


def test_the_gap_bounds_the_distance_to_the_least_objective():
    problem, seen = ig.Problem(MatrixOperator(normal(60, 100)), normal(60, seed=1)), []
    solver = Lasso(weight=2.0, iterations=100, tolerance=0.0)

    def objective(x):
        return float(problem.negative_log_likelihood(x) + solver.penalty(problem, x))

    solver(problem, callback=lambda k, s: seen.append((objective(s.x), float(s.optimality))))
    least, at_zero = objective(Lasso(weight=2.0, **EXACT)(problem).x), objective(problem.zeros())
    for value, gap in seen:
        assert value - least <= gap * at_zero * (1 + 1e-9)
    assert seen[-1][1] < 1e-2 * seen[0][1]


def test_lasso_is_fista_with_its_prior():
    problem = ig.Problem(MatrixOperator(normal(60, 100)), normal(60, seed=1), Gaussian(0.5))
    one = Lasso(weight=10.0, **EXACT)(problem).x
    other = FISTA(L1(10.0), restart=True, iterations=20000, tolerance=1e-12)(problem).x
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


def test_the_automatic_weight_leaves_noise_alone_dark():
    """Of noise without an object hardly a pixel is made, and of an object nearly all that it has."""
    A, noise, x = MatrixOperator(normal(80, 128) / 80**0.5), Gaussian(0.05), sparse()
    data = noise.sample(A(torch.stack([0 * x, x])), seed=0)
    dark, bright = Lasso()(ig.Problem(A, data, noise)).x
    assert (dark != 0).sum() <= 3
    assert (bright[x != 0].sign() == x[x != 0].sign()).all()
    assert (bright - x).norm() < 0.2 * x.norm()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_a_sparse_image_is_recovered_from_few_measurements(dtype):
    """Candes, Romberg and Tao (2006): exactly, from equality; the phases of complex numbers too."""
    A, x = MatrixOperator(normal(60, 128, dtype=dtype)), sparse(dtype=dtype)
    rec = BasisPursuit(epsilon=0.0, iterations=5000, tolerance=1e-9)(ig.Problem(A, A(x)))
    assert bool(rec.stats["converged"])
    torch.testing.assert_close(rec.x, x, rtol=1e-6, atol=1e-6)


def test_sparse_cosines_are_recovered_from_hadamard_patterns():
    A, T = SubsampledTransform((16, 16), 100, "hadamard", seed=0), DCT((16, 16))
    x = T.H(sparse(256).reshape(16, 16))
    rec = BasisPursuit(epsilon=0.0, transform=T, iterations=5000, tolerance=1e-9)(ig.Problem(A, A(x)))
    torch.testing.assert_close(rec.x, x, rtol=1e-6, atol=1e-6)


def test_with_a_ball_the_data_are_explained_and_no_better():
    """The lasso of some weight has the same image: its misfit is the radius (van den Berg 2008)."""
    A, y = MatrixOperator(normal(60, 100)), normal(60, seed=1)
    problem = ig.Problem(A, y)
    expected = Lasso(weight=8.0, **EXACT)(problem).x
    epsilon = float(problem.residual_norm(expected))
    x = BasisPursuit(epsilon=epsilon, iterations=20000, tolerance=1e-9)(problem).x
    assert float(problem.residual_norm(x)) == pytest.approx(epsilon, rel=1e-6)
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-4, 1e5])
def test_epsilon_is_that_of_the_noise_in_whatever_unit(factor):
    A, noise, x = GaussianMatrix((128,), 70, seed=0), Gaussian(0.02), sparse()
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise)
    one = BasisPursuit(tolerance=1e-7)(problem).x
    assert float(problem.misfit(one) / problem.expected_misfit()) == pytest.approx(1, rel=1e-3)
    torch.testing.assert_close(
        BasisPursuit(tolerance=1e-7)(problem.scaled(factor)).x, factor * one, rtol=1e-4, atol=1e-4 * factor
    )


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("solver", [Lasso(weight=1.0), BasisPursuit(epsilon=0.0)])
def test_a_batch_of_easy_and_hard_problems(solver):
    A = MatrixOperator(normal(60, 128))
    data = torch.stack([torch.zeros(60, dtype=torch.float64), A(sparse()), A(sparse(k=40))])
    rec = solver(ig.Problem(A, data))
    assert len(set(rec.stats["iterations"].tolist())) == 3
    for i, y in enumerate(data):
        alone = solver(ig.Problem(A, y))
        assert alone.stats["iterations"] == rec.stats["iterations"][i]
        torch.testing.assert_close(rec.x[i], alone.x, rtol=1e-9, atol=1e-10)


def test_what_does_not_fit_is_refused_in_words():
    problem = ig.Problem(MRI((8, 8), torch.ones(8, 8)), torch.ones(8, 8, dtype=torch.complex64))
    with pytest.raises(ParameterError, match="weight"):
        Lasso(weight=-1.0)
    with pytest.raises(ParameterError, match="epsilon"):
        BasisPursuit(epsilon=-1.0)
    with pytest.raises(CapabilityError, match="ADMM"):
        Lasso(transform=Gradient((8, 8)))
    with pytest.raises(ShapeError, match="transform"):
        BasisPursuit(transform=DCT((8, 8)))(problem)
    noise = Gaussian(torch.linspace(1, 2, 64).reshape(8, 8))
    with pytest.raises(CapabilityError, match="one level"):
        BasisPursuit()(ig.Problem(problem.operator, problem.measurement, noise))
