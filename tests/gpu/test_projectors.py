"""Kernels of projectors and backprojectors for GPUs, in Triton's interpreter.

Sizes are small and odd: each operation of the interpreter takes a fraction of a millisecond.
"""

import importlib
import math
from functools import partial

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from torch._subclasses.fake_tensor import FakeTensorMode

from invgen.core.kernels import Kernels
from invgen.core.launch import Kernel
from invgen.operators import ConeBeam, FanBeam, Radon
from invgen.operators.tomography.backprojection import ConeBackprojection, FanBackprojection

from .guards import guarded

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, whose tests run on it")

#: Along axes, along a diagonal, and others.
ANGLES = torch.tensor([0.0, math.pi / 4, 2.2], dtype=torch.float64)

Parallel = partial(Radon, method="joseph")


def fan_back(*arguments, **parameters):
    return FanBackprojection(FanBeam(*arguments, **parameters).geometry)


def cone_back(*arguments, **parameters):
    return ConeBackprojection(ConeBeam(*arguments, **parameters).geometry)


OPERATORS = {
    "parallel": partial(Parallel, (7, 6), ANGLES, detector_offset=0.4),
    "parallel, narrow": partial(Parallel, (5, 8), ANGLES, 5, 0.43, -0.2, fov="image"),
    "parallel, wide": partial(Parallel, (5, 4), ANGLES, 40, 0.9),
    "parallel, coarse": partial(Parallel, (8, 7), ANGLES, detector_spacing=3.1, pixel_size=0.7),
    "parallel, a row": partial(Parallel, (1, 9), ANGLES),
    "parallel, a column": partial(Parallel, (8, 1), ANGLES[2:]),
    "parallel, a bin": partial(Parallel, (4, 5), ANGLES, 1, fov="image"),
    "fan": partial(FanBeam, (7, 6), ANGLES, 20.0, 31.0, detector_offset=0.4),
    "fan, curved": partial(FanBeam, (6, 7), ANGLES, 20.0, 31.0, detector_offset=-0.4, curved=True),
    "fan, near": partial(FanBeam, (5, 4), ANGLES, 3.3, 4.0, 9, 1.3, fov="image"),
    "fan, near and curved": partial(FanBeam, (5, 4), ANGLES, 3.3, 4.0, 9, 1.1, curved=True, fov="image"),
    "fan, far": partial(FanBeam, (6, 7), ANGLES, 1e6, 1e6, pixel_size=0.9),
    "fan, a bin": partial(FanBeam, (1, 9), ANGLES[1:2], 20.0, 31.0, 1, fov="image"),
    "cone": partial(ConeBeam, (3, 5, 4), ANGLES, 15.0, 23.0, detector_offset=(0.7, -0.4)),
    "cone, coarse": partial(ConeBeam, (4, 4, 5), ANGLES, 15.0, 23.0, detector_spacing=(3.1, 2.2)),
    "cone, fine": partial(ConeBeam, (2, 3, 3), ANGLES[1:], 15.0, 23.0, (9, 8), (0.6, 0.9), fov="image"),
    "cone, near": partial(ConeBeam, (2, 3, 4), ANGLES, 2.9, 4.0, (4, 5), 1.5, fov="image"),
    "cone, a row": partial(ConeBeam, (3, 1, 5), ANGLES, 15.0, 23.0, (1, 9)),
    "cone, a slice": partial(ConeBeam, (1, 5, 1), ANGLES, 15.0, 23.0, voxel_size=0.5),
    "fan back": partial(fan_back, (6, 7), ANGLES, 20.0, 31.0, detector_offset=0.7),
    "fan back, curved": partial(fan_back, (7, 5), ANGLES, 20.0, 31.0, 6, curved=True),
    "fan back, few wide bins": partial(fan_back, (6, 7), ANGLES, 9.0, 12.0, 2, 12.0, curved=True),
    "fan back, a bin": partial(fan_back, (1, 4), ANGLES, 9.0, 12.0, 1),
    "cone back": partial(cone_back, (4, 5, 6), ANGLES, 15.0, 23.0, (4, 9), 1.6, (0.7, -0.4)),
    "cone back, rows": partial(cone_back, (3, 3, 4), ANGLES, 15.0, 23.0, (9, 4), (0.6, 2.1)),
    "cone back, a row": partial(cone_back, (3, 4, 1), ANGLES, 15.0, 23.0, (1, 3), (5.3, 1.9)),
}
#: One of each kernel.
TYPICAL = ["parallel", "fan, curved", "cone", "fan back, curved", "cone back"]


@pytest.fixture
def serve(monkeypatch):
    """Let the kernels for GPUs serve, or plain PyTorch."""

    def choose(plain=False):
        monkeypatch.setattr(Kernels, "serving", lambda self, x: self._plain if plain else self._gpu())

    return choose


def white(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def largest_difference(results, references):
    return max(
        float((x - expected).abs().max()) / max(1e-30, float(expected.abs().max()))
        for x, expected in zip(results, references, strict=True)
    )


@pytest.mark.parametrize(
    "name", [n if n in TYPICAL else pytest.param(n, marks=pytest.mark.slow) for n in OPERATORS]
)
def test_kernels_are_the_formula_and_stay_within_their_buffers(serve, name):
    """Places are rounded to 2^-40 or less: to 1e-9 in double precision."""
    A = OPERATORS[name]()
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-6)):
        # neither contiguous, nor is the batch a power of two
        x = white(*A.domain.shape[::-1], 3, dtype=dtype).permute(*range(len(A.domain.shape), -1, -1))
        y = white(*A.range.shape, 6, dtype=dtype).movedim(-1, 0)[::2]
        serve()
        with guarded() as launched:
            results = A(x), A.H(y)
        serve(plain=True)
        assert len(launched) == 2
        assert all(result.dtype == dtype for result in results)
        assert largest_difference(results, (A(x), A.H(y))) < tolerance


@pytest.mark.parametrize("name", TYPICAL)
def test_adjoint_is_the_transpose_of_the_matrix(serve, name):
    """Of more elements than lie side by side, in two groups."""
    A = OPERATORS[name]()
    serve()
    forward, adjoint = (
        B(torch.eye(math.prod(B.domain.shape), dtype=torch.float64).reshape(-1, *B.domain.shape))
        for B in (A, A.H)
    )
    difference = forward.flatten(1) - adjoint.flatten(1).T
    assert float(difference.abs().max()) <= 1e-12 * float(forward.abs().max())


@pytest.mark.parametrize("name", TYPICAL)
def test_a_batch_equals_its_elements_to_the_bit(serve, name):
    A = OPERATORS[name]()
    serve()
    for B in (A, A.H):
        batch = white(5, *B.domain.shape, dtype=torch.float32)
        together = B(batch)
        for element in (0, 4):
            assert torch.equal(B(batch[element]), together[element])


@pytest.mark.parametrize("name", TYPICAL)
def test_batches_larger_than_memory_are_worked_on_in_pieces(serve, monkeypatch, name):
    A = OPERATORS[name]()
    serve()
    count = 33 if name in ("parallel", "fan, curved") else 2
    x, y = (white(count, *space.shape, dtype=torch.float32) for space in (A.domain, A.range))
    with guarded() as launched:
        whole = A(x), A.H(y)
    assert len(launched) == 2
    for module in ("joseph_gpu", "cone_gpu", "backprojection_gpu"):
        monkeypatch.setattr(importlib.import_module(f"invgen.operators.tomography.{module}"), "_COPIED", 1)
    with guarded() as launched:
        pieces = A(x), A.H(y)
    assert len(launched) == 4
    assert all(torch.equal(a, b) for a, b in zip(whole, pieces, strict=True))


@pytest.mark.parametrize(
    "A",
    [
        Parallel((3, 2), ANGLES[1:]),
        FanBeam((2, 3), ANGLES[1:], 9.0, 12.0),
        ConeBeam((2, 2, 3), ANGLES[1:], 9.0, 12.0, (3, 4), fov="image"),
        fan_back((2, 3), ANGLES[1:], 9.0, 12.0, 3),
        cone_back((2, 2, 2), ANGLES[1:2], 9.0, 12.0, (2, 3)),
    ],
    ids=TYPICAL,
)
def test_first_and_second_derivatives_are_those_of_the_operator(serve, A):
    serve()
    x, v = (white(*A.domain.shape).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: A(x) ** 2, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: A(x) ** 2, x, fast_mode=True)
    assert torch.equal(torch.autograd.grad((A(x) * A(v)).sum(), x)[0], A.H(A(v)))


@pytest.mark.parametrize("name", TYPICAL)
def test_all_that_kernels_get_is_on_the_device(serve, monkeypatch, name):
    """On tensors of a GPU that is not there: what is mixed with a CPU's, or read by the host, raises."""
    devices = []

    def launch(self, grid, arguments):
        devices.extend(a.device.type for a in arguments if isinstance(a, torch.Tensor))
        for choice in self.choices:
            blocks = grid(choice.kwargs)
            assert all(0 < n < 65536 for n in blocks[1:])

    A = OPERATORS[name]()
    serve()
    A.H(A(torch.zeros(A.domain.shape)))  # tables are made
    monkeypatch.setattr(Kernel, "launch", launch)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for B in (A, A.H):
            result = B(torch.empty(33, *B.domain.shape, device="cuda"))
            assert (result.device.type, result.shape) == ("cuda", (33, *B.range.shape))
    assert len(devices) > 8
    assert set(devices) == {"cuda"}


@pytest.mark.parametrize("A", [FanBeam((1001, 900), 7, 2e3, 3e3), Radon((1001, 900), 7, method="joseph")])
def test_places_in_whole_numbers_are_those_of_the_rays(A):
    """At the far side of a large image, to 1e-10 of a pixel."""
    tracks, g = A._projector._rays.tracks, A.geometry
    cos, sin = g.angles.cos()[:, None], g.angles.sin()[:, None]
    if isinstance(A, FanBeam):
        across, along = g.directions()
        dx, dy = across * cos - along * sin, across * sin + along * cos
        x0, y0 = g.source_origin * sin, -g.source_origin * cos
    else:
        dx, dy, x0, y0 = -sin, cos, g.bins() * cos, g.bins() * sin
    steep = (tracks.slope.value & 1).bool()
    assert torch.equal(steep, (dy.abs() >= dx.abs()).expand_as(steep))
    row, column = 500 - y0 - 1000, 899 - 449.5 - x0  # from the ray's point to the last row, and column
    expected = torch.where(steep, x0 + 449.5 + row * dx / dy, 500 - y0 - column * dy / dx)
    last = torch.where(steep, 1000, 899)
    place = (tracks.start.value + tracks.slope.value * last).double() * 2.0**-tracks.bits
    hit = (expected > -1) & (expected < torch.where(steep, 900, 1001))
    assert float((place - expected)[hit].abs().max()) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize(
    "A",
    [
        Radon((1, 1500), [0.3], 1700, 0.87, method="joseph"),
        FanBeam((1, 1500), [0.3], 760.0, 1500.0, 1900),
        FanBeam((1500, 1), [0.3], 1e5, 2e5, 1700, curved=True),
    ],
    ids=repr,
)
def test_no_ray_of_a_large_image_is_missed(serve, A):
    """Where rays are looked for is found in single precision."""
    y = white(*A.range.shape)
    serve()
    result = A.H(y)
    serve(plain=True)
    assert largest_difference([result], [A.H(y)]) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPICAL)
def test_the_trial_before_first_use_succeeds(name):
    A = OPERATORS[name]()
    module = importlib.import_module("invgen.operators.tomography.backprojection")
    kernels = module._KERNELS if "back" in name else A._projector.kernels
    device = torch.device("cpu")
    results, references = (kernels._trial(each, device) for each in (kernels._gpu(), kernels._plain))
    assert largest_difference(results, references) < 1e-6
