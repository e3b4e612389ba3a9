"""The inverse of a regularized normal operator."""

from __future__ import annotations

from collections.abc import Callable

import torch

from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.core.krylov import conjugate_gradients
from invgen.core.space import ProductSpace
from invgen.operators.base import LinearOperator, apply_linear

__all__ = ["Inverse", "fourier_preconditioner"]

#: Fraction of the largest curvature that is added at every frequency, of 0.001 to 0.3 the one with the fewest
#: iterations on fans of 60 and 180 views: what lies between the frequencies that were measured, and at the
#: image's edges, is badly described by a periodic convolution.
_FLOOR = 1e-2


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
        if bool(torch.as_tensor(shift).lt(0).any()):
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
                return apply_linear(A.gram, x) + shift * x
        else:
            weights = W.to(device=b.device, dtype=b.dtype.to_real())
            mean = float(W.mean())

            def normal(x: torch.Tensor) -> torch.Tensor:
                return apply_linear(A.H, weights * apply_linear(A, x)) + shift * x

        return conjugate_gradients(normal, b, self.domain, precondition=self._preconditioner(b, shift, mean))

    _adjoint = _apply

    def _preconditioner(
        self, b: torch.Tensor, shift: float | torch.Tensor, mean: float
    ) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """The inverse with the mean weight, in closed form, or nearly in Fourier space.

        Without a shift the system may be singular: only the plain iteration then ends at the solution of
        smallest norm.
        """
        A = self._operator
        if mean == 0 or bool(torch.as_tensor(self._shift).eq(0).any()):
            return None
        if A.has_closed_form_solve:
            return lambda r: A._solve(r, shift / mean) / mean
        return fourier_preconditioner(A, b, mean, shift)


def fourier_preconditioner(
    A: LinearOperator, like: torch.Tensor, mean: float | torch.Tensor, shift: float | torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Inverse of the periodic convolution nearest to ``mean A.H A + shift``; None where none is known.

    `mean` and `shift` are numbers, or shaped to multiply elements of the domain.
    """
    if A.spectrum is None:
        return None
    symbol = A.domain.half(A.spectrum.like(like))
    inverse = 1 / (mean * (symbol + _FLOOR * symbol.max()) + shift)
    return lambda r: A.domain.filter(inverse, r)


def _check_weights(operator: LinearOperator, weights: torch.Tensor) -> None:
    if isinstance(operator.range, ProductSpace):
        raise CapabilityError(
            "weights need an operator with a single range; weight the stacked operators instead."
        )
    shape, own = operator.range.shape, tuple(weights.shape[-len(operator.range.shape) :])
    if len(own) > len(shape) or any(a not in (1, b) for a, b in zip(own[::-1], shape[::-1], strict=False)):
        raise ShapeError(f"weights must broadcast to {shape}; got {tuple(weights.shape)}.")
    if weights.is_complex() or not bool((weights >= 0).all()) or not bool(torch.isfinite(weights).all()):
        raise ParameterError("weights must be real, finite and not negative.")
