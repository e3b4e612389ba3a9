"""Operators that change the basis and nothing else."""

from __future__ import annotations

import torch

from invgen.core.space import Space
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator

__all__ = ["Unitary"]


class Unitary(LinearOperator):
    """Base of the operators whose adjoint is their inverse; a subclass defines ``_apply`` and ``_adjoint``.

    Parameters
    ----------
    shape : tuple of int
        Of images and coefficients.
    field : {"real", "complex"}
    """

    def __init__(self, shape: tuple[int, ...], field: str = "real") -> None:
        super().__init__(Space(shape, field), Space(shape, field))

    def _gram(self) -> LinearOperator:
        return Identity(self.domain.shape, self.domain.field)

    def _norm(self) -> float:
        return 1.0

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        return b / (1 + shift)

    def _svd(self) -> SVD:
        """All singular values are one."""
        shape = self.domain.shape
        return SVD(self, torch.ones(shape), Identity(shape, self.domain.field))
