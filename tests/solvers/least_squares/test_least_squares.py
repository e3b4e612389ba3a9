"""Conjugate gradients and SIRT against dense linear algebra."""

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError, InvgenWarning
from invgen.noise import Gaussian
from invgen.operators import MatrixOperator, Radon
from invgen.solvers import CG, SIRT


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_cg_solves_least_squares(dtype):
    M, y = normal(30, 12, dtype=dtype), normal(3, 30, seed=1, dtype=dtype)
    rec = CG(weight=0, iterations=50, tolerance=1e-12)(ig.Problem(MatrixOperator(M), y))
    torch.testing.assert_close(rec.x, torch.linalg.lstsq(M, y.mT).solution.mT, rtol=1e-9, atol=1e-9)
    assert bool(rec.stats["converged"].all())


@pytest.mark.parametrize("weight", [0, 2.5])
def test_cg_solves_weighted_tikhonov(weight):
    M, y = normal(30, 12), normal(30, seed=1)
    std = torch.rand(30, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.2
    std[::7] = torch.inf
    rec = CG(weight=weight, iterations=60, tolerance=1e-12)(ig.Problem(MatrixOperator(M), y, Gaussian(std)))
    W = torch.diag(std**-2)
    expected = torch.linalg.solve(M.T @ W @ M + weight * torch.eye(12), M.T @ W @ y)
    torch.testing.assert_close(rec.x, expected, rtol=1e-9, atol=1e-9)


def test_cg_with_a_covariance_is_generalised_least_squares():
    M, y, L = normal(5, 4), normal(5, seed=1), normal(5, 5, seed=2)
    C = L @ L.T + torch.eye(5)
    rec = CG(weight=0, tolerance=1e-13)(ig.Problem(MatrixOperator(M), y, Gaussian(covariance=C)))
    expected = torch.linalg.solve(M.T @ C.inverse() @ M, M.T @ C.inverse() @ y)
    torch.testing.assert_close(rec.x, expected, rtol=1e-8, atol=1e-9)


def test_cg_reaches_the_solution_in_as_many_steps_as_there_are_singular_values():
    U, _ = torch.linalg.qr(normal(20, 20))
    s = torch.tensor([1.0, 3.0, 3.0, 7.0, 7.0, 7.0], dtype=torch.float64)
    V, _ = torch.linalg.qr(normal(6, 6, seed=3))
    M = U[:, :6] * s @ V
    rec = CG(weight=0, iterations=3, tolerance=0)(ig.Problem(MatrixOperator(M), M @ torch.ones(6).double()))
    torch.testing.assert_close(rec.x, torch.ones(6, dtype=torch.float64), rtol=1e-10, atol=0)


@pytest.mark.parametrize("solver", [CG(), SIRT(iterations=2000, tolerance=0)])
def test_known_noise_stops_the_iteration_as_it_is_reached(solver):
    A = Radon((32, 32), 40)
    x = phantoms.shepp_logan(16).image((32, 32), 1.0)
    noise = Gaussian(0.5)
    problem = ig.Problem(A, noise.sample(A(torch.stack([x, 3 * x])), seed=0), noise)
    images = []
    rec = solver(problem, callback=lambda k, state: images.append(state.x))
    floor = problem.expected_misfit()
    assert rec.stats["iterations"][0] < rec.stats["iterations"][1]  # the brighter one has more to tell
    for i, k in enumerate(rec.stats["iterations"].tolist()):
        assert problem.misfit(images[k - 1])[i] <= floor[i] * (1 + 1e-9)
        assert problem.misfit(images[k - 2])[i] > floor[i]
        torch.testing.assert_close(rec.x[i], images[k - 1][i])


def test_cg_stops_where_the_residual_stalls_above_the_noise():
    """A beam that flickers by 5 %, of which the noise model knows nothing: the noise is never reached."""
    A = Radon((32, 32), 60)
    x = phantoms.shepp_logan(16).image((32, 32), 1.0)
    flicker = 0.5 * normal(60, 1, dtype=torch.float32)
    right = Gaussian(0.1).sample(A(x), seed=0)
    problem = ig.Problem(A, torch.stack([right + flicker, right]), Gaussian(0.1))
    with pytest.warns(InvgenWarning, match="stalls, at 4.* times the noise"):
        rec = CG()(problem)
    assert rec.stats["stalled"].tolist() == [True, False]
    assert int(rec.stats["iterations"][0]) < 40
    long = CG(weight=0, iterations=200, tolerance=0)(problem)
    errors = [float((r.x[0] - x).norm() / x.norm()) for r in (rec, long)]
    assert errors[0] < errors[1]


def test_early_stopping_is_better_than_fitting_the_noise():
    A = Radon((48, 48), 60)
    x = phantoms.shepp_logan(24).image((48, 48), 1.0)
    noise = Gaussian(0.5)
    problem = ig.Problem(A, noise.sample(A(x), seed=0), noise)
    stopped, fitted = CG()(problem).x, CG(weight=0, iterations=200, tolerance=0)(problem).x
    assert (stopped - x).norm() < 0.7 * (fitted - x).norm()


def test_sirt_is_its_matrix_iteration():
    M, y = normal(9, 6).abs(), normal(9, seed=1)
    M[4] = 0  # a ray that misses the image
    R, C = M.sum(1), M.sum(0)
    R = torch.where(R > 0, 1 / R, 0)
    x = torch.zeros(6, dtype=torch.float64)
    for _ in range(5):
        x = x + 1.3 * (M.T @ (R * (y - M @ x))) / C
    rec = SIRT(relaxation=1.3, iterations=5, tolerance=0)(ig.Problem(MatrixOperator(M), y))
    torch.testing.assert_close(rec.x, x, rtol=1e-12, atol=1e-12)


def test_sirt_converges_to_least_squares_weighted_by_the_row_sums():
    M, y = normal(12, 4).abs() + torch.eye(12, 4) * 3, normal(12, seed=1)
    rec = SIRT(iterations=4000, tolerance=1e-14)(ig.Problem(MatrixOperator(M), y))
    W = torch.diag(1 / M.sum(1))
    expected = torch.linalg.solve(M.T @ W @ M, M.T @ W @ y)
    torch.testing.assert_close(rec.x, expected, rtol=1e-8, atol=1e-10)


def test_sirt_without_negative_pixels_meets_the_conditions_of_the_minimum():
    M, y = normal(12, 5).abs(), normal(12, seed=1)
    x = SIRT(nonnegative=True, iterations=20000, tolerance=1e-15)(ig.Problem(MatrixOperator(M), y)).x
    gradient = M.T @ ((M @ x - y) / M.sum(1))
    assert (x >= 0).all()
    assert (gradient > -1e-7).all()
    assert (gradient * x).abs().max() < 1e-7
    assert (x == 0).any()


@pytest.mark.parametrize("solver", [CG(weight=1.0), SIRT(iterations=50)])
def test_dead_pixels_say_nothing(solver):
    A = Radon((16, 16), 12, method="joseph")
    std = torch.ones(A.range.shape, dtype=torch.float64)
    std[:, 5:9] = torch.inf
    y = A(phantoms.disc(5.0).image((16, 16), 1.0))
    spoiled = y.clone()
    spoiled[:, 5:9] += 100
    one, other = (solver(ig.Problem(A, data, Gaussian(std))).x for data in (y, spoiled))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_cg_gives_each_element_its_own_noise():
    M, y = normal(30, 12), normal(2, 30, seed=1)
    std = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    rec = CG(weight=3.0, tolerance=1e-12)(ig.Problem(MatrixOperator(M), y, Gaussian(std)))
    for i, s in enumerate((0.5, 2.0)):
        expected = torch.linalg.solve(M.T @ M / s**2 + 3 * torch.eye(12), M.T @ y[i] / s**2)
        torch.testing.assert_close(rec.x[i], expected, rtol=1e-9, atol=1e-9)


def test_what_does_not_fit_is_refused_in_words():
    A = MatrixOperator(normal(5, 4, dtype=torch.complex128))
    with pytest.raises(CapabilityError, match="CG"):
        SIRT()(ig.Problem(A, normal(5, dtype=torch.complex128)))
    poisson = ig.Problem(MatrixOperator(normal(5, 4)), torch.ones(5), ig.noise.Poisson())
    with pytest.raises(CapabilityError, match="Poisson"):
        CG()(poisson)
