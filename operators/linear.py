"""Linear operators, and what their own methods build: adjoint, gram, sum, product, multiple, inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, overload

import numpy as np
import torch

from invgen.core.counting import record_call
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.core.krylov import conjugate_gradients, largest_eigenvalue
from invgen.core.late import fails
from invgen.core.space import Data, ProductSpace, broadcasts, map_parts
from invgen.operators.autograd import apply_linear
from invgen.operators.base import Composition, Operator

__all__ = ["SVD", "Adjoint", "Gram", "Inverse", "LinearOperator", "Product", "Scaled", "Sum"]

#: Fraction of the largest curvature that a Fourier preconditioner adds at every frequency: of 0.001 to 0.3
#: the one with the fewest iterations on fans of 60 and 180 views. Between the frequencies that were measured,
#: and at the image's edges, a periodic convolution is a bad description.
_FLOOR = 1e-2


@dataclass(frozen=True)
class SVD:
    """Singular value decomposition ``A = U diag(s) V.H`` with isometries `U` and `V`.

    Attributes
    ----------
    U, V : LinearOperator
        From coefficients, shape ``(r,)`` or any fixed shape, to the range and to the domain.
    s : tensor
        Singular values, of the coefficients' shape, not sorted unless stated.
    """

    U: LinearOperator
    s: torch.Tensor
    V: LinearOperator

    def values(self, like: torch.Tensor) -> torch.Tensor:
        """`s` on the device of `like` and in its precision, moved once and kept."""
        return self._values.like(like)

    @cached_property
    def _values(self) -> Constant:
        return Constant(self.s)


class LinearOperator(Operator):
    """A linear map with its exact Euclidean adjoint.

    A subclass defines ``_apply`` and ``_adjoint``, and where its structure allows ``_gram``, ``_solve``,
    ``_norm`` and ``_svd``. Checks, batch axes, derivatives and algebra are done here.
    """

    #: True where no entry of the operator's matrix is negative.
    nonnegative = False

    def _adjoint(self, y: Data, /) -> Data:
        raise NotImplementedError

    def _gram(self) -> LinearOperator:
        return Gram(self)

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        """Closed form of ``(A.H A + shift)^-1 b``; overridden where there is one."""
        raise NotImplementedError

    def _norm(self) -> float:
        # A.H has the same singular values and may have the plain domain that Lanczos needs
        A = self.H if isinstance(self.domain, ProductSpace) else self
        start = A.domain.random(seed=0, dtype=torch.float64)
        # negative by rounding, or where a user's adjoint is wrong
        return max(0.0, float(largest_eigenvalue(A.gram._apply, start, A.domain))) ** 0.5

    def _svd(self) -> SVD | None:
        return None

    def _call(self, x: Data, /) -> Data:
        record_call(self)
        return apply_linear(self, x)

    def jvp(self, x: Data, v: Data) -> Data:
        """Derivative in the direction `v`: the operator itself."""
        self.domain.check(x, self.name)
        return self(v)

    def vjp(self, x: Data, w: Data) -> Data:
        """Adjoint of the derivative: the adjoint."""
        self.domain.check(x, self.name)
        return self.H(w)

    @cached_property
    def H(self) -> LinearOperator:
        """The Euclidean adjoint, unweighted; ``A.H.H is A``."""
        return Adjoint(self)

    @cached_property
    def gram(self) -> LinearOperator:
        """``A.H @ A``, by a faster way than applying both where the operator has one."""
        return self._gram()

    @cached_property
    def _spectral_norm(self) -> float:
        return self._norm()

    def norm(self) -> float:
        """Largest singular value (computed once, then kept)."""
        return self._spectral_norm

    def norm_bound(self) -> float:
        """An upper bound of `norm` that is close to it, for step sizes: a formula where there is one."""
        return self.norm()

    @property
    def has_closed_form_solve(self) -> bool:
        """Whether ``solve`` without weights is a formula rather than an iteration."""
        return type(self)._solve is not LinearOperator._solve

    @cached_property
    def svd(self) -> SVD | None:
        """Singular value decomposition where it is known, else None (made once, then kept)."""
        return self._svd()

    @property
    def spectrum(self) -> Constant | None:
        """Symbol of a periodic convolution that is close to the gram operator, or None.

        Non-negative, on the frequencies of ``torch.fft.fftn`` over all axes of the domain. It is used for
        preconditioning only: results do not depend on its accuracy, the number of iterations does.
        """
        return None

    #: See `raised_spectrum`.
    spectrum_floor: ClassVar[float] = _FLOOR

    @cached_property
    def raised_spectrum(self) -> Constant | None:
        """`spectrum`, to which `spectrum_floor` of its maximum is added at every frequency, or None."""
        if self.spectrum is None:
            return None
        symbol = self.spectrum.value
        return Constant(symbol + self.spectrum_floor * symbol.max())

    def fourier_preconditioner(
        self, like: torch.Tensor, mean: float | torch.Tensor, shift: float | torch.Tensor
    ) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Inverse of the periodic convolution near ``mean A.H A + shift``; None without `spectrum`.

        `mean` and `shift` are numbers, or shaped to multiply elements of the domain, and `like` has the
        device and precision of these elements.
        """
        if self.raised_spectrum is None:
            return None
        symbol = self.domain.half(self.raised_spectrum.like(like))
        return partial(self.domain.filter, 1 / (mean * symbol + shift))

    def solve(
        self, b: torch.Tensor, shift: float | torch.Tensor = 0.0, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Solve ``(A.H W A + shift) x = b``.

        Closed form where there is one; else conjugate gradients to 1e-6 (float32) or 1e-12 (float64)
        of the right-hand side, preconditioned by the unweighted closed form or by `spectrum`.

        Parameters
        ----------
        b : tensor, shape (*batch, *domain.shape)
        shift : non-negative number, or one for each batch element
        weights : real non-negative tensor that broadcasts to the range, optional
            Diagonal of W.
        """
        self.domain.check(b, f"{self.name}.solve")
        if any(isinstance(p, torch.Tensor) and p.requires_grad for p in (shift, weights)):
            raise CapabilityError(f"{self.name}.solve differentiates b; detach shift and weights.")
        return Inverse(self, shift, weights)._call(b)

    def pinv(self, y: Data) -> torch.Tensor:
        """Least-squares solution of smallest norm."""
        self.range.check(y, f"{self.name}.pinv")
        if self.svd is None:
            return self.solve(self.H(y))
        U, s, V = self.svd.U, self.svd.s, self.svd.V
        coefficients = U.H(y)
        s = s.to(device=coefficients.device, dtype=coefficients.dtype)
        # as in numpy.linalg.pinv, what rounding alone could have made is zero
        keep = s.abs() > s.abs().max() * max(self.range.size, self.domain.size) * torch.finfo(s.dtype).eps
        return V(torch.where(keep, coefficients / torch.where(keep, s, 1), 0))

    @overload
    def __matmul__(self, other: LinearOperator) -> LinearOperator: ...
    @overload
    def __matmul__(self, other: Operator) -> Operator: ...
    def __matmul__(self, other: Any) -> Operator:
        return Product(self, other) if isinstance(other, LinearOperator) else super().__matmul__(other)

    def __add__(self, other: Any) -> LinearOperator:
        return Sum(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __sub__(self, other: Any) -> LinearOperator:
        return self + (-1.0) * other if isinstance(other, LinearOperator) else NotImplemented

    def __neg__(self) -> LinearOperator:
        return (-1.0) * self

    def __mul__(self, scalar: Any) -> LinearOperator:
        known = isinstance(scalar, int | float | complex | np.number)
        return Scaled(scalar, self) if known else NotImplemented

    __rmul__ = __mul__


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

    def _svd(self) -> SVD | None:
        svd = self._operator.svd
        return None if svd is None else SVD(svd.V, svd.s, svd.U)  # singular values are real


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
        return map_parts(torch.add, self._first._apply(x), self._second._apply(x))

    def _adjoint(self, y: Data) -> Data:
        return map_parts(torch.add, self._first._adjoint(y), self._second._adjoint(y))


class Product(LinearOperator, Composition):
    """``A @ B`` of linear operators: first B, then A."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        super().__init__(outer, inner)
        self._outer: LinearOperator = outer
        self._inner: LinearOperator = inner
        self.nonnegative = outer.nonnegative and inner.nonnegative

    def _apply(self, x: Data) -> Data:
        return self._outer._apply(self._inner._apply(x))

    def _adjoint(self, y: Data) -> Data:
        return self._inner._adjoint(self._outer._adjoint(y))

    def _gram(self) -> LinearOperator:
        # a gram that only applies both operators is not worth nesting
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
        """What the operator observes."""
        return self._operator.observed

    def _apply(self, x: Data) -> Data:
        return map_parts(lambda part: self._scalar * part, self._operator._apply(x))

    def _adjoint(self, y: Data) -> Data:
        conjugate = self._scalar.conjugate()
        return map_parts(lambda part: conjugate * part, self._operator._adjoint(y))

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

    def _svd(self) -> SVD | None:
        svd, size = self._operator.svd, abs(self._scalar)
        if svd is None or size == 0:
            return None
        return SVD(Scaled(self._scalar / size, svd.U), size * svd.s, svd.V)  # U has the sign or phase


class Inverse(LinearOperator):
    """``(A.H W A + shift)^-1``, self-adjoint: so that ``solve`` has exact derivatives too.

    Parameters
    ----------
    operator, shift, weights
        As for `LinearOperator.solve`.
    """

    def __init__(
        self, operator: LinearOperator, shift: float | torch.Tensor, weights: torch.Tensor | None
    ) -> None:
        if isinstance(operator.domain, ProductSpace):
            raise CapabilityError(f"{operator.name} acts on tuples; solve needs a single domain.")
        if fails(~torch.as_tensor(shift).lt(0)):
            raise ParameterError(f"shift must not be negative; got {shift}.")
        if weights is not None:
            _check_weights(operator, weights)
        super().__init__(operator.domain, operator.domain)
        self._operator, self._shift, self._weights = operator, shift, weights

    def _apply(self, b: torch.Tensor) -> torch.Tensor:
        A, W, shift = self._operator, self._weights, self._shift
        if isinstance(shift, torch.Tensor):
            shift = self.domain.per_sample(shift.to(device=b.device, dtype=b.dtype.to_real()))
        if W is None and A.has_closed_form_solve:
            return A._solve(b, shift)
        if W is None:
            mean = 1.0

            def normal(x: torch.Tensor) -> torch.Tensor:
                return A.gram._call(x) + shift * x
        else:
            weights = W.to(device=b.device, dtype=b.dtype.to_real())
            mean = float(W.mean())

            def normal(x: torch.Tensor) -> torch.Tensor:
                return A.H._call(weights * A._call(x)) + shift * x

        return conjugate_gradients(normal, b, self.domain, precondition=self._preconditioner(b, shift, mean))

    _adjoint = _apply

    def _preconditioner(
        self, b: torch.Tensor, shift: float | torch.Tensor, mean: float
    ) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """The inverse with the mean weight in closed form, or an approximation of it in Fourier space.

        Without a shift the system may be singular: only the plain iteration then ends at the solution of
        smallest norm.
        """
        A = self._operator
        if mean == 0 or bool(torch.as_tensor(self._shift).eq(0).any()):
            return None
        if A.has_closed_form_solve:
            return lambda r: A._solve(r, shift / mean) / mean
        return A.fourier_preconditioner(b, mean, shift)


def _check_weights(operator: LinearOperator, weights: torch.Tensor) -> None:
    if isinstance(operator.range, ProductSpace):
        raise CapabilityError(
            "weights need an operator with a single range; weight the stacked operators instead."
        )
    shape = operator.range.shape
    if not broadcasts(weights.shape[-len(shape) :], shape):
        raise ShapeError(f"weights must broadcast to {shape}; got {tuple(weights.shape)}.")
    if weights.is_complex() or not bool((weights >= 0).all()) or not bool(torch.isfinite(weights).all()):
        raise ParameterError("weights must be real, finite and not negative.")
