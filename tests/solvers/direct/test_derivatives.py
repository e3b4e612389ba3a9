"""Methods in one step carry gradients: those of the maps that they are."""

import math

import pytest
import torch

import invgen as ig
from invgen.operators import ConeBeam, FanBeam, NonCartesianMRI, Radon
from invgen.operators.mri.trajectories import radial
from invgen.solvers import FBP, FDK, FISTA, Gridding, RootSumOfSquares, ZeroFilled


def white(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def coils():
    """Two coils; the last row sees nothing."""
    maps = white(2, 5, 4, dtype=torch.complex128)
    maps[:, -1] = 0
    return maps


def undersampled():
    mask = torch.tensor([1.0, 0.0, 0.5, 1.0], dtype=torch.float64).expand(5, 4)
    return ig.operators.MRI((5, 4), mask, coils())


LINEAR = {
    "parallel": (FBP(), lambda: Radon((6, 5), 7)),
    "window": (FBP(window="ram-lak", cutoff=0.8), lambda: Radon((6, 5), 7, method="joseph")),
    "disc": (FBP(), lambda: Radon((7, 7), 6, 5)),
    "fan": (FBP(), lambda: FanBeam((6, 5), 7, 20.0, 30.0)),
    "curved": (FBP(), lambda: FanBeam((6, 5), 7, 20.0, 30.0, curved=True)),
    "short scan": (
        FBP(),
        lambda: FanBeam((5, 4), torch.linspace(0, math.pi + 0.5, 9, dtype=torch.float64), 20.0, 30.0),
    ),
    "cone": (FDK(), lambda: ConeBeam((3, 5, 4), 5, 20.0, 30.0)),
    "gridding": (Gridding(), lambda: NonCartesianMRI((5, 4), radial(6, 8))),
    "gridding of coils": (Gridding(), lambda: NonCartesianMRI((5, 4), radial(6, 8), coils())),
    "zero-filled": (ZeroFilled(), undersampled),
}
OTHERS = {
    "truncated": (FBP(), lambda: Radon((9, 9), 6, 7, fov="image")),
    "truncated fan": (FBP(), lambda: FanBeam((9, 9), 6, 30.0, 45.0, 7, fov="image")),
    "truncated curved fan": (FBP(), lambda: FanBeam((9, 9), 6, 30.0, 45.0, 7, curved=True, fov="image")),
    "truncated cone": (FDK(), lambda: ConeBeam((3, 9, 9), 5, 30.0, 45.0, (4, 7), fov="image")),
    "root sum of squares": (RootSumOfSquares(), undersampled),
}


def measured(A, batch=()):
    """Of a round object that ends beyond what a short detector sees, so that it is continued as one."""
    if A.domain.field == "complex":
        return A.range.random(batch, seed=1, dtype=torch.float64)
    place = [torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in A.domain.shape[-2:]]
    disc = (place[0][:, None].square() + place[1].square() < 4.1**2).double()
    y = A(disc.expand(*batch, *A.domain.shape))
    return y + 0.01 * A.range.random(batch, seed=1, dtype=torch.float64)


def test_every_method_in_one_step_is_here():
    solvers = {type(solver).__name__ for solver, _ in (LINEAR | OTHERS).values()}
    assert solvers == set(ig.solvers.direct.__all__)


@pytest.mark.parametrize("name", LINEAR | OTHERS)
def test_gradients_are_the_derivatives(name):
    solver, build = (LINEAR | OTHERS)[name]
    A = build()
    y = measured(A).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda y: solver(ig.Problem(A, y)).x, (y,), eps=1e-5, atol=1e-6, fast_mode=True
    )


@pytest.mark.parametrize("name", LINEAR)
def test_the_gradient_is_the_transpose_of_the_explicit_matrix(name):
    solver, build = LINEAR[name]
    A = build()

    def image(y):
        return solver(ig.Problem(A, y)).x

    units = torch.eye(A.range.size, dtype=measured(A).dtype).reshape(-1, *A.range.shape)
    matrix = image(units).flatten(1)  # its rows are the images of unit measurements
    y = measured(A, (2,)).requires_grad_()
    v = A.domain.random((2,), seed=3, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(image(y), y, v)
    expected = (v.flatten(1) @ matrix.mH).reshape(gradient.shape)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("name", LINEAR | OTHERS)
def test_multiples_of_the_data_give_multiples_of_the_image(name):
    solver, build = (LINEAR | OTHERS)[name]
    A = build()
    y = measured(A)
    torch.testing.assert_close(solver(ig.Problem(A, 3 * y)).x, 3 * solver(ig.Problem(A, y)).x)


def test_gradients_of_single_precision_are_those_of_double():
    for solver, A in (
        (FBP(), FanBeam((20, 24), 30, 50.0, 80.0)),
        (FDK(), ConeBeam((5, 9, 8), 9, 30.0, 50.0)),
    ):
        grads = []
        for dtype in (torch.float64, torch.float32):
            y = white(*A.range.shape).to(dtype).requires_grad_()
            v = white(*A.domain.shape, seed=1).to(dtype)
            grads.append(torch.autograd.grad(solver(ig.Problem(A, y)).x, y, v)[0])
        torch.testing.assert_close(
            grads[1].double(), grads[0], rtol=1e-4, atol=1e-5 * float(grads[0].abs().max())
        )


def test_a_filter_before_filtered_backprojection_is_learned():
    """Of data whose bins have seen half as much as they should, twice: least squares find it."""
    A = Radon((16, 16), 20)
    gain = torch.linspace(1, 2, A.range.shape[1], dtype=torch.float64)
    y = measured(A)
    wanted = FBP()(ig.Problem(A, y)).x
    learned = torch.ones_like(gain, requires_grad=True)
    optimizer = torch.optim.LBFGS([learned], max_iter=60, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = (FBP()(ig.Problem(A, learned * y / gain)).x - wanted).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    seen = y.abs().amax(0) > 1
    torch.testing.assert_close(learned.detach()[seen], gain[seen], rtol=1e-2, atol=0)


def test_nothing_is_kept_for_gradients_that_nobody_asks_for():
    A = Radon((8, 8), 9)
    y = white(*A.range.shape).requires_grad_()
    assert not FBP()(ig.Problem(A, y.detach())).x.requires_grad
    with torch.no_grad():
        assert not FBP()(ig.Problem(A, y)).x.requires_grad
    result = FBP()(ig.Problem(A, y))
    assert result.x.requires_grad
    assert not any(values.requires_grad for values in result.history.values())
    iterated = FISTA(ig.priors.TotalVariation(0.5), iterations=3)(ig.Problem(A, y))
    assert not iterated.x.requires_grad
