"""Our own NUFFT, in Triton's interpreter: against the sum that defines it, and against plain PyTorch."""

import math
import sys
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from invgen.operators import NonCartesianMRI, Radon
from invgen.operators.nonuniform import gridding, gridding_gpu, gridding_torch
from invgen.operators.nonuniform.cufinufft import Cufinufft
from invgen.operators.nonuniform.gridding import Gridding
from invgen.operators.nonuniform.gridding_torch import lay_out
from invgen.operators.nufft import NUFFT

from ..contracts.numbers import normal
from .guards import guarded
from .pretending import on_a_gpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, whose tests run on it")

ACCURACY = {torch.complex64: 1e-4, torch.complex128: 1e-10}
ROUNDING = {torch.complex64: 1e-6, torch.complex128: 1e-12}
DTYPES = pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)


def frequencies(count, dimensions, seed=0):
    """From -1/2 to 1/2 with both ends, and the first one twice."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(count, dimensions, generator=generator, dtype=torch.float64) - 0.5
    return torch.cat(
        [points, points[:1], torch.full((1, dimensions), 0.5), torch.full((1, dimensions), -0.5)]
    )


def direct(shape, points):
    """The sum as a matrix, (points, pixels)."""
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in shape]
    pixels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(shape))
    phase = -2 * math.pi * points @ pixels.T
    return torch.polar(torch.ones_like(phase), phase)


def distance(x, expected):
    return float((x.to(expected.dtype) - expected).norm() / expected.norm())


def assert_direct(shape, points, dtype, forward, adjoint):
    matrix = direct(shape, points)
    x, y = normal(2, *shape, dtype=dtype), normal(2, len(points), seed=1, dtype=dtype)
    expected = x.to(matrix.dtype).reshape(2, -1) @ matrix.T
    assert distance(forward(x), expected) < ACCURACY[dtype]
    expected = (y.to(matrix.dtype) @ matrix.conj()).reshape(2, *shape)
    assert distance(adjoint(y), expected) < ACCURACY[dtype]


SHAPES = [(7, 10), (1, 1), (1, 6), (5, 1), (20, 9), (3, 4, 5), (1, 6, 2)]


@pytest.mark.cases_are_slow
@DTYPES
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_sum_that_defines_it(shape, dtype):
    points = frequencies(9, len(shape))
    with on_a_gpu() as launched:
        nufft = NUFFT(shape, points)
        assert_direct(shape, points, dtype, nufft.forward, nufft.adjoint)
    assert {kernel.name for kernel in launched} == {"_interpolate", "_spread"}


@DTYPES
@pytest.mark.parametrize("shape", [*SHAPES, (40, 33), (9, 20, 14)], ids=str)
def test_without_triton_it_is_the_sum_too(shape, dtype):
    points = frequencies(60, len(shape))
    ours = Gridding(shape, points, torch.ones(1, dtype=dtype))
    assert_direct(shape, points, dtype, ours.forward, ours.adjoint)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    ("shape", "count", "dtype"),
    [
        ((4, 3), 1, torch.complex64),
        ((4, 3), 5, torch.complex128),
        ((3, 2, 2), 3, torch.complex64),
        ((2, 1, 3), 2, torch.complex128),
    ],
    ids=str,
)
def test_the_adjoint_is_the_transpose(shape, count, dtype):
    points, pixels = frequencies(count, len(shape))[:count], math.prod(shape)
    with on_a_gpu():
        nufft = NUFFT(shape, points)
        columns = nufft.forward(torch.eye(pixels, dtype=dtype).reshape(pixels, *shape))
        rows = nufft.adjoint(torch.eye(count, dtype=dtype)).reshape(count, pixels)
    assert float((columns - rows.conj().T).norm() / columns.norm()) < ROUNDING[dtype]


def both(grid, width, count, dtype, spacing=1.0):
    """Results of both implementations on one layout, between guard values."""
    layout = lay_out(spacing * frequencies(count, len(grid)), grid, width, dtype.to_real())
    y, x = normal(2, len(layout.order), dtype=dtype), normal(2, *layout.grid, seed=1, dtype=dtype)
    with guarded() as launched:
        ours = gridding_gpu.spread(layout, y), gridding_gpu.interpolate(layout, x)
        again = gridding_gpu.spread(layout, y), gridding_gpu.interpolate(layout, x)
    for one, two in zip(ours, again, strict=True):
        assert torch.equal(one, two)
    return ours, (gridding_torch.spread(layout, y), gridding_torch.interpolate(layout, x)), launched


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    ("grid", "width", "dtype"),
    [
        ((32, 48), 6, torch.complex64),
        ((16, 16), 6, torch.complex128),
        ((32, 16), 13, torch.complex128),
        ((14, 16, 32), 6, torch.complex64),
        ((26, 32, 16), 13, torch.complex128),
    ],
    ids=str,
)
def test_it_agrees_with_plain_pytorch(grid, width, dtype):
    ours, plain, _ = both(grid, width, 20, dtype)
    for one, other in zip(ours, plain, strict=True):
        assert distance(one, other) < ROUNDING[dtype]


def test_a_tile_with_many_points_is_the_sum_of_parts():
    ours, plain, launched = both((16, 16), 6, 300, torch.complex64, spacing=1e-3)
    assert "_collect" in {kernel.name for kernel in launched}
    # a number is the sum of 300, which both round in another order: their errors add up as at random
    for one, other in zip(ours, plain, strict=True):
        assert distance(one, other) < math.sqrt(300) * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("grid", "width"), [((48, 32), 6), ((30, 16, 48), 13), ((12, 32, 32), 6)], ids=str)
def test_each_tile_has_the_points_that_reach_it(grid, width, dtype):
    layout = lay_out(frequencies(70, len(grid)), grid, width, dtype)
    depth, rows, columns = layout.grid
    found = {}
    for tile, begin, end, _ in layout.pieces.tolist():
        found.setdefault(tile, []).extend(layout.listed[begin:end].tolist())
    wide, high = columns // 16, rows // 16
    expected = {tile: [] for tile in range(depth * wide * high)}
    for point, (z, y, x) in enumerate(layout.first.T.tolist()):
        reached = [
            {(first + step) % n // size for step in range(reach)}
            for first, n, reach, size in zip((z, y, x), layout.grid, layout.reach, (1, 16, 16), strict=True)
        ]
        for a in reached[0]:
            for b in reached[1]:
                for c in reached[2]:
                    expected[(a * high + b) * wide + c].append(point)
    assert {tile: sorted(points) for tile, points in found.items()} == expected


def test_a_batch_is_its_elements_and_comes_in_chunks(monkeypatch):
    shape, points = (6, 5), frequencies(6, 2)
    x, y = normal(2, *shape, dtype=torch.complex64), normal(2, len(points), dtype=torch.complex64)
    with on_a_gpu() as launched:
        nufft = NUFFT(shape, points)
        together = nufft.forward(x), nufft.adjoint(y)
        calls = len(launched)
        alone = [
            torch.cat([f(part) for part in data.split(1)])
            for f, data in ((nufft.forward, x), (nufft.adjoint, y))
        ]
        monkeypatch.setattr(gridding, "_CHUNK", 16 * 16 * 8)
        in_chunks = nufft.forward(x), nufft.adjoint(y)
    assert len(launched) == (1 + 2 + 2) * calls
    for one, two, three in zip(together, alone, in_chunks, strict=True):
        torch.testing.assert_close(one, two)
        torch.testing.assert_close(one, three)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Radon", "NonCartesianMRI"])
def test_first_and_second_derivatives_are_exact(name):
    with on_a_gpu():
        A = {
            "Radon": lambda: Radon((2, 3), 2),
            "NonCartesianMRI": lambda: NonCartesianMRI(
                (3, 2), frequencies(1, 2), normal(1, 3, 2, dtype=torch.complex128)
            ),
        }[name]()
        x = A.domain.random(seed=0, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(A, x, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda x: A(x).abs().square(), x, fast_mode=True)


def test_the_derivative_is_the_adjoint():
    with on_a_gpu():
        A = Radon((3, 4), 2)
        x, y = A.domain.random(seed=0, dtype=torch.float32), A.range.random(seed=1, dtype=torch.float32)
        (gradient,) = torch.autograd.grad(A(x.requires_grad_()), x, y)
        torch.testing.assert_close(gradient, A.H(y))


@DTYPES
def test_cufinufft_is_asked_for_few_numbers_of_transforms(dtype, monkeypatch):
    finufft = pytest.importorskip("finufft")

    made_of = {}

    class Plan:
        def __init__(self, *arguments, gpu_device_id):
            assert gpu_device_id == 0
            self._plan = finufft.Plan(*arguments)
            made_of[self] = arguments[2]

        def setpts(self, *points):
            self._plan.setpts(*(each.numpy() for each in points))

        def execute(self, data, out):
            if made_of[self] == 1:  # FINUFFT wants no axis of one transform, cuFINUFFT takes it
                data, out = data[0], out[0]
            self._plan.execute(data.numpy(), out=out.numpy())

    monkeypatch.setitem(sys.modules, "cufinufft", SimpleNamespace(Plan=Plan))
    shape, points = (7, 9), frequencies(30, 2)
    x, y = normal(15, *shape, dtype=dtype), normal(15, len(points), dtype=dtype)
    monkeypatch.setattr("invgen.operators.nonuniform.cufinufft._CHUNK", 4 * 4 * 63 * x.element_size())
    theirs = Cufinufft(shape, 2 * math.pi * points.T.contiguous(), x)
    matrix = direct(shape, points)
    assert distance(theirs.forward(x), x.reshape(15, -1).to(matrix.dtype) @ matrix.T) < ACCURACY[dtype]
    expected = (y.to(matrix.dtype) @ matrix.conj()).reshape(15, *shape)
    assert distance(theirs.adjoint(y), expected) < ACCURACY[dtype]
    # 15 are 4, 4, 4, 2 and 1, each planned once for each direction
    assert sorted(made_of.values()) == [1, 1, 2, 2, 4, 4]
