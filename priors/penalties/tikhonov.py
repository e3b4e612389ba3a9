"""Quadratic penalties."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invgen.convex.functions import SquaredL2
from invgen.core.batching import element_numbers, leading
from invgen.operators import LinearOperator
from invgen.priors.penalties.sparse import Transformed

__all__ = ["Tikhonov"]


@dataclass(frozen=True)
class Tikhonov(Transformed):
    """Quadratic penalty, Tikhonov (1963): ``weight / 2 * |K x|^2``.

    The negative logarithm of a Gaussian density of variance ``1 / weight``. The proximal map has a closed
    form where ``K.solve`` has one.

    Parameters
    ----------
    weight : positive number, tensor with one for each batch element, or "auto"
        See `invgen.priors.L1`.
    transform : LinearOperator, optional
        K, of the images' shape and field, such as ``operators.Gradient``; by default the identity.
    """

    @property
    def quadratic(self) -> bool:
        """Without a transform it is the energy of the pixels."""
        return self.pixelwise

    def _function(self, weight: float | torch.Tensor, K: LinearOperator) -> SquaredL2:
        return SquaredL2(weight)

    def _solvable(self, K: LinearOperator) -> bool:
        return K.has_closed_form_solve

    def _prox(self, K: LinearOperator, x: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        strength = step * leading(self.number(), x)
        if self.pixelwise:
            return x / (1 + strength)
        # (weight K.H K + 1 / step) z = x / step
        if isinstance(strength, torch.Tensor) and strength.ndim:
            shift = element_numbers(1 / strength, K.domain.ndim)
            return K.solve(x / strength, shift)
        return K.solve(x / strength, 1 / strength)
