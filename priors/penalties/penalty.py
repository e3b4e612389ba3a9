"""What convex priors share: weights, multiples, sums, and the closed form of a proximal map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from invgen.convex.functions import Function
from invgen.convex.weights import check_weight, find_weight
from invgen.core.batching import element_numbers, leading
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.operators import Identity, LinearOperator, Space
from invgen.priors.base import Weight
from invgen.problem import Problem

if TYPE_CHECKING:
    from typing import Self

    from invgen.priors.penalties.sums import Sum

__all__ = ["Analysis", "Penalty", "ProximableAnalysis"]


class Penalty:
    """Base of the convex priors: a subclass gives `value`, `terms` and, where it has none, no `weight`.

    Priors add up, and are multiplied by positive numbers: ``0.1 * Wavelet() + NonNegative()``. A multiple of
    a prior whose weight is a rule, such as "auto", has that number for its weight, else that number times its
    weight.
    """

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Penalty of each image, what is left of the axes of `x`."""
        raise NotImplementedError

    def terms(self, space: Space) -> list[tuple[LinearOperator, Any]]:
        """Pairs of a linear map and a function of it; see `invgen.priors.Composite`."""
        raise NotImplementedError

    def with_weight(self, weight: float | torch.Tensor) -> Self:
        """The same prior with another weight."""
        return cast(Any, replace)(self, weight=weight)

    def without_constraints(self) -> Penalty | None:
        """What is left when no image is forbidden."""
        return self

    def fitted(self, space: Space) -> Self:
        """The same prior, which knows that its images are of `space`."""
        return self

    def resolve(self, problem: Problem) -> Self:
        """For the images of `problem`, and with the weight that its rule gives.

        Found without constraints: data that no image within them explains would else be fitted by lowering
        the weight.
        """
        weight: Weight = cast(Any, self).weight
        if isinstance(weight, torch.Tensor) and weight.shape not in ((), problem.batch_shape):
            raise ShapeError(
                f"A weight for each batch element has the shape of the batch, {tuple(problem.batch_shape)}; "
                f"got {tuple(weight.shape)}."
            )
        prior = self.fitted(problem.operator.domain)
        if isinstance(weight, str):
            free = cast(Any, prior.without_constraints())
            prior = prior.with_weight(find_weight(problem, free, weight))
        return prior

    def __mul__(self, factor: Any) -> Self:
        if not isinstance(factor, int | float | np.number | torch.Tensor):
            return NotImplemented
        check_weight(cast(Any, factor))
        return self._times(cast(Any, factor))

    __rmul__ = __mul__

    def _times(self, factor: float | torch.Tensor) -> Self:
        weight = cast(Any, self).weight
        return self.with_weight(factor if isinstance(weight, str) else factor * weight)

    def __add__(self, other: Any) -> Sum:
        from invgen.priors.penalties.sums import Sum

        return Sum((self, other)) if isinstance(other, Penalty) else NotImplemented


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
        """How many trailing axes of an array the map reaches into."""
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
        return [(K, self._function(K.range.per_sample(self._number()), K))]

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Penalty of each image, what is left of the axes of `x`."""
        K = self._of(x)
        total = self._function(1.0, K).value(K(x), K.range.axes)
        return leading(self._number(), total) * total

    def _number(self) -> float | torch.Tensor:
        if isinstance(self.weight, str):
            raise ParameterError(f"The weight is {self.weight!r}: resolve(problem) finds the number.")
        return self.weight


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
            step = K.range.per_sample(element_numbers(step, K.domain.ndim))
        return K.H(self._function(leading(self._number(), z), K).prox(z, step))
