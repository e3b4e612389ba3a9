"""OSSART against the row-action iteration written out, and what is known of its convergence."""

from itertools import islice, pairwise

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian
from invgen.operators import ConeBeam, FanBeam, MatrixOperator, Radon
from invgen.solvers import OSSART, SIRT
from invgen.solvers.least_squares.algebraic import _ordered_subsets


def white(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative(x, expected):
    return float((x - expected).norm() / expected.norm())


def after(solver, problem, passes, x0=None):
    """The image after so many passes, whatever the stopping rule says."""
    start = problem.zeros() if x0 is None else x0
    return next(islice(solver.iterate(problem, start), passes - 1, None)).x


def images(solver, problem, passes):
    return [state.x for state in islice(solver.iterate(problem, problem.zeros()), passes)]


def matrix_of(operator):
    size = operator.domain.size
    eye = torch.eye(size, dtype=torch.float64)
    return operator(eye.reshape(size, *operator.domain.shape)).reshape(size, -1).T


def fan(n=48, views=60):
    return FanBeam((n, n), views, 2.0 * n, 3.0 * n)


def head(n=48):
    return phantoms.shepp_logan(n / 2).image((n, n), 1.0)


def small():
    """More rays than pixels, and no pixel that is hardly seen."""
    return FanBeam((6, 7), 24, 20.0, 30.0, 17, 1.0)


OPERATORS = {
    "fan": lambda: FanBeam((16, 18), 20, 40.0, 60.0, curved=True),
    "cone": lambda: ConeBeam((3, 8, 8), 12, 20.0, 30.0),
    "parallel": lambda: Radon((16, 16), 20, method="joseph"),
    "parallel that rings": lambda: Radon((16, 16), 20),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("relaxation", [1.0, 0.4])
def test_one_subset_is_sirt(name, relaxation):
    A = OPERATORS[name]()
    problem = ig.Problem(A, A(white(*A.domain.shape)))
    one, other = OSSART(subsets=1, relaxation=relaxation), SIRT(relaxation=relaxation)
    for x, expected in zip(images(one, problem, 4), images(other, problem, 4), strict=True):
        torch.testing.assert_close(x, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["fan", "cone", "parallel"])
def test_a_pass_is_a_step_for_each_subset_in_one_metric_for_all(name):
    A = OPERATORS[name]()
    y = A(white(*A.domain.shape)) + white(*A.range.shape, seed=1)
    x = torch.zeros(A.domain.size, dtype=torch.float64)
    subsets = _ordered_subsets(A.angles, 5)
    matrices = [matrix_of(A.subset(views)) for views in subsets]
    columns = torch.stack([M.sum(0) for M in matrices]).amax(0)
    assert columns.min() > 1e-3 * columns.max()
    for views, M in zip(subsets, matrices, strict=True):
        rows = M.sum(1)
        rows = torch.where(rows > 1e-3 * rows.max(), 1 / rows, 0)  # a ray that hardly meets the image
        x = x + 0.7 * (M.T @ (rows * (y[views].flatten() - M @ x))) / columns
    found = after(OSSART(subsets=5, relaxation=0.7), ig.Problem(A, y), 1)
    torch.testing.assert_close(found.flatten(), x, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("views", "count"), [(60, 10), (61, 10), (7, 7), (5, 20), (9, 1)])
def test_subsets_hold_each_view_once_and_lie_around_the_scan(views, count):
    angles = torch.arange(views, dtype=torch.float64) * 0.1
    subsets = _ordered_subsets(angles, count)
    assert len(subsets) == min(views, count)
    assert sorted(torch.cat(subsets).tolist()) == list(range(views))
    for part in subsets:
        assert abs(len(part) - views / len(subsets)) < 1
        gaps = torch.diff(part.sort().values)
        assert (gaps == len(subsets)).all()


def test_the_next_subset_is_far_from_the_one_before():
    first = [int(part.min()) for part in _ordered_subsets(torch.arange(130) * 0.01, 13)]
    steps = [min((a - b) % 13, (b - a) % 13) for a, b in pairwise(first)]
    assert min(steps) >= 2


def test_subsets_go_by_the_angle_whatever_the_order_of_the_views():
    """Golden-angle scans too: neighbours in time are not neighbours in angle."""
    A = fan(32, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    y = A(head(32))
    x = after(OSSART(subsets=8), ig.Problem(A, y), 2)
    shuffled = after(OSSART(subsets=8), ig.Problem(A.subset(order), y[order]), 2)
    torch.testing.assert_close(shuffled, x, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_consistent_data_are_solved():
    A = small()
    truth = white(6, 7)
    problem = ig.Problem(A, A(truth))
    for subsets in (3, 8, 24):
        assert relative(after(OSSART(subsets=subsets), problem, 250), truth) < 1e-5


@pytest.mark.parametrize(("views", "subsets"), [(3, 3), (20, 10), (20, 20)])
@pytest.mark.parametrize("relaxation", [1.0, 1.8])
def test_no_pass_leads_away_from_a_solution(views, subsets, relaxation):
    """Few views in a subset; in the metric of the largest column sums every step is a contraction."""
    A = FanBeam((12, 12), views, 36.0, 54.0)
    truth = white(12, 12)
    problem = ig.Problem(A, A(truth))
    sums = torch.stack([matrix_of(A.subset(v)).sum(0) for v in _ordered_subsets(A.angles, subsets)])
    metric = sums.amax(0).reshape(12, 12)
    passes = images(OSSART(subsets=subsets, relaxation=relaxation), problem, 60)
    distances = torch.stack([(metric * (x - truth) ** 2).sum() for x in passes])
    assert (torch.diff(distances) <= 1e-12 * distances[0]).all()


def test_fewer_data_than_pixels_are_solved_too():
    A = FanBeam((12, 12), 3, 30.0, 45.0)
    problem = ig.Problem(A, A(white(12, 12)))
    assert relative(A(after(OSSART(subsets=3), problem, 2000)), problem.measurement) < 1e-4


def test_five_passes_leave_a_third_of_the_residual_of_sirt():
    A = fan()
    problem = ig.Problem(A, A(head()))
    residuals = [
        float(problem.residual_norm(after(solver, problem, 5)))
        for solver in (OSSART(subsets=10), SIRT(relaxation=1.0))
    ]
    assert residuals[0] * 3 <= residuals[1]


def test_a_first_pass_is_worth_as_many_iterations_of_sirt_as_there_are_subsets():
    A, truth = fan(), head()
    problem = ig.Problem(A, A(truth))
    errors = [relative(x, truth) for x in images(SIRT(relaxation=1.0), problem, 12)]
    first = relative(after(OSSART(subsets=10), problem, 1), truth)
    assert errors[11] * 0.9 < first < errors[6]


def inconsistent():
    A = small()
    return ig.Problem(A, A(white(6, 7)) + 0.3 * white(*A.range.shape, seed=1)), matrix_of(A)


def test_inconsistent_data_end_in_a_limit_cycle():
    problem, _ = inconsistent()
    passes = images(OSSART(subsets=6), problem, 500)
    assert relative(passes[-1], passes[-2]) < 1e-6
    # within a pass the image goes on moving: it starts at the end of another order's
    moved = after(OSSART(subsets=5), problem, 1, passes[-1])
    assert relative(moved, passes[-1]) > 1e-3


@pytest.mark.slow
def test_the_cycle_is_at_a_distance_in_proportion_to_the_relaxation():
    """From the least-squares image weighted by the row sums, for small ones (Censor and others 1983)."""
    problem, M = inconsistent()
    rows = M.sum(1)
    W = torch.where(rows > 1e-3 * rows.max(), 1 / rows, 0)
    expected = torch.linalg.solve(M.T @ (W[:, None] * M), M.T @ (W * problem.measurement.flatten()))
    distances = []
    for relaxation in (0.12, 0.06, 0.03):
        passes = int(40 / relaxation)  # the same sum of steps
        x = after(OSSART(subsets=6, relaxation=relaxation), problem, passes, expected.reshape(6, 7))
        distances.append(relative(x.flatten(), expected))
    assert distances[0] > 1e-4
    for wide, narrow in pairwise(distances):
        assert narrow == pytest.approx(wide / 2, rel=0.15)


def test_negative_pixels_are_set_to_zero():
    A = fan(24, 30)
    problem = ig.Problem(A, A(head(24) - 0.2))
    x = after(OSSART(nonnegative=True), problem, 5)
    assert float(x.min()) == 0
    assert float(after(OSSART(), problem, 5).min()) < -0.05


def test_dead_pixels_play_no_part():
    A = fan(24, 30)
    std = torch.ones(A.range.shape, dtype=torch.float64)
    std[:, 9:13] = torch.inf
    std[4] = torch.inf  # a view
    std[5::10] = torch.inf  # nearly a subset
    y = A(head(24))
    spoiled = y.clone()
    spoiled[std == torch.inf] += 100
    one, other = (after(OSSART(subsets=10), ig.Problem(A, data, Gaussian(std)), 3) for data in (y, spoiled))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert relative(one, head(24)) < 0.8


def test_a_subset_of_dead_views_leaves_the_image_alone():
    A = fan(24, 30)
    std = torch.ones(A.range.shape, dtype=torch.float64)
    std[_ordered_subsets(A.angles, 10)[0]] = torch.inf
    x = after(OSSART(subsets=10), ig.Problem(A, A(head(24)), Gaussian(std)), 5)
    assert torch.isfinite(x).all()
    assert relative(x, head(24)) < 0.5


def test_more_subsets_than_views_are_the_views():
    A = fan(24, 30)
    problem = ig.Problem(A, A(head(24)))
    torch.testing.assert_close(
        after(OSSART(subsets=1000), problem, 2), after(OSSART(subsets=30), problem, 2), rtol=0, atol=0
    )


def test_known_noise_stops_the_passes_as_it_is_reached():
    A, noise = fan(), Gaussian(0.5)
    y = torch.stack([noise.sample(A(c * head()), seed=0) for c in (1, 5)])
    rec = OSSART(iterations=100)(ig.Problem(A, y, noise))
    assert rec.stats["converged"].all()
    assert rec.stats["iterations"][0] < rec.stats["iterations"][1] < 100  # the brighter has more to tell
    residual = (A(rec.x) - y).square().mean((1, 2)).sqrt()
    assert (residual < 0.55).all()
    assert (residual > 0.3).all()  # the noise was not fitted


def test_a_batch_is_its_elements():
    A, noise = fan(24, 30), Gaussian(0.2)
    y = noise.sample(A(torch.stack([head(24), 3 * head(24)])), seed=0)
    rec = OSSART()(ig.Problem(A, y, noise))
    for i in range(2):
        alone = OSSART()(ig.Problem(A, y[i], noise))
        torch.testing.assert_close(rec.x[i], alone.x, rtol=1e-10, atol=1e-12)
        assert rec.stats["iterations"][i] == alone.stats["iterations"]


def test_it_needs_views_and_sensible_numbers():
    with pytest.raises(
        CapabilityError, match=r"(?s)OSSART needs the views.*MatrixOperator has none.*Use SIRT"
    ):
        OSSART()(ig.Problem(MatrixOperator(white(5, 4).abs()), torch.ones(5)))
    A = fan(8, 4)
    counts = ig.Problem(A, torch.ones(A.range.shape), ig.noise.Poisson())
    with pytest.raises(CapabilityError, match="OSSART needs real, linear data with Gaussian noise"):
        OSSART()(counts)
    for parameters in ({"subsets": 0}, {"subsets": 2.5}, {"subsets": True}):
        with pytest.raises(ParameterError, match="subsets is a whole number"):
            OSSART(**parameters)
    for relaxation in (0.0, 2.0, float("nan")):
        with pytest.raises(ParameterError, match="relaxation is between 0 and 2"):
            OSSART(relaxation=relaxation)
