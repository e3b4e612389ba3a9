"""The bridge to ODL: adjoints against explicit matrices, and ODL's solvers on our operators."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.operators import (
    Gradient,
    Identity,
    MatrixOperator,
    Radon,
    from_odl,
    stack,
    to_odl,
)
from invgen.operators.odl import import_odl
from invgen.phantoms import Ellipses
from invgen.testing.coordinates import coordinates, matrix

odl = import_odl()
tomo = odl.applications.tomo


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def positive(*shape, seed=0):
    return normal(*shape, seed=seed).exp().numpy()


def cells(*shape, **parameters):
    """Cells of a volume that is not one."""
    return odl.uniform_discr(
        [-1.0] * len(shape), [n / 7 for n in range(3, 3 + len(shape))], shape, **parameters
    )


def transpose_error(A, dtype=torch.float64):
    given, wanted = coordinates(A)
    forward, adjoint = matrix(A, given, wanted, dtype), matrix(A.H, wanted, given, dtype)
    return float((forward.mH - adjoint).norm() / forward.norm())


def relative(a, b):
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))


M = normal(5, 4).numpy()

#: Weights in the domain, in the range, in both; constants and arrays; where they cancel and where not.
OPERATORS = {
    "gradient": lambda: odl.Gradient(cells(4, 5)),
    "gradient, other weight": lambda: odl.Gradient(cells(4, 5, weighting=3.0), pad_mode="symmetric"),
    "gradient, complex": lambda: odl.Gradient(cells(4, 3, dtype=complex)),
    "divergence": lambda: odl.Divergence(range=cells(4, 5)),
    "matrix": lambda: odl.MatrixOperator(M),
    "matrix, constant weights": lambda: odl.MatrixOperator(
        M, domain=odl.rn(4, weighting=2.0), range=odl.rn(5, weighting=7.0)
    ),
    "matrix, arrays of weights": lambda: odl.MatrixOperator(
        M, domain=odl.rn(4, weighting=positive(4)), range=odl.rn(5, weighting=positive(5, seed=1))
    ),
    "matrix, complex": lambda: odl.MatrixOperator(
        M + 1j * M[::-1], domain=odl.cn(4, weighting=positive(4)), range=odl.cn(5, weighting=3.0)
    ),
    "array of weights": lambda: odl.IdentityOperator(odl.rn((3, 4), weighting=positive(3, 4))),
    "weight on one side": lambda: odl.FlatteningOperator(cells(3, 4)),
    "sampling": lambda: odl.SamplingOperator(cells(3, 4), [[0, 1, 1], [3, 2, 2]]),
    "number": lambda: odl.InnerProductOperator(cells(6).element(normal(6).numpy())),
    "weights of a power space": lambda: odl.ComponentProjection(
        odl.ProductSpace(cells(4), 3, weighting=[1.0, 2.0, 5.0]), 1
    ),
    "tuple": lambda: odl.BroadcastOperator(odl.Gradient(cells(3, 4)), odl.FlatteningOperator(cells(3, 4))),
    "Fourier": lambda: odl.trafos.DiscreteFourierTransform(cells(4, 3, dtype=complex), impl="numpy"),
    "real part": lambda: odl.RealPart(cells(5, dtype=complex)),
    "zero": lambda: odl.ZeroOperator(cells(5)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_adjoint_is_the_transpose_of_the_explicit_matrix(name):
    A = from_odl(OPERATORS[name]())
    assert name == "zero" or transpose_error(A) < 1e-12


def test_results_are_those_of_odl():
    theirs = odl.Gradient(cells(4, 5))
    x = normal(2, 3, 4, 5)
    y = from_odl(theirs)(x)
    assert y.shape == (2, 3, 2, 4, 5)
    assert y.is_contiguous()
    expected = theirs(theirs.domain.element(x[1, 2].numpy())).asarray()
    np.testing.assert_array_equal(y[1, 2], expected)


def test_results_do_not_share_memory_with_odl():
    x = theirs = normal(4).numpy()
    space = odl.rn(4)
    A = from_odl(odl.MultiplyOperator(space.element(theirs)))
    y = A(torch.ones(4, dtype=torch.float64))
    y.zero_()
    assert torch.equal(A(torch.ones(4, dtype=torch.float64)), torch.as_tensor(x))


def test_precision_is_that_of_the_spaces_and_dtype_that_of_the_input():
    A = from_odl(odl.IdentityOperator(odl.rn(3, dtype="float32")) * 1.0)
    x = normal(3)
    y = A(x)
    assert y.dtype == torch.float64
    assert torch.equal(y, x.float().double())


def test_spaces_of_pytorch():
    A = from_odl(odl.ScalingOperator(odl.rn((2, 3), impl="pytorch", dtype="float64", weighting=2.0), 3.0))
    x = normal(4, 2, 3)
    assert torch.equal(A(x), 3 * x)
    assert transpose_error(A) < 1e-12


@pytest.mark.parametrize(
    ("operator", "error", "words"),
    [
        (lambda: MatrixOperator(M), DtypeError, "odl.Operator"),
        (lambda: odl.functionals.L2NormSquared(odl.rn(3)), CapabilityError, "linear"),
        (lambda: odl.LinCombOperator(odl.rn(3), 1, 2), CapabilityError, "FunctionOperator"),
        (lambda: odl.IdentityOperator(odl.tensor_space(3, dtype="int32")), DtypeError, "int"),
        # the inverse instead of the adjoint, which interpolation makes another thing
        (
            lambda: odl.trafos.FourierTransform(cells(4, 3, dtype=complex), impl="numpy"),
            CapabilityError,
            "vari",
        ),
    ],
)
def test_what_cannot_be_wrapped_is_refused(operator, error, words):
    with pytest.raises(error, match=words):
        from_odl(operator())


def test_a_wrong_adjoint_is_refused():
    """Backprojection by interpolation is 20 % away from the transpose."""
    pytest.importorskip("skimage")
    space = odl.uniform_discr([-1, -1], [1, 1], (16, 16))
    transform = tomo.RayTransform(space, tomo.parallel_beam_geometry(space, 12), impl="skimage")
    with pytest.raises(CapabilityError, match="transpose"):
        from_odl(transform)


# ODL's solvers on our operators


def scan(dtype=torch.float64, n=64):
    A = Radon((n, n), 60)
    disc = Ellipses([1.0, 0.5, -0.4], [0, 6, -9], [0, -8, 5], [22, 7, 5], [26, 4, 9], [0, 0.6, 0])
    x = disc.image((n, n), 1.0).to(dtype)
    return A, x, A(x) + 0.2 * normal(*A.range.shape, seed=1).to(dtype)


@pytest.mark.parametrize(("dtype", "iterations"), [("float32", 10), ("float64", 10), ("float64", 20)])
def test_conjugate_gradients_of_odl_and_ours_give_the_same_image(dtype, iterations):
    """Longer runs amplify rounding, in either program: after 15 iterations even in float64 to 1e-3."""
    A, _, y = scan(getattr(torch, dtype))
    theirs = to_odl(A, dtype)
    x = theirs.domain.zero()
    odl.solvers.conjugate_gradient_normal(theirs, x, theirs.range.element(y.numpy()), niter=iterations)
    ours = ig.solvers.CG(weight=0, iterations=iterations, tolerance=0)(ig.Problem(A, y)).x
    assert relative(x.asarray(), ours) < 1e-4


def test_landweber_of_odl_follows_its_formula():
    A, _, y = scan()
    theirs, step = to_odl(A, "float64"), 1 / A.norm() ** 2
    x = theirs.domain.zero()
    odl.solvers.landweber(theirs, x, theirs.range.element(y.numpy()), niter=10, omega=step)
    expected = torch.zeros_like(A.H(y))
    for _ in range(10):
        expected = expected + step * A.H(y - A(expected))
    assert relative(x.asarray(), expected) < 1e-12


@pytest.mark.slow
def test_total_variation_with_pdhg_of_odl_gives_our_image():
    """On a discretized space, whose weight changes ODL's inner products and not the minimum."""
    A, _, y = scan(n=32)
    space = odl.uniform_discr([-8, -8], [8, 8], (32, 32))
    theirs, weight = to_odl(A, domain=space), 2.0
    gradient = odl.Gradient(space, method="forward", pad_mode="symmetric")
    # ODL's gradient divides by the size of a pixel, and its norm is weighted by the area
    scale = space.cell_sides[0] / space.cell_volume
    terms = odl.functionals.SeparableSum(
        0.5 * odl.functionals.L2NormSquared(theirs.range).translated(theirs.range.element(y.numpy())),
        weight * scale * odl.functionals.GroupL1Norm(gradient.range),
    )
    both = odl.BroadcastOperator(theirs, gradient)
    norm = 1.05 * odl.power_method_opnorm(both, xstart=odl.phantom.white_noise(space, seed=0), maxiter=50)
    x, zero = space.zero(), odl.functionals.ZeroFunctional(space)
    odl.solvers.pdhg(x, zero, terms, both, niter=500, tau=0.01 / norm, sigma=100 / norm)
    solver = ig.solvers.PDHG(ig.priors.TotalVariation(weight), iterations=1000, tolerance=1e-7)
    assert relative(x.asarray(), solver(ig.Problem(A, y)).x) < 5e-3


WEIGHTED = {"weighting": 3.0}


@pytest.mark.parametrize(
    ("operator", "domain", "range"),
    [
        (lambda: MatrixOperator(M), None, None),
        (lambda: MatrixOperator(M), lambda: odl.rn(4, weighting=positive(4)), lambda: odl.rn(5, **WEIGHTED)),
        (lambda: MatrixOperator(normal(5, 4, dtype=torch.complex128)), None, lambda: odl.cn(5, **WEIGHTED)),
        (lambda: Radon((6, 5), 4), lambda: cells(6, 5), None),
        (
            lambda: Gradient((4, 5)),
            lambda: cells(4, 5),
            lambda: odl.ProductSpace(cells(4, 5), 2, weighting=[1, 4]),
        ),
        (lambda: stack([MatrixOperator(M), Identity((4,))]), lambda: cells(4), None),
        (lambda: stack([MatrixOperator(M), Identity((4,))]).H, None, lambda: cells(4)),
    ],
    ids=["plain", "weighted", "complex", "image", "power space", "tuple", "from a tuple"],
)
def test_adjoint_in_the_inner_products_of_odl(operator, domain, range):
    A = to_odl(operator(), "float64", domain and domain(), range and range())
    x, y = (odl.phantom.white_noise(space, seed=i) for i, space in enumerate((A.domain, A.range)))
    left, right = A.range.inner(A(x), y), A.domain.inner(x, A.adjoint(y))
    assert abs(left - right) < 1e-12 * A.range.norm(A(x)) * A.range.norm(y)
    assert A.adjoint.adjoint is A
    out = A.range.element()
    A(x, out=out)
    assert A.range.dist(out, A(x)) == 0


def test_there_and_back():
    A = Radon((6, 5), 4)
    B = from_odl(to_odl(A, "float64", domain=cells(6, 5)))
    x, y = normal(2, 6, 5), normal(4, A.range.shape[1])
    torch.testing.assert_close(B(x), A(x))
    torch.testing.assert_close(B.H(y), A.H(y))


def test_precision_of_the_spaces():
    A = Radon((6, 5), 4)
    assert to_odl(A).domain == odl.rn((6, 5), dtype="float32")
    assert to_odl(A, domain=cells(6, 5)).range.dtype == np.float64
    assert to_odl(MatrixOperator(normal(2, 3).to(torch.complex128))).domain.dtype == np.complex64


def test_arrays_of_pytorch():
    A = MatrixOperator(M)
    B = to_odl(
        A, domain=odl.rn(4, impl="pytorch", dtype="float64"), range=odl.rn(5, impl="pytorch", dtype="float64")
    )
    x = normal(4)
    torch.testing.assert_close(B(B.domain.element(x)).asarray(), A(x))
    torch.testing.assert_close(B.adjoint(B.range.element(A(x))).asarray(), A.gram(x))


def test_spaces_that_do_not_fit_are_refused():
    A = MatrixOperator(M)
    with pytest.raises(ParameterError, match="float32"):
        to_odl(A, "float16")
    with pytest.raises(ShapeError, match="domain"):
        to_odl(A, domain=odl.rn(5))
    with pytest.raises(ShapeError, match="range"):
        to_odl(A, range=odl.cn(5))
    with pytest.raises(CapabilityError, match="inner product"):
        to_odl(A, range=odl.rn(5, exponent=1))
    mixed = stack([Identity((4,)), from_odl(odl.ComplexEmbedding(odl.rn(4), 1j))])
    with pytest.raises(CapabilityError, match="mixed"):
        to_odl(mixed)


# what importing ODL changes


USE = """
import os, sys, numpy as np, torch, invgen as ig
def state():
    return (
        dict(os.environ), np.get_printoptions(), np.geterr(), list(sys.path), torch.get_num_threads(),
        torch.get_default_dtype(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
    )
A = ig.operators.Radon((16, 16), 8)
A.H(A(torch.ones(16, 16)))
assert "odl" not in sys.modules, "imported without use"
before = state()
B = ig.operators.to_odl(A)
B.adjoint(B(B.domain.one()))
ig.operators.from_odl(B)(torch.ones(16, 16))
assert "odl" in sys.modules
assert state() == before, "changed"
from scipy._lib._array_api import SCIPY_ARRAY_API
assert SCIPY_ARRAY_API == os.environ.get("SCIPY_ARRAY_API", False), "SciPy took it over"
"""


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("variables", [{}, {"SCIPY_ARRAY_API": "0"}, {"SCIPY_ARRAY_API": "1"}])
def test_odl_is_imported_by_use_only_and_leaves_nothing_behind(variables, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "SCIPY_ARRAY_API"} | variables
    command = [sys.executable, "-c", USE]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
