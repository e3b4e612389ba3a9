"""Linear operators against linear algebra."""

from __future__ import annotations

from functools import cached_property

import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.core.space import Data, map_parts
from invgen.operators import LinearOperator, ProductSpace
from invgen.testing.coordinates import coordinates, matrix
from invgen.testing.report import Checks, distance, parts

__all__ = [
    "EXACT",
    "Dense",
    "check_adjoint",
    "check_gram",
    "check_linearity",
    "check_nonnegative",
    "check_norm",
    "check_pinv",
    "check_solve",
    "check_svd",
    "check_transpose",
]

#: Bounds on rounding errors, by precision.
EXACT = {torch.float32: 1e-6, torch.float64: 1e-12}
#: Bounds on a gram operator with an algorithm of its own.
GRAM = {torch.float32: 1e-4, torch.float64: 1e-9}
#: Bounds on iterative solutions of well conditioned systems.
SOLVE = {torch.float32: 1e-4, torch.float64: 1e-9}


def check_linearity(A: LinearOperator, checks: Checks, seed: int) -> None:
    """Compare ``A(a x + b y)`` with ``a A(x) + b A(y)``, for complex numbers where all data are complex."""
    for name, operator in (("A", A), ("A.H", A.H)):
        complex_in = all(
            part.is_complex() for part in parts(operator.domain.random(seed=seed, dtype=torch.float64))
        )
        a, b = (0.7 - 0.4j, -1.3 + 0.2j) if complex_in and _all_complex(operator) else (0.7, -1.3)
        for dtype, bound in EXACT.items():
            x, y = (operator.domain.random((2,), seed=seed + 10 * i, dtype=dtype) for i in range(2))
            whole = operator(_combine(a, x, b, y))
            apart = _combine(a, operator(x), b, operator(y))
            checks.at_most(
                _name("linearity", name, dtype), distance(whole, apart), bound, f"{name} is not linear"
            )


def check_adjoint(A: LinearOperator, checks: Checks, seed: int) -> None:
    """Compare ``<A x, y>`` with ``<x, A.H y>``; the adjoint's adjoint is the operator itself."""
    checks.true("adjoint: A.H.H is A", A.H.H is A, "the adjoint of the adjoint is another object")
    checks.true(
        "adjoint: spaces",
        A.H.domain == A.range and A.H.range == A.domain,
        "A.H does not go from the range to the domain",
    )
    for dtype, bound in EXACT.items():
        for trial in range(3):
            x = A.domain.random(seed=seed + 20 * trial, dtype=dtype)
            y = A.range.random(seed=seed + 20 * trial + 10, dtype=dtype)
            # inner products are summed in float64: their rounding is not the operator's
            forward, backward = A(x), A.H(y)
            left = A.range.inner(_double(forward), _double(y))
            right = A.domain.inner(_double(x), _double(backward))
            if not _all_complex(A):
                left, right = left.real, right.real
            scale = A.range.norm(_double(forward)) * A.range.norm(_double(y))
            error = (left - right).abs() / scale if scale > 0 else (left - right).abs()
            checks.at_most(
                _name("adjoint", "dot test", dtype),
                error,
                bound,
                "|<A x, y> - <x, A.H y>| / |A x| |y| is too large",
            )


def check_gram(A: LinearOperator, checks: Checks, seed: int) -> None:
    """Compare ``A.gram`` with ``A.H A`` and with its own adjoint."""
    for dtype, bound in GRAM.items():
        x = A.domain.random((2,), seed=seed, dtype=dtype)
        checks.at_most(
            _name("gram", "", dtype), distance(A.gram(x), A.H(A(x))), bound, "A.gram(x) is not A.H(A(x))"
        )
        checks.at_most(
            _name("gram", "adjoint", dtype),
            distance(A.gram.H(x), A.gram(x)),
            bound,
            "the gram operator is not self-adjoint",
        )


class Dense:
    """An operator beside its explicit matrix in float64."""

    def __init__(self, operator: LinearOperator) -> None:
        self.operator = operator
        self.given, self.wanted = coordinates(operator)

    @cached_property
    def matrix(self) -> torch.Tensor:
        """Matrix of A, shape (m, n)."""
        return matrix(self.operator, self.given, self.wanted, torch.float64)

    @cached_property
    def singular_values(self) -> torch.Tensor:
        """Of the matrix, largest first."""
        return torch.linalg.svdvals(self.matrix)

    @property
    def condition(self) -> float:
        """Largest over smallest singular value, of those above rounding."""
        s = self.singular_values
        kept = s[s > 1e-10 * s[0]]
        return float(kept[0] / kept[-1]) if len(kept) else 1.0


def check_transpose(dense: Dense, checks: Checks, seed: int) -> None:
    """Compare ``A.H`` on unit measurements with the conjugate transpose of ``A`` on unit images."""
    for dtype, bound in EXACT.items():
        A = matrix(dense.operator, dense.given, dense.wanted, dtype)
        AH = matrix(dense.operator.H, dense.wanted, dense.given, dtype)
        checks.at_most(
            _name("transpose", "", dtype),
            distance(AH, A.mH),
            bound,
            "the matrix of A.H is not the conjugate transpose of that of A",
        )


def check_norm(dense: Dense, checks: Checks, seed: int) -> None:
    """Compare ``A.norm()`` with the largest singular value."""
    largest = dense.singular_values[0]
    error = abs(dense.operator.norm() - largest) / (largest if largest > 0 else 1.0)
    checks.at_most(
        "norm", error, 1e-6, f"A.norm() is {dense.operator.norm():.6g}, the SVD says {float(largest):.6g}"
    )


def check_nonnegative(dense: Dense, checks: Checks, seed: int) -> None:
    """Look for negative entries in an operator that says it has none."""
    if dense.operator.nonnegative:
        M = dense.matrix
        holds = bool((M.real >= 0).all()) and not (M.is_complex() and bool(M.imag.any()))
        checks.true("nonnegative", holds, "A.nonnegative is true, and the matrix has other entries")


def check_solve(dense: Dense, checks: Checks, seed: int) -> None:
    """Compare ``A.solve`` with the dense solution, with and without weights and for several shifts."""
    A = dense.operator
    if isinstance(A.domain, ProductSpace) or isinstance(A.range, ProductSpace):
        checks.leave_out("solve", "needs single spaces")
        return
    scale = float(dense.singular_values[0]) ** 2 or 1.0
    generator = torch.Generator().manual_seed(seed)
    w = torch.rand(2, *A.range.shape, generator=generator, dtype=torch.float64) + 0.2
    w[torch.rand(w.shape, generator=generator) < 0.2] = 0  # dead pixels
    shifts = torch.tensor([0.1, 0.5], dtype=torch.float64) * scale
    for name, shift, weights in (
        ("one shift", float(shifts[0]), None),
        ("shifts", shifts, None),
        ("weights", float(shifts[0]), w[0]),
        ("weights, shifts", shifts, w),
    ):
        for dtype, bound in SOLVE.items():
            b = A.domain.random((2,), seed=seed + 1, dtype=dtype)
            x = dense.given.of(A.solve(b, shift, weights))
            checks.at_most(
                _name("solve", name, dtype),
                distance(x, _dense_solution(dense, dense.given.of(_double(b)), shift, weights)),
                bound,
                "solve(b, shift, weights) differs from the dense solution of (A.H W A + shift) x = b",
            )
    if dense.condition < 1e3:
        b = A.H(A.range.random((2,), seed=seed + 2, dtype=torch.float64))
        shortest = dense.given.of(b) @ torch.linalg.pinv(dense.matrix.mH @ dense.matrix, hermitian=True).mT
        checks.at_most(
            "solve: no shift",
            distance(dense.given.of(A.solve(b)), shortest),
            1e-12 * max(1e3, dense.condition**2),
            "solve(b) without shift is not the solution of smallest norm",
        )
    b = A.domain.random(seed=seed, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(lambda b: A.solve(b, scale), (b,), fast_mode=True)
    with checks.raises("solve: errors", ParameterError, "a negative shift must be refused"):
        A.solve(b, -scale)
    with checks.raises("solve: errors", ParameterError, "negative weights must be refused"):
        A.solve(b, scale, -torch.ones(A.range.shape))
    with checks.raises("solve: errors", ShapeError, "weights of another shape must be refused"):
        A.solve(b, scale, torch.ones(A.range.shape[-1] + 1))


def check_pinv(dense: Dense, checks: Checks, seed: int) -> None:
    """Compare ``A.pinv`` with ``torch.linalg.pinv`` of the matrix."""
    A = dense.operator
    if isinstance(A.domain, ProductSpace):
        checks.leave_out("pinv", "needs a single domain")
    elif A.svd is None and dense.condition > 1e3:
        checks.leave_out("pinv", f"badly conditioned ({dense.condition:.0e}), and A has no SVD")
    else:
        y = A.range.random((2,), seed=seed, dtype=torch.float64)
        expected = dense.wanted.of(y) @ torch.linalg.pinv(dense.matrix, rtol=1e-10).mT
        checks.at_most(
            "pinv",
            distance(dense.given.of(A.pinv(y)), expected),
            1e-12 * max(1e3, dense.condition**2),
            "pinv(y) is not the least-squares solution of smallest norm",
        )


def check_svd(dense: Dense, checks: Checks, seed: int) -> None:
    """Rebuild A as ``U diag(s) V.H``, with isometries U and V and singular values that are not negative."""
    A = dense.operator
    svd = A.svd
    if svd is None:
        checks.leave_out("svd", "not known to the operator")
        return
    bound = 1e-10
    checks.true("svd: kept", A.svd is svd, "A.svd is made anew each time: define _svd, which is called once")
    checks.true("svd: s >= 0", bool((svd.s >= 0).all()), "singular values must not be negative")
    for name, factor in (("U", svd.U), ("V", svd.V)):
        given, wanted = coordinates(factor)
        F = matrix(factor, given, wanted, torch.float64)
        identity = torch.eye(F.shape[1], dtype=F.dtype)
        checks.at_most(f"svd: {name}", distance(F.mH @ F, identity), bound, f"{name} is not an isometry")
    x = A.domain.random((2,), seed=seed, dtype=torch.float64)
    coefficients = svd.V.H(x)
    y = svd.U(svd.s.to(coefficients) * coefficients)
    checks.at_most("svd: product", distance(y, A(x)), bound, "U diag(s) V.H is not A")


def _dense_solution(
    dense: Dense, b: torch.Tensor, shift: float | torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    M, eye = dense.matrix, torch.eye(dense.matrix.shape[1], dtype=dense.matrix.dtype)
    rows = []
    for i, row in enumerate(b):
        s = float(shift[i]) if isinstance(shift, torch.Tensor) else shift
        w = torch.ones(len(M), dtype=torch.float64)
        if weights is not None:
            w = dense.wanted.repeat(weights[i] if weights.ndim > len(dense.operator.range.shape) else weights)
        rows.append(torch.linalg.solve(M.mH @ (w[:, None] * M) + s * eye, row))
    return torch.stack(rows)


def _all_complex(A: LinearOperator) -> bool:
    """Whether the operator is linear over the complex numbers."""
    spaces = [s for space in (A.domain, A.range) for s in getattr(space, "spaces", (space,))]
    return all(space.field == "complex" for space in spaces)


def _combine(a: complex, x: Data, b: complex, y: Data) -> Data:
    return map_parts(lambda p, q: a * p + b * q, x, y)


def _double(x: Data) -> Data:
    return map_parts(lambda part: part.to(torch.promote_types(part.dtype, torch.float64)), x)


def _name(rule: str, what: str, dtype: torch.dtype) -> str:
    return f"{rule}: {what}{', ' if what else ''}{str(dtype).removeprefix('torch.')}"
