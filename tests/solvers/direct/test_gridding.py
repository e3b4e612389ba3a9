"""Gridding against images whose k-space is known in closed form."""

import math

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError
from invgen.operators import MRI, Identity, NonCartesianMRI
from invgen.operators.mri.trajectories import radial, spiral
from invgen.solvers import Gridding

N = 64
#: Center (y, x) and width of a bump, in pixels.
CENTER, WIDTH = (9.0, -6.0), 4.0
DENSE = {
    "radial": radial(101, 128, "uniform"),
    "golden": radial(144, 128),
    "spiral": spiral(16, 600, 3),
}


def place():
    return torch.arange(N, dtype=torch.float64) - N // 2


def bump():
    squared = (place()[:, None] - CENTER[0]) ** 2 + (place() - CENTER[1]) ** 2
    return torch.exp(-squared / 2 / WIDTH**2).to(torch.complex128)


def spectrum(k):
    """Fourier integral of the bump, in the units of the operator."""
    size = 2 * math.pi * WIDTH**2 * torch.exp(-2 * math.pi**2 * WIDTH**2 * k.square().sum(-1)) / N
    return torch.polar(size, -2 * math.pi * (k @ torch.tensor(CENTER, dtype=torch.float64)))


def maps():
    """Three coils; the last rows see nothing."""
    rows, columns = place()[:, None] / N, place() / N
    s = torch.stack([1 + rows + 0 * columns, 1.5 - columns + 0 * rows, 1j * (1 + rows * columns)])
    s[:, -7:] = 0
    return s


@pytest.mark.parametrize("k", DENSE.values(), ids=DENSE)
def test_dense_samples_of_a_bump_give_the_bump(k):
    x = Gridding()(ig.Problem(NonCartesianMRI((N, N), k), spectrum(k))).x
    # the largest error, of a bump of height one
    assert float((x - bump()).abs().max()) < 2e-3


@pytest.mark.parametrize("k", DENSE.values(), ids=DENSE)
def test_coils_are_combined_and_what_none_sees_is_zero(k):
    A = NonCartesianMRI((N, N), k, maps())
    x = Gridding()(ig.Problem(A, A(bump()))).x
    assert float((x - bump())[:-7].abs().max()) < 0.01
    assert not bool(x[-7:].any())


def test_a_point_stays_where_it_is():
    k = radial(101, 128)
    for row, column in [(32, 32), (20, 41), (50, 30)]:
        x = torch.zeros(N, N, dtype=torch.complex64)
        x[row, column] = 1j
        A = NonCartesianMRI((N, N), k)
        found = Gridding()(ig.Problem(A, A(x))).x
        assert int(found.abs().argmax()) == row * N + column
        # the disc of k-space that spokes cover is pi / 4 of the square
        assert complex(found[row, column]) == pytest.approx(1j * math.pi / 4, abs=0.05)


def test_few_spokes_leave_streaks_that_conjugate_gradients_with_coils_remove():
    k = radial(20, 128)
    A = NonCartesianMRI((N, N), k, maps())
    x = bump()
    x[-7:] = 0
    problem = ig.Problem(A, A(x))
    gridded, solved = (solver(problem).x for solver in (Gridding(), ig.solvers.CG(iterations=40)))
    assert float((solved - x).norm()) < 0.2 * float((gridded - x).norm())


def test_other_operators_are_refused_with_advice():
    with pytest.raises(CapabilityError, match="NonCartesianMRI"):
        Gridding()(ig.Problem(Identity((4, 5)), torch.zeros(4, 5)))
    with pytest.raises(CapabilityError, match="zero-filled"):
        Gridding()(ig.Problem(MRI((4, 5), True), torch.zeros(4, 5, dtype=torch.complex64)))
