"""The algebra of linear operators: adjoint, sum, product, multiples, stacks, and their gram operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from invgen.core.errors import ShapeError
from invgen.core.space import Data, ProductSpace, Space
from invgen.operators.base import SVD, LinearOperator

__all__ = ["Adjoint", "Gram", "Product", "Scaled", "Stack", "Sum", "stack"]


class Adjoint(LinearOperator):
    """The Euclidean adjoint of `operator`; its own adjoint is that very object."""

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.range, operator.domain)
        self._operator = operator
        self.nonnegative = operator.nonnegative

    @property
    def H(self) -> LinearOperator:
        """The operator that this is the adjoint of."""
        return self._operator

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"{self._operator.name}.H"

    def _apply(self, x: Data) -> Data:
        return self._operator._adjoint(x)

    def _adjoint(self, y: Data) -> Data:
        return self._operator._apply(y)

    def _norm(self) -> float:
        return self._operator.norm()

    @property
    def svd(self) -> SVD | None:
        """``A.H = V diag(s) U.H``, for real singular values."""
        svd = self._operator.svd
        return None if svd is None else SVD(svd.V, svd.s, svd.U)


class Gram(LinearOperator):
    """``A.H @ A`` by applying both."""

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.domain, operator.domain)
        self._operator = operator
        self.nonnegative = operator.nonnegative

    def _apply(self, x: Data) -> Data:
        return self._operator._adjoint(self._operator._apply(x))

    _adjoint = _apply

    def _norm(self) -> float:
        return self._operator.norm() ** 2


class Sum(LinearOperator):
    """``A + B``."""

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        if first.domain != second.domain or first.range != second.range:
            raise ShapeError(f"{first} + {second}: domains and ranges must be the same.")
        super().__init__(first.domain, first.range)
        self._first, self._second = first, second
        self.nonnegative = first.nonnegative and second.nonnegative

    @property
    def observed(self) -> torch.Tensor | None:
        """What either observes."""
        first, second = self._first.observed, self._second.observed
        return None if first is None or second is None else first | second

    def _apply(self, x: Data) -> Data:
        return _add(self._first._apply(x), self._second._apply(x))

    def _adjoint(self, y: Data) -> Data:
        return _add(self._first._adjoint(y), self._second._adjoint(y))


class Product(LinearOperator):
    """``A @ B``: first B, then A."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        if outer.domain != inner.range:
            raise ShapeError(f"{outer} @ {inner}: the range of the second must be the domain of the first.")
        super().__init__(inner.domain, outer.range)
        self._outer, self._inner = outer, inner
        self.nonnegative = outer.nonnegative and inner.nonnegative

    @property
    def observed(self) -> torch.Tensor | None:
        """What the outer operator leaves."""
        return self._outer.observed

    def _apply(self, x: Data) -> Data:
        return self._outer._apply(self._inner._apply(x))

    def _adjoint(self, y: Data) -> Data:
        return self._inner._adjoint(self._outer._adjoint(y))

    def _gram(self) -> LinearOperator:
        # a product of grams would never end; only a gram that knows a structure is worth using
        gram = self._outer.gram
        return Gram(self) if isinstance(gram, Gram) else Product(self._inner.H, Product(gram, self._inner))


class Scaled(LinearOperator):
    """``scalar * A``."""

    def __init__(self, scalar: complex | np.number, operator: LinearOperator) -> None:
        value = complex(scalar)
        if value.imag and operator.domain.field != "complex":
            raise ShapeError(f"A complex multiple needs an operator on complex data; {operator} is real.")
        super().__init__(operator.domain, operator.range)
        self._scalar, self._operator = value if value.imag else value.real, operator
        self.nonnegative = operator.nonnegative and not value.imag and value.real >= 0

    @property
    def observed(self) -> torch.Tensor | None:
        """What the operator has."""
        return self._operator.observed

    def _apply(self, x: Data) -> Data:
        return _scale(self._scalar, self._operator._apply(x))

    def _adjoint(self, y: Data) -> Data:
        return _scale(self._scalar.conjugate(), self._operator._adjoint(y))

    def _gram(self) -> LinearOperator:
        return Scaled(abs(self._scalar) ** 2, self._operator.gram)

    def _norm(self) -> float:
        return abs(self._scalar) * self._operator.norm()

    @property
    def has_closed_form_solve(self) -> bool:
        """As the operator's own."""
        return self._scalar != 0 and self._operator.has_closed_form_solve

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        factor = abs(self._scalar) ** 2
        return self._operator._solve(b, shift / factor) / factor

    @property
    def svd(self) -> SVD | None:
        """The sign or phase of the scalar goes into U."""
        svd, size = self._operator.svd, abs(self._scalar)
        if svd is None or size == 0:
            return None
        return SVD(Scaled(self._scalar / size, svd.U), size * svd.s, svd.V)


class Stack(LinearOperator):
    """Several measurements of one image.

    Equal ranges are stacked on a new first axis of the measurement; unequal ones give a tuple.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        self._operators = tuple(operators)
        if not self._operators:
            raise ShapeError("stack needs at least one operator.")
        first = self._operators[0]
        if any(A.domain != first.domain for A in self._operators):
            raise ShapeError("stack needs operators with one domain.")
        ranges = [A.range for A in self._operators]
        self._equal = isinstance(first.range, Space) and all(r == first.range for r in ranges)
        whole = (
            Space((len(ranges), *first.range.shape), first.range.field)
            if self._equal
            else ProductSpace(ranges)
        )
        super().__init__(first.domain, whole)
        self.nonnegative = all(A.nonnegative for A in self._operators)

    @property
    def observed(self) -> torch.Tensor | None:
        """What each observes, of equal ranges; a tuple is all observed."""
        parts = [A.observed for A in self._operators]
        known = next((part for part in parts if part is not None), None)
        if known is None or not self._equal:
            return None
        everything = known.new_ones(())
        return torch.stack(
            [(everything if part is None else part).expand(self.range.shape[1:]) for part in parts]
        )

    def _apply(self, x: Data) -> Data:
        parts = tuple(A._apply(x) for A in self._operators)
        return torch.stack(parts, dim=-len(self.range.shape)) if self._equal else parts

    def _adjoint(self, y: Data) -> Data:
        parts = y.unbind(dim=-len(self.range.shape)) if self._equal else y
        total = self._operators[0]._adjoint(parts[0])
        for A, part in zip(self._operators[1:], parts[1:], strict=True):
            total = _add(total, A._adjoint(part))
        return total

    def _gram(self) -> LinearOperator:
        total = self._operators[0].gram
        for A in self._operators[1:]:
            total = Sum(total, A.gram)
        return total


def stack(operators: Sequence[LinearOperator]) -> LinearOperator:
    """Measure one image with several operators; see `Stack`."""
    return Stack(operators)


def _add(a: Data, b: Data) -> Data:
    return tuple(p + q for p, q in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b


def _scale(scalar: complex, a: Data) -> Data:
    return tuple(scalar * part for part in a) if isinstance(a, tuple) else scalar * a
