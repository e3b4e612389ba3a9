"""Operators: the physics of a measurement, as maps between spaces with exact derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from invgen.core.counting import record_call
from invgen.core.errors import CapabilityError
from invgen.core.frozen import Constant, Frozen
from invgen.core.krylov import largest_eigenvalue
from invgen.core.space import Data, ProductSpace, Space, as_space

__all__ = ["SVD", "LinearOperator", "Operator"]


class Operator(Frozen):
    """A differentiable map from images to measurements.

    A subclass gives ``_apply``; its derivatives are PyTorch's unless it knows better.

    Parameters
    ----------
    domain, range : Space, ProductSpace or tuple of int
        What goes in and what comes out, without batch axes. A tuple is the shape of real arrays.
    """

    #: NumPy's scalars leave products with an operator to the operator.
    __array_ufunc__ = None

    def __init__(self, domain: Any, range: Any) -> None:
        self.domain = as_space(domain)
        self.range = as_space(range)

    def _apply(self, x: Data, /) -> Data:
        raise NotImplementedError

    def __call__(self, x: Data) -> Data:
        """Apply the operator to `x`, of the shape ``(*batch, *domain.shape)``."""
        self.domain.check(x, self.name)
        return self._apply(x)

    @property
    def observed(self) -> torch.Tensor | None:
        """True where a measurement tells of the image, broadcasting to the range; None where all of it does.

        Elsewhere `_apply` gives zero whatever the image: pixels that are lost, k-space that is not sampled.
        """
        return None

    def estimate_noise(self, y: Data) -> torch.Tensor | None:
        """Standard deviation of white noise on `y`, shape of the batch, or None where nothing tells."""
        return None

    def restrict(self, x: torch.Tensor) -> torch.Tensor:
        """`x` with what lies outside of the field of view, where there is one, set to zero."""
        return x

    def jvp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Derivative at `x` in the direction `v`."""
        self.domain.check(x, self.name)
        self.domain.check(v, self.name)
        return torch.func.jvp(self._apply, (x,), (v,))[1]

    def vjp(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Adjoint of the derivative at `x`, applied to `w`."""
        self.domain.check(x, self.name)
        self.range.check(w, self.name)
        return torch.func.vjp(self._apply, x)[1](w)[0]

    @property
    def name(self) -> str:
        """Name of the class, for messages."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"{self.name}({_show(self.domain)} -> {_show(self.range)})"


@dataclass(frozen=True)
class SVD:
    """Singular value decomposition ``A = U diag(s) V.H`` with isometries `U` and `V`.

    Attributes
    ----------
    U, V : LinearOperator
        From coefficients, shape ``(r,)`` or any fixed shape, to the range and to the domain.
    s : tensor
        Singular values, of the coefficients' shape, not sorted unless said so.
    """

    U: LinearOperator
    s: torch.Tensor
    V: LinearOperator


class LinearOperator(Operator):
    """A linear map with its exact Euclidean adjoint.

    A subclass gives ``_apply`` and ``_adjoint``, and where its structure allows ``_gram``, ``_solve``,
    ``_norm`` and ``svd``. Checks, batch axes, derivatives and algebra are done here.
    """

    #: True where no entry of the operator's matrix is negative.
    nonnegative = False

    def _adjoint(self, y: Data, /) -> Data:
        raise NotImplementedError

    def _gram(self) -> LinearOperator:
        from invgen.operators.algebra import Gram

        return Gram(self)

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        """Closed form of ``(A.H A + shift)^-1 b``; overridden where there is one."""
        raise NotImplementedError

    def _norm(self) -> float:
        # A.H has the same singular values and may have the plain domain that Lanczos needs
        A = self.H if isinstance(self.domain, ProductSpace) else self
        start = A.domain.random(seed=0, dtype=torch.float64)
        # below zero by rounding, or where a user's adjoint is none
        return max(0.0, float(largest_eigenvalue(A.gram._apply, start, A.domain))) ** 0.5

    def __call__(self, x: Data) -> Data:
        """Apply the operator to `x`, of the shape ``(*batch, *domain.shape)``."""
        self.domain.check(x, self.name)
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
        from invgen.operators.algebra import Adjoint

        return Adjoint(self)

    @cached_property
    def gram(self) -> LinearOperator:
        """``A.H @ A``, with the structure that the operator knows."""
        return self._gram()

    @cached_property
    def _spectral_norm(self) -> float:
        return self._norm()

    def norm(self) -> float:
        """Largest singular value (computed once, then kept)."""
        return self._spectral_norm

    def norm_bound(self) -> float:
        """A number not below `norm` and close to it, as step sizes need: at once where there is a formula."""
        return self.norm()

    @property
    def has_closed_form_solve(self) -> bool:
        """Whether ``solve`` without weights is a formula rather than an iteration."""
        return type(self)._solve is not LinearOperator._solve

    @property
    def svd(self) -> SVD | None:
        """Singular value decomposition where it is known, else None."""
        return None

    @property
    def spectrum(self) -> Constant | None:
        """Symbol of a periodic convolution that is close to the gram operator, or None.

        Non-negative, on the frequencies of ``torch.fft.fftn`` over all axes of the domain. It
        preconditions: nothing rests on how close it is but speed.
        """
        return None

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
        from invgen.operators.inverse import Inverse

        self.domain.check(b, f"{self.name}.solve")
        if any(isinstance(p, torch.Tensor) and p.requires_grad for p in (shift, weights)):
            raise CapabilityError(f"{self.name}.solve differentiates b; detach shift and weights.")
        return apply_linear(Inverse(self, shift, weights), b)

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

    def to_odl(self, dtype: str | None = None, domain: Any = None, range: Any = None) -> Any:
        """Give the operator to ODL, whose solvers then run on it.

        Parameters
        ----------
        dtype : {"float32", "float64"}, optional
            Precision of ODL's spaces, also of complex ones; by default that of a given space, else float32.
        domain, range : odl.LinearSpace, optional
            Spaces of the same shapes, such as ``odl.uniform_discr``, which ``odl.Gradient`` asks for; by
            default ``odl.rn`` and ``odl.cn``, unweighted, and ``odl.ProductSpace`` of them for tuples.

        Returns
        -------
        odl.Operator
            Its adjoint is `H`, but for the weights of the spaces that are given. Batch axes have no place in
            ODL's spaces.

        Raises
        ------
        ShapeError
            If a space does not fit.
        CapabilityError
            If ODL has no such space, or the space no weighted inner product.
        """
        from invgen.operators.odl import to_odl

        return to_odl(self, dtype, domain, range)

    def __matmul__(self, other: Any) -> LinearOperator:
        from invgen.operators.algebra import Product

        return Product(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __add__(self, other: Any) -> LinearOperator:
        from invgen.operators.algebra import Sum

        return Sum(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __sub__(self, other: Any) -> LinearOperator:
        return self + (-1.0) * other if isinstance(other, LinearOperator) else NotImplemented

    def __neg__(self) -> LinearOperator:
        return (-1.0) * self

    def __mul__(self, scalar: Any) -> LinearOperator:
        from invgen.operators.algebra import Scaled

        return (
            Scaled(scalar, self) if isinstance(scalar, int | float | complex | np.number) else NotImplemented
        )

    __rmul__ = __mul__


class _Linear(torch.autograd.Function):
    """A linear operator in PyTorch's graph: its derivative is itself, its backward its adjoint."""

    @staticmethod
    def forward(operator: LinearOperator, *parts: torch.Tensor) -> Data:
        x = parts if isinstance(operator.domain, ProductSpace) else parts[0]
        if not parts[0].numel():  # an empty batch, which transforms and kernels refuse
            dtype, device = parts[0].dtype.to_real(), parts[0].device
            return operator.range.random(operator.domain.batch_shape(x), seed=0, dtype=dtype, device=device)
        return operator._apply(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.operator = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        adjoint = ctx.operator.H
        result = apply_linear(adjoint, grads if isinstance(adjoint.domain, ProductSpace) else grads[0])
        return None, *(result if isinstance(result, tuple) else (result,))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: torch.Tensor) -> Data:
        operator = ctx.operator
        return apply_linear(operator, tangents if isinstance(operator.domain, ProductSpace) else tangents[0])


def apply_linear(operator: LinearOperator, x: Data) -> Data:
    """Apply to checked data, entering PyTorch's graph where a gradient is wanted."""
    record_call(operator)
    parts = tuple(x) if isinstance(operator.domain, ProductSpace) else (x,)
    # NumPy, FINUFFT and numba do not know of conjugates and signs that PyTorch has yet to carry out
    return _Linear.apply(operator, *(part.resolve_conj().resolve_neg() for part in parts))


def _show(space: Space | ProductSpace) -> str:
    if isinstance(space, ProductSpace):
        return " + ".join(map(_show, space.spaces))
    return f"{space.shape}{' complex' if space.field == 'complex' else ''}"
