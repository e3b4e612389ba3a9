"""Total variation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from invgen.errors import CapabilityError, ParameterError, ShapeError
from invgen.operators import Gradient, Identity, LinearOperator, Space
from invgen.priors.base import Weight
from invgen.priors.functions import GroupL1, NonNegativity
from invgen.priors.weights import check_weight, discrepancy_weight
from invgen.problem import Problem

__all__ = ["TotalVariation"]


@dataclass(frozen=True)
class TotalVariation:
    """Total variation, Rudin, Osher and Fatemi (1992): ``weight * sum |grad x|``.

    Forward differences with a Neumann boundary. Complex images count the joint magnitude of real and
    imaginary part.

    Parameters
    ----------
    weight : positive number, tensor with one for each batch element, or "auto"
        Absolute, in the objective ``-log p(y | A x) + weight * TV(x)``. "auto" follows the discrepancy
        principle; see `invgen.priors.weights.discrepancy_weight`.
    isotropic : bool
        Whether the differences at a pixel count jointly, ``sqrt(dx^2 + dy^2)``, or each by itself.
    nonnegative : bool
        Whether images must not have negative pixels; for real images.
    axes : tuple of negative int
        Axes to take differences along, counted from the end.
    """

    weight: Weight = "auto"
    isotropic: bool = True
    nonnegative: bool = False
    axes: tuple[int, ...] = (-2, -1)

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if not self.axes or any(axis >= 0 for axis in self.axes):
            raise ParameterError(f"axes are counted from the end, such as (-2, -1); got {self.axes}.")

    def terms(self, space: Space) -> list[tuple[LinearOperator, Any]]:
        """The gradient with its group norm, and the constraint where there is one."""
        if len(space.shape) < len(self.axes):
            raise ShapeError(
                f"TotalVariation along {self.axes} needs images with {len(self.axes)} axes; "
                f"these have the shape {space.shape}. Give the operator its image_shape, or choose axes."
            )
        weight = self._number()
        if isinstance(weight, torch.Tensor):
            weight = weight.reshape(*weight.shape, *(1,) * (len(space.shape) + 1))
        group = -len(space.shape) - 1 if self.isotropic else None
        terms: list[tuple[LinearOperator, Any]] = [
            (Gradient(space.shape, self.axes, space.field), GroupL1(weight, group))
        ]
        if self.nonnegative:
            if space.field == "complex":
                raise CapabilityError("Non-negativity needs real images; these are complex.")
            terms.append((Identity(space.shape), NonNegativity()))
        return terms

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Penalty of each image, what is left of the axes of `x`; infinite where x breaks the constraint."""
        axes = tuple(range(-self._depth, 0))
        gradient = Gradient(x.shape[-self._depth :], self.axes, "complex" if x.is_complex() else "real")
        group = GroupL1(1.0, -self._depth - 1 if self.isotropic else None)
        total = group.value(gradient(x), gradient.range.axes)
        weight = self._number()
        if isinstance(weight, torch.Tensor):
            weight = weight.to(total).reshape(*weight.shape, *(1,) * (total.ndim - weight.ndim))
        if self.nonnegative:
            total = total + NonNegativity().value(x, axes)
        return weight * total

    def with_weight(self, weight: float | torch.Tensor) -> TotalVariation:
        """The same prior with another weight."""
        return replace(self, weight=weight)

    def resolve(self, problem: Problem) -> TotalVariation:
        """With the weight that the discrepancy principle gives for `problem`.

        Found without the constraint: data that non-negative images do not explain would else be fitted by
        lowering the weight.
        """
        if not isinstance(self.weight, str):
            return self
        return replace(self, weight=discrepancy_weight(problem, replace(self, nonnegative=False)))

    @property
    def _depth(self) -> int:
        """How many trailing axes of an array the differences reach into."""
        return -min(self.axes)

    def _number(self) -> float | torch.Tensor:
        if isinstance(self.weight, str):
            raise ParameterError("The weight is 'auto': resolve(problem) finds the number.")
        return self.weight
