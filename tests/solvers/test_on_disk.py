"""Volumes that are kept on disk come out as those in memory."""

import math

import pytest
import torch

from invgen.core.disk import OnDisk, Room, loaded, on_disk
from invgen.noise import Gaussian
from invgen.operators import ConeBeam
from invgen.priors import TotalVariation
from invgen.problem import Problem
from invgen.solvers import FDK, FISTA, ISTA, OSSART, PDHG, SIRT


def setting(n, views, truncated=False):
    """A cone beam of odd sizes, its data with noise of each ray, and dead rays."""
    shape, generator = (n - 1, n, n + 1), torch.Generator().manual_seed(0)
    panel = {"detector_shape": (n, n), "detector_offset": (0.3, 0.2)} if truncated else {}
    A = ConeBeam(shape, views, 3.0 * n, 4.0 * n, fov=0.6 * n if truncated else None, **panel)
    clean = A(A.restrict(torch.rand(shape, generator=generator).round()))
    std = 0.02 * clean.max() * (1 + torch.rand(clean.shape, generator=generator))
    y = clean + std * torch.randn(clean.shape, generator=generator)
    std[:, 1, 2] = math.inf
    return A, y, std


def distance(found, expected):
    assert isinstance(found, OnDisk)
    return float((loaded(found) - expected).norm() / expected.norm())


@pytest.mark.parametrize("slab", [1, 20_000], ids=["slice by slice", "a few slices"])
def test_projections_are_the_sums_of_those_of_slabs(slab, tmp_path):
    A, y, _ = setting(9, 7)
    room, x = Room(tmp_path, slab), A.H(y)
    assert distance(A(on_disk(x, room)), A(x)) < 1e-6
    # each slab of the adjoint is computed by itself, view after view as in memory
    assert distance(A.H(on_disk(y, room)), x) < 1e-7
    lines, volume = A(on_disk(x, room)), A.H(on_disk(y, room))
    assert float((lines * on_disk(y, room)).sum()) == pytest.approx(float((volume * x).sum()), rel=1e-5)


TV = TotalVariation(2.0, nonnegative=True, axes=(-3, -2, -1))
SOLVERS = {
    "FDK": FDK(),
    "SIRT": SIRT(iterations=4),
    "OSSART": OSSART(subsets=4, iterations=3, nonnegative=True),
    "TV": FISTA(TV, iterations=4, inner_steps=5),
    "TV by ISTA": ISTA(TV, iterations=3, inner_steps=4),
    "TV by PDHG": PDHG(TV, iterations=10),
}


@pytest.mark.parametrize("known", [True, False], ids=["noise of each ray", "unknown noise"])
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_solvers_find_what_they_do_in_memory(solver, known, tmp_path):
    A, y, std = setting(8, 10)
    room = Room(tmp_path, 3_000)
    expected = solver(Problem(A, y, Gaussian(std) if known else None))
    found = solver(Problem(A, on_disk(y, room), Gaussian(on_disk(std, room)) if known else None))
    assert distance(found.x, expected.x) < 1e-5
    assert found.stats["iterations"] == expected.stats["iterations"]
    for name in ("objective", "residual"):
        torch.testing.assert_close(found.history[name], expected.history[name], rtol=1e-4, atol=0)


def test_views_that_the_detector_cuts_are_continued(tmp_path):
    A, y, _ = setting(12, 10, truncated=True)
    assert A.truncates
    found = FDK()(Problem(A, on_disk(y, Room(tmp_path, 3_000))))
    assert distance(found.x, FDK()(Problem(A, y)).x) < 1e-5


def test_the_weight_of_total_variation_is_found_as_in_memory(tmp_path):
    A, y, std = setting(6, 8)
    solver = FISTA(TotalVariation(axes=(-3, -2, -1)), iterations=2, inner_steps=3)
    expected = solver(Problem(A, y, Gaussian(std)))
    room = Room(tmp_path, 1 << 20)  # small volumes, and many steps
    found = solver(Problem(A, on_disk(y, room), Gaussian(on_disk(std, room))))
    assert found.stats["weight"] == pytest.approx(expected.stats["weight"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FDK", "OSSART", "TV"])
def test_volumes_of_128_come_out_as_in_memory(name, tmp_path):
    A, y, std = setting(128, 60)
    room = Room(tmp_path, 1 << 22)
    expected = SOLVERS[name](Problem(A, y, Gaussian(std)))
    found = SOLVERS[name](Problem(A, on_disk(y, room), Gaussian(on_disk(std, room))))
    assert distance(found.x, expected.x) < 1e-5
