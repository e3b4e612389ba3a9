"""Detectors with a limited range."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.core.errors import ParameterError
from invgen.core.space import ProductSpace
from invgen.operators.base import Operator
from invgen.operators.basic import Identity
from invgen.operators.linear import LinearOperator

__all__ = ["Saturation"]


class Saturation(Operator):
    """Measurement clipped to a range: ``y = min(max(A x, low), high)``.

    There are two models of a detector that saturates. Noise that is added after the clipping, as by the
    read-out of a compressed signal, is Gaussian noise of this operator; its derivative is zero where it is
    saturated, so that the data term is not convex. Noise that is added before, as by photons and dark
    current, results in ``clip(A x + n)``: keep A linear and use ``noise.Clipped(std, low, high)``, the exact
    likelihood, which is convex. When in doubt, use the latter.

    Parameters
    ----------
    operator : LinearOperator or tuple of int
        A, of real range; or the shape of real images, for the identity.
    low, high : float
        Limits, in the unit of the measurement; one of them may be infinite, for no limit.

    Raises
    ------
    ParameterError
        If the range is complex or a tuple, or low is not below high, or both are infinite.
    """

    def __init__(self, operator: Any, low: float = -math.inf, high: float = math.inf) -> None:
        A = operator if isinstance(operator, LinearOperator) else Identity(operator)
        if isinstance(A.range, ProductSpace) or A.range.field != "real":
            raise ParameterError(f"Saturation clips a single measurement of real numbers; {A} has another.")
        check_limits("Saturation", low, high)
        super().__init__(A.domain, A.range)
        #: The linear operator that is clipped.
        self.linear = A
        self.low, self.high = float(low), float(high)

    @property
    def observed(self) -> torch.Tensor | None:
        """What the linear operator observes; None where zero is beyond the limits."""
        return self.linear.observed if self.low <= 0 <= self.high else None

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear._call(x).clamp(self.low, self.high)

    def jvp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Derivative at `x` in the direction `v`: ``A v`` where ``A x`` is within the limits, else zero."""
        return self._within(x) * self.linear(v)

    def vjp(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Adjoint of the derivative: ``A.H w``, with w set to zero where ``A x`` is beyond the limits."""
        self.range.check(w, self.name)
        return self.linear.H(self._within(x) * w)

    def _within(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        return (y >= self.low) & (y <= self.high)


def check_limits(who: str, low: float, high: float) -> None:
    """Raise unless one limit is finite, and the lower one is below the upper one."""
    if not low < high or (math.isinf(low) and math.isinf(high)):
        raise ParameterError(
            f"{who}: low must be below high, and one of them finite; got low={low}, high={high}."
        )
