"""Differences, wavelets and the dual step of total variation, in Triton's interpreter."""

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from invgen.convex.dual_step import dual_step
from invgen.convex.functions import GroupL1
from invgen.operators import Gradient, Wavelet

from ..contracts.numbers import normal
from .pretending import on_a_gpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, whose tests run on it")

ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-12}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
GRADIENTS = {
    "odd image": Gradient((7, 10)),
    "one row": Gradient((1, 9)),
    "one column": Gradient((6, 1)),
    "wider than a block": Gradient((2, 131)),
    "channels": Gradient((3, 5, 6)),
    "volume": Gradient((4, 5, 6), (-3, -2, -1)),
    "thin volume": Gradient((1, 5, 6), (-3, -2, -1)),
    "volumes of channels": Gradient((2, 3, 4, 5), (-3, -2, -1)),
}
WAVELETS = {
    "image": Wavelet((8, 12), "db2", 2),
    "padded": Wavelet((7, 10), "db4", 1),
    "one level of one row": Wavelet((1, 12), "haar", 1),
    "longer than the image": Wavelet((4, 6), "sym8", 1),
    "rows": Wavelet((3, 20), "bior4.4", 2, axes=(-1,)),
    "columns": Wavelet((20, 3), "coif1", 1, axes=(-2,)),
    "volume": Wavelet((4, 4, 8), "db2", 2, axes=(-3, -2, -1)),
    "wider than a block": Wavelet((4, 560), "haar", 1),
    "complex": Wavelet((8, 12), "db2", 1, field="complex"),
    "complex volume": Wavelet((4, 4, 8), "bior2.2", 1, axes=(-3, -2, -1), field="complex"),
}


def explicit(operator, dtype):
    """Columns of an operator's matrix, as (results, pixels)."""
    kind = dtype if operator.domain.field == "real" else dtype.to_complex()
    unit = torch.eye(operator.domain.size, dtype=kind).reshape(-1, *operator.domain.shape)
    return operator(unit).reshape(len(unit), -1).T


def assert_transposed(operator, dtype):
    """The adjoint by kernels for GPUs is a product with the transpose of the operator's matrix."""
    matrix = explicit(operator, dtype)
    y = operator.range.random((2,), seed=0, dtype=dtype)
    with on_a_gpu() as launched:
        found = operator.H(y)
    assert launched
    expected = (y.reshape(2, -1) @ matrix.conj()).reshape(found.shape)
    assert float((found - expected).norm() / expected.norm()) < ROUNDING[dtype]


@DTYPES
@pytest.mark.parametrize("name", GRADIENTS)
def test_the_adjoint_of_differences_is_their_transpose(name, dtype):
    assert_transposed(GRADIENTS[name], dtype)


def test_the_adjoint_of_complex_differences_is_their_transpose():
    assert_transposed(Gradient((3, 4), field="complex"), torch.float64)
    assert_transposed(Gradient((2, 3, 4), (-3, -2, -1), "complex"), torch.float32)


@DTYPES
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "volume" else n for n in WAVELETS]
)
def test_wavelets_are_those_of_plain_pytorch(name, dtype):
    W = WAVELETS[name]
    x, y = W.domain.random((2,), seed=0, dtype=dtype), W.range.random((2,), seed=1, dtype=dtype)
    expected = W(x), W.H(y)
    with on_a_gpu() as launched:
        found = W(x), W.H(y)
    assert {kernel.name for kernel in launched} == {"_filter"}
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).norm() / other.norm()) < ROUNDING[dtype]


@DTYPES
def test_matrices_by_unit_vectors_are_transposed(dtype):
    for operator in (Gradient((3, 2)), Wavelet((2, 4), "db2", 1)):
        with on_a_gpu():
            forward, backward = explicit(operator, dtype), explicit(operator.H, dtype)
        assert float((backward - forward.T).norm() / forward.norm()) < ROUNDING[dtype]


@DTYPES
@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("name", GRADIENTS)
def test_the_dual_step_is_its_formula(name, isotropic, dtype):
    K = GRADIENTS[name]
    y, x = normal(2, *K.range.shape, dtype=dtype), normal(2, *K.domain.shape, seed=1, dtype=dtype)
    per_sample = K.range.per_sample
    step, weight = (per_sample(torch.tensor(each, dtype=dtype)) for each in ([0.3, 0.8], [0.7, 1.1]))
    g = GroupL1(weight, -len(K.range.shape) if isotropic else None)
    expected = g.conjugate_prox(y + step * K(x), step)
    with on_a_gpu() as launched:
        found = dual_step(K, g, y, step, x)
    assert [kernel.name for kernel in launched] == ["_dual_step"]
    torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING[dtype])


def test_the_dual_step_keeps_nan_and_takes_a_weight_of_zero():
    K = GRADIENTS["odd image"]
    y, x = normal(*K.range.shape, dtype=torch.float32), torch.zeros(K.domain.shape)
    y[0, 3, 4] = torch.nan
    with on_a_gpu():
        for axis in (None, -3):
            assert torch.equal(torch.isnan(dual_step(K, GroupL1(0.7, axis), y, 0.3, x)), torch.isnan(y))
        zeros = dual_step(K, GroupL1(0.0, -3), torch.zeros_like(y), 0.3, x)
    assert torch.equal(zeros, torch.zeros_like(y))


@pytest.mark.parametrize("A", [Gradient((3, 4)), Wavelet((4, 6), "db2", 1)], ids=["Gradient", "Wavelet"])
def test_first_and_second_derivatives_are_exact(A):
    x = A.domain.random(seed=0, dtype=torch.float64).requires_grad_()
    y = A.range.random(seed=0, dtype=torch.float64).requires_grad_()
    with on_a_gpu():
        assert torch.autograd.gradcheck(A, x, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda y: A.H(y).square(), y, fast_mode=True)
