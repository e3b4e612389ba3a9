"""Operators from what a user has: nothing, a matrix, functions, a SciPy operator."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from invgen.core.batching import each_alone, element_numbers, per_element
from invgen.core.errors import ShapeError
from invgen.core.frozen import Constant, Separable
from invgen.core.space import Space
from invgen.operators.base import Operator
from invgen.operators.linear import SVD, LinearOperator

__all__ = ["LARGEST_SVD", "FunctionOperator", "Identity", "Map", "MatrixOperator", "from_scipy"]


class Identity(LinearOperator):
    """``y = x``: denoising.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    field : {"real", "complex"}
    """

    nonnegative = True

    def __init__(self, shape: tuple[int, ...], field: str = "real") -> None:
        super().__init__(Space(shape, field), Space(shape, field))

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    _adjoint = _apply

    def _gram(self) -> LinearOperator:
        return self

    def _norm(self) -> float:
        return 1.0

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        return b / (1 + shift)

    @cached_property
    def spectrum(self) -> Constant:
        """One at every frequency."""
        depth, *rest = self.domain.shape
        ones = torch.ones(depth, dtype=torch.float64), torch.ones(rest, dtype=torch.float64)
        return Separable(operator.mul, *ones)

    def _svd(self) -> SVD:
        """All singular values are one."""
        return SVD(self, torch.ones(self.domain.shape), self)


#: Largest cost ``m n min(m, n)`` of a singular value decomposition that is computed by default: some seconds.
LARGEST_SVD = 1e10

#: Batch elements that a dense matrix multiplies at once.
_ROWS = 16


class MatrixOperator(LinearOperator):
    """``y = M x`` for a dense matrix.

    Up to ``m n min(m, n) = 1e10``, `svd` is known and `solve` is a closed form; beyond, `solve` iterates.

    Parameters
    ----------
    matrix : real or complex tensor or array, shape (m, n)
    image_shape : tuple of int, optional
        Shape of the images, with n entries in row-major order; the default is vectors, ``(n,)``.
    """

    def __init__(self, matrix: Any, image_shape: tuple[int, ...] | None = None) -> None:
        matrix = torch.as_tensor(matrix)
        if matrix.ndim != 2:
            raise ShapeError(f"MatrixOperator expects a matrix (m, n); got the shape {tuple(matrix.shape)}.")
        if not (matrix.is_floating_point() or matrix.is_complex()):
            matrix = matrix.double()
        field = "complex" if matrix.is_complex() else "real"
        domain = Space(image_shape or (matrix.shape[1],), field)
        if domain.size != matrix.shape[1]:
            raise ShapeError(
                f"image_shape {domain.shape} has {domain.size} entries; the matrix {matrix.shape[1]} columns."
            )
        super().__init__(domain, Space((matrix.shape[0],), field))
        self._matrix = Constant(matrix)
        self.nonnegative = not matrix.is_complex() and bool((matrix >= 0).all())

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return _multiply(self._matrix.like(x), x.reshape(*self.domain.batch_shape(x), self.domain.size))

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return _multiply(self._matrix.like(y).mH, y).reshape(*y.shape[:-1], *self.domain.shape)

    @cached_property
    def _factors(self) -> tuple[Constant, ...]:
        matrix = self._matrix.value
        # the data may have a higher precision than the matrix
        matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float64))
        return tuple(Constant(factor) for factor in torch.linalg.svd(matrix, full_matrices=False))

    def _norm(self) -> float:
        return float(self._factors[1].value.max()) if self.has_closed_form_solve else super()._norm()

    @property
    def has_closed_form_solve(self) -> bool:
        """Through the SVD, unless that would take minutes."""
        m, n = self._matrix.value.shape
        return m * n * min(m, n) <= LARGEST_SVD

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        _, s, Vh = (factor.like(b) for factor in self._factors)
        flat = b.reshape(*self.domain.batch_shape(b), -1)
        if isinstance(shift, torch.Tensor) and shift.ndim:
            shift = per_element(element_numbers(shift, self.domain.ndim), 1)
        coefficients = _multiply(Vh, flat)
        # on the row space divide by s^2 + shift, on its complement by the shift alone
        denominator = s**2 + shift
        small = denominator <= (s.max() * max(self._matrix.value.shape) * torch.finfo(s.dtype).eps) ** 2
        inside = torch.where(small, 0, coefficients / torch.where(small, 1, denominator))
        x = _multiply(Vh.mH, inside)
        if not isinstance(shift, torch.Tensor) and shift == 0:
            return x.reshape(b.shape)
        rest = flat - _multiply(Vh.mH, coefficients)
        return (x + rest / shift).reshape(b.shape)

    def _svd(self) -> SVD | None:
        """By LAPACK; None where that would take minutes."""
        if not self.has_closed_form_solve:
            return None
        U, s, Vh = (factor.value for factor in self._factors)
        return SVD(MatrixOperator(U), s, MatrixOperator(Vh, self.domain.shape).H)


class FunctionOperator(LinearOperator):
    """A user's own physics: a linear function and its adjoint.

    Check it with ``invgen.testing.check_operator``.

    Parameters
    ----------
    forward, adjoint : callable
        Take and return tensors ``(*batch, *shape)``; must not change their argument.
    domain, range : Space or tuple of int
    """

    def __init__(
        self,
        forward: Callable[[torch.Tensor], torch.Tensor],
        adjoint: Callable[[torch.Tensor], torch.Tensor],
        domain: Space | tuple[int, ...],
        range: Space | tuple[int, ...],
    ) -> None:
        super().__init__(domain, range)
        self._forward_function, self._adjoint_function = forward, adjoint

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return self._checked(self._forward_function(x), self.range, x, "forward")

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self._checked(self._adjoint_function(y), self.domain, y, "adjoint")

    def _checked(self, result: torch.Tensor, space: Space, given: torch.Tensor, which: str) -> torch.Tensor:
        expected = (
            *(given.shape[: given.ndim - (self.domain if which == "forward" else self.range).ndim]),
            *space.shape,
        )
        if tuple(result.shape) != expected:
            raise ShapeError(
                f"The {which} function should return the shape {expected}; it returned {tuple(result.shape)}."
            )
        # the result is the caller's to change, also where a function returns its argument
        shared = result.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
        return result.clone() if shared else result


class Map(Operator):
    """A differentiable function as an operator, such as the decoder of a generator: ``A @ Map(...)``.

    Its derivatives are PyTorch's. Check it with ``invgen.testing.check_operator``.

    Parameters
    ----------
    function : callable
        Takes tensors ``(batch, *domain.shape)`` with exactly one batch axis, as neural networks do, and
        returns ``(batch, *range.shape)``; must not change its argument. All batch axes of an operator's
        input are flattened to this one. Batch elements must not depend on each other: a network with batch
        normalization is in its mode of evaluation.
    domain, range : Space or tuple of int

    Raises
    ------
    ShapeError
        When it is called, if the function returns another shape.
    """

    exact_batches = False

    def __init__(
        self,
        function: Callable[[torch.Tensor], torch.Tensor],
        domain: Space | tuple[int, ...],
        range: Space | tuple[int, ...],
    ) -> None:
        super().__init__(domain, range)
        self._function = function

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        flat, batch = self.domain.flatten(x)
        if not len(flat):  # which functions may refuse
            return self.range.zeros(batch, x)
        y = self._function(flat)
        expected = (len(flat), *self.range.shape)
        if tuple(y.shape) != expected:
            raise ShapeError(
                f"The function should return the shape {expected}, with the batch axis of its argument; "
                f"it returned {tuple(y.shape)}."
            )
        # the result is the caller's to change, also where the function returns its argument
        return y.reshape(*batch, *self.range.shape).clone()


def from_scipy(operator: Any, image_shape: tuple[int, ...] | None = None) -> LinearOperator:
    """A SciPy sparse matrix or ``scipy.sparse.linalg.LinearOperator`` as an operator on tensors.

    Data on a GPU are copied to the CPU and back.

    Parameters
    ----------
    operator : sparse matrix, sparse array or LinearOperator, shape (m, n)
    image_shape : tuple of int, optional
        Shape of the images, with n entries in row-major order; the default is ``(n,)``.
    """
    return _SciPyOperator(operator, image_shape)


class _SciPyOperator(LinearOperator):
    def __init__(self, operator: Any, image_shape: tuple[int, ...] | None) -> None:
        m, n = operator.shape
        field = "complex" if np.issubdtype(operator.dtype, np.complexfloating) else "real"
        domain = Space(image_shape or (n,), field)
        if domain.size != n:
            raise ShapeError(
                f"image_shape {domain.shape} has {domain.size} entries; the operator has {n} columns."
            )
        super().__init__(domain, Space((m,), field))
        self._operator = operator

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return self._run(self._operator.dot, x, self.domain, self.range)

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        adjoint = getattr(self._operator, "H", None)
        if adjoint is None:  # sparse arrays have no .H
            adjoint = self._operator.conj().T
        return self._run(adjoint.dot, y, self.range, self.domain)

    @staticmethod
    def _run(function: Callable[[Any], Any], x: torch.Tensor, given: Space, wanted: Space) -> torch.Tensor:
        def one(element: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(function(element.numpy().ravel()))[None]

        y = each_alone(one, x.cpu(), given.ndim)
        return y.to(device=x.device, dtype=x.dtype).reshape(*given.batch_shape(x), *wanted.shape)


def _multiply(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``matrix @ x`` over the last axis, in products of one shape: with another they round differently."""
    rows = x.reshape(-1, x.shape[-1])
    blocks = functional.pad(rows, (0, 0, 0, -len(rows) % _ROWS)).reshape(-1, _ROWS, x.shape[-1])
    found = torch.bmm(blocks, matrix.mT.expand(len(blocks), *matrix.mT.shape))
    return found.reshape(-1, len(matrix))[: len(rows)].reshape(*x.shape[:-1], len(matrix))
