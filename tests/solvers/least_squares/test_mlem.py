"""Expectation maximization: what Shepp and Vardi proved of it, and the conditions of the maximum."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError, DataError
from invgen.noise import Poisson
from invgen.operators import Identity, Mask, MatrixOperator, Radon
from invgen.solvers import MLEM

EXACT = MLEM(iterations=20000, tolerance=1e-10)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def emission(gain=1.0, activity=5.0):
    A = Radon((24, 24), 20, method="joseph")
    x = activity * phantoms.disc(8.0).image((24, 24), 1.0)
    noise = Poisson(gain)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


def test_counts_seen_one_by_one_are_their_own_estimate():
    y = torch.tensor([3.0, 0.0, 7.0], dtype=torch.float64)
    rec = EXACT(ig.Problem(Identity((3,)), y, Poisson()))
    torch.testing.assert_close(rec.x, y)
    assert rec.stats["iterations"] == 1


def test_a_pixel_seen_twice_is_the_mean_of_its_counts():
    A = MatrixOperator(torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]], dtype=torch.float64))
    x = EXACT(ig.Problem(A, torch.tensor([4.0, 8.0, 6.0], dtype=torch.float64), Poisson())).x
    torch.testing.assert_close(x, torch.tensor([3.0, 3.0], dtype=torch.float64))


@pytest.mark.parametrize("gain", [1.0, 0.2])
def test_the_likelihood_never_falls_and_counts_are_kept(gain):
    problem, images = emission(gain), []
    MLEM(iterations=60, tolerance=0)(problem, callback=lambda k, state: images.append(state.x))
    likelihoods = [-float(problem.negative_log_likelihood(x)) for x in images]
    assert all(after > before for before, after in pairwise(likelihoods))
    for x in images:
        assert (x >= 0).all()
        assert float(problem.operator(x).sum()) == pytest.approx(float(problem.measurement.sum()), rel=1e-12)


def test_the_solution_meets_the_conditions_of_the_maximum():
    """Karush, Kuhn and Tucker: no gradient where there are pixels, none that asks for more where are none."""
    M = uniform(30, 8)
    truth = torch.tensor([0, 5, 0, 30, 0, 10, 1, 0], dtype=torch.float64)
    A, noise = MatrixOperator(M), Poisson(0.7)
    problem = ig.Problem(A, noise.sample(A(truth), seed=3), noise)
    rec = EXACT(problem)
    gradient = problem.gradient(rec.x) / (M.sum(0) / noise.gain)
    assert bool(rec.stats["converged"])
    assert gradient.min() > -1e-9
    # a pixel falls to zero only as fast as its gradient times the iterations
    assert (gradient * rec.x).abs().max() / rec.x.max() < 1e-6
    assert (rec.x < 1e-4 * rec.x.max()).any()


def test_another_optimizer_finds_the_same_image():
    M = uniform(40, 6, seed=1)
    A = MatrixOperator(M)
    problem = ig.Problem(A, Poisson().sample(A(20 * uniform(6, seed=2)), seed=0), Poisson())
    m, y = M.numpy(), problem.measurement.numpy()
    found = minimize(
        lambda x: ((m @ x - y * np.log(m @ x)).sum(), m.T @ (1 - y / (m @ x))),
        np.ones(6),
        jac=True,
        method="L-BFGS-B",
        bounds=[(1e-12, None)] * 6,
        options={"ftol": 1e-15, "gtol": 1e-9},
    )
    np.testing.assert_allclose(EXACT(problem).x.numpy(), found.x, rtol=1e-5, atol=1e-6)


def test_the_optimality_measure_bounds_what_the_likelihood_can_gain():
    problem, seen = emission(), []
    MLEM(iterations=200, tolerance=0)(problem, callback=lambda k, s: seen.append((s.x, float(s.optimality))))
    best = float(problem.negative_log_likelihood(MLEM(iterations=2000, tolerance=0)(problem).x))
    counts = float(problem.measurement.sum())
    for x, optimality in seen:
        assert 0 < float(problem.negative_log_likelihood(x)) - best < optimality * counts
    assert seen[-1][1] < 0.1 * seen[0][1]


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_an_image_scales_with_its_data(factor):
    problem = emission()
    torch.testing.assert_close(
        MLEM()(problem.scaled(factor)).x, factor * MLEM()(problem).x, rtol=1e-10, atol=0
    )


def test_each_element_of_a_batch_stops_by_itself():
    """One without counts, one with few, one with many: each as it is alone, to the bit."""
    one, A = emission(), emission().operator
    few = Poisson(50.0).sample(A(phantoms.disc(5.0).image((24, 24), 1.0)), seed=1)
    data = torch.stack([torch.zeros_like(few), few, one.measurement])
    solver = MLEM(iterations=300, tolerance=0.05)
    rec = solver(ig.Problem(A, data, Poisson()))
    assert len(set(rec.stats["iterations"].tolist())) == 3
    for i, y in enumerate(data):
        alone = solver(ig.Problem(A, y, Poisson()))
        assert alone.stats["iterations"] == rec.stats["iterations"][i]
        assert torch.equal(alone.x, rec.x[i])


def test_pixels_that_are_lost_are_dark_and_say_nothing():
    mask = torch.ones(4, 5)
    mask[1, 2] = 0
    y = 1 + torch.poisson(10 * uniform(4, 5), generator=torch.Generator().manual_seed(0))
    spoiled = y.clone()
    spoiled[1, 2] = 1000
    x = MLEM()(ig.Problem(Mask(mask), spoiled, Poisson())).x
    torch.testing.assert_close(x, y * mask)


def test_what_does_not_fit_is_refused_in_words():
    A = Identity((3,))
    y = torch.ones(3)
    with pytest.raises(CapabilityError, match=r"Poisson\(gain\)"):
        MLEM()(ig.Problem(A, y))
    with pytest.raises(CapabilityError, match="joseph"):
        MLEM()(ig.Problem(Radon((3, 3), 4), torch.ones(4, 5), Poisson()))
    with pytest.raises(DataError, match="negative pixels"):
        MLEM()(ig.Problem(A, y, Poisson()), x0=-y)
    with pytest.raises(DataError, match="predicts none"):
        MLEM()(ig.Problem(A, y, Poisson()), x0=0 * y)
    with pytest.raises(DataError, match="predicts none"):
        MLEM()(ig.Problem(MatrixOperator(torch.tensor([[1.0], [0.0]])), torch.ones(2), Poisson()))
