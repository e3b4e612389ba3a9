"""Weighted functions of a linear map of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from invgen.convex.functions import Function
from invgen.convex.weights import check_weight
from invgen.core.batching import leading
from invgen.core.errors import CapabilityError, ShapeError
from invgen.operators import Identity, LinearOperator, Space
from invgen.priors.base import Weight
from invgen.priors.penalties.penalty import Penalty

__all__ = ["Analysis", "ProximableAnalysis"]


@dataclass(frozen=True)
class Analysis(Penalty):
    """A weighted function of a linear map of the image: ``weight * g(K x)``.

    A subclass gives the depth, the map and the function.
    """

    weight: Weight = "auto"

    def __post_init__(self) -> None:
        check_weight(self.weight)

    @property
    def _depth(self) -> int:
        """The number of trailing axes of an array that the map acts along."""
        raise NotImplementedError

    def _map(self, space: Space) -> LinearOperator:
        raise NotImplementedError

    def _function(self, weight: float | torch.Tensor, K: LinearOperator) -> Function:
        raise NotImplementedError

    def _checked_map(self, space: Space) -> LinearOperator:
        if len(space.shape) < self._depth:
            raise ShapeError(
                f"{type(self).__name__} needs images with {self._depth} axes; these have the shape "
                f"{space.shape}. Give the operator its image_shape, or choose the prior's axes."
            )
        return self._map(space)

    def _of(self, x: torch.Tensor) -> LinearOperator:
        """The map for the last axes of `x`."""
        shape = x.shape[max(0, x.ndim - self._depth) :]
        return self._checked_map(Space(tuple(shape), "complex" if x.is_complex() else "real"))

    def terms(self, space: Space) -> list[tuple[LinearOperator, Any]]:
        """The map and its function."""
        K = self._checked_map(space)
        return [(K, self._function(K.range.per_sample(self.number()), K))]

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Penalty of each image; the axes of `x` that remain are batch."""
        K = self._of(x)
        total = self._function(1.0, K).value(K(x), K.range.axes)
        return leading(self.number(), total) * total


class ProximableAnalysis(Analysis):
    """One whose proximal map has a closed form where the linear map is orthonormal."""

    def closed_form(self, space: Space) -> bool:
        """Whether `prox` is a formula for images of `space`."""
        return self._solvable(self._checked_map(space))

    def prox(self, x: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        """``argmin_z value(z) + |z - x|^2 / (2 step)``.

        Parameters
        ----------
        x : tensor
        step : positive number, or tensor that broadcasts to `x` with one for each image

        Raises
        ------
        CapabilityError
            Where there is no closed form: PDHG takes the `terms`, and FISTA finds the map by iterations.
        """
        K = self._of(x)
        if not self._solvable(K):
            raise CapabilityError(
                f"The proximal map of {type(self).__name__} has a closed form where its transform is "
                f"orthonormal, and {K} is not. PDHG and FISTA take its terms."
            )
        return self._prox(K, x, step)

    def _solvable(self, K: LinearOperator) -> bool:
        return isinstance(K.gram, Identity) and K.range.size == K.domain.size

    def _prox(self, K: LinearOperator, x: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        z = K(x)
        if isinstance(step, torch.Tensor) and step.ndim and z.ndim != x.ndim:
            step = K.range.per_sample(step.reshape(step.shape[: step.ndim - len(K.domain.shape)]))
        return K.H(self._function(leading(self.number(), z), K).prox(z, step))
