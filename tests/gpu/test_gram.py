"""Maps of coils, and gram operators of whole batches, in Triton's interpreter: against those on a CPU."""

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from invgen.core import batching
from invgen.operators import MRI, NonCartesianMRI, Radon
from invgen.operators.mri import sensitivities

from ..contracts.numbers import normal
from .pretending import on_a_gpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, whose tests run on it")

ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-12}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def coils(count, *shape):
    return normal(count, *shape, seed=3, dtype=torch.complex128)


def lines(n):
    return torch.arange(n) % 3 != 1


CARTESIAN = {
    "lines": MRI((5, 7), lines(7), coils(3, 5, 7)),
    "points": MRI((6, 5), normal(6, 5).abs(), coils(2, 6, 5)),
    "volume": MRI((3, 4, 5), lines(5), coils(2, 3, 4, 5)),
    "one coil": MRI((1, 9), lines(9), coils(1, 1, 9)),
    "no maps": MRI((5, 7), lines(7)),
    "more pixels than a block": MRI((18, 17), lines(17), coils(2, 18, 17)),
}
GRAMS = {
    **CARTESIAN,
    "radial": NonCartesianMRI((5, 6), normal(20, 2).clamp(-1, 1) / 2, coils(2, 5, 6)),
    "trajectory of a volume": NonCartesianMRI((2, 3, 4), normal(20, 3).clamp(-1, 1) / 2),
    "parallel beams": Radon((7, 10), 5),
    "parallel beams in a disc": Radon((9, 8), 5, detector_count=9),
}


def assert_close(found, expected, dtype):
    assert float((found - expected).norm() / expected.norm()) < ROUNDING[dtype]


@DTYPES
@pytest.mark.parametrize("name", CARTESIAN)
def test_forward_and_adjoint_are_those_on_a_cpu(name, dtype):
    A = CARTESIAN[name]
    x, y = A.domain.random((2,), seed=0, dtype=dtype), A.range.random((2,), seed=1, dtype=dtype)
    expected = A(x), A.H(y)
    with on_a_gpu() as launched:
        found = A(x), A.H(y)
    if A.coil_count is not None:
        assert {kernel.name for kernel in launched} == {"_expand", "_combine"}
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, dtype)


@DTYPES
@pytest.mark.parametrize("name", GRAMS)
def test_gram_of_a_batch_is_that_on_a_cpu(name, dtype):
    A = GRAMS[name]
    x = A.domain.random((3,), seed=0, dtype=dtype)
    expected = A.gram(x)
    with on_a_gpu():
        assert_close(A.gram(x), expected, dtype)


def test_the_adjoint_of_coils_is_the_transpose():
    A = MRI((2, 3), lines(3), coils(2, 2, 3))
    with on_a_gpu():
        forward = A(torch.eye(6, dtype=torch.complex128).reshape(-1, 2, 3)).reshape(6, -1)
        backward = A.H(torch.eye(12, dtype=torch.complex128).reshape(-1, 2, 2, 3)).reshape(12, -1)
    assert_close(backward, forward.conj().T, torch.float64)


@pytest.mark.parametrize("elements", [1, 2, 100])
@pytest.mark.parametrize("name", ["lines", "parallel beams", pytest.param("radial", marks=pytest.mark.slow)])
def test_a_batch_in_chunks_is_the_whole_batch(name, elements, monkeypatch):
    A = GRAMS[name]
    x = A.domain.random((3,), seed=0, dtype=torch.float64)
    expected, measured = A.gram(x), A(x)
    back = A.H(measured)
    size = x[0].numel() * x.element_size()
    monkeypatch.setattr(sensitivities, "_GPU_CHUNK", elements * size)  # of coil images, 1, 2 and all of them
    monkeypatch.setattr(batching, "_TOGETHER", elements * size)
    with on_a_gpu():
        assert_close(A.gram(x), expected, torch.float64)
        if name == "lines":
            assert_close(A(x), measured, torch.float64)
            assert_close(A.H(measured), back, torch.float64)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", ["no maps", "lines", "parallel beams"])
def test_first_and_second_derivatives_are_exact(name):
    gram = GRAMS[name].gram
    x = gram.domain.random(seed=0, dtype=torch.float64).requires_grad_()
    with on_a_gpu():
        assert torch.autograd.gradcheck(gram, x, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda x: gram(x).abs().square(), x, fast_mode=True)
