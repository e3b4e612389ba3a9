"""Total variation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from invgen.convex.functions import GroupL1
from invgen.core.errors import ParameterError
from invgen.operators import Gradient, LinearOperator, Space
from invgen.priors.penalties.analysis import Analysis
from invgen.priors.penalties.constraints import NonNegative
from invgen.priors.penalties.penalty import check_axes, is_axis

__all__ = ["TotalVariation"]


@dataclass(frozen=True)
class TotalVariation(Analysis):
    """Total variation, Rudin, Osher and Fatemi (1992): ``weight * sum |grad x|``.

    Forward differences with a Neumann boundary. Complex images count the joint magnitude of real and
    imaginary part.

    Parameters
    ----------
    weight : positive number, tensor with one for each batch element, "auto", "discrepancy" or "sure"
        Absolute, in the objective ``-log p(y | A x) + weight * TV(x)``. "auto" is the discrepancy principle,
        "sure" the least estimated risk; see `invgen.convex.weights`.
    isotropic : bool
        Whether the differences at a pixel count jointly, ``sqrt(dx^2 + dy^2)``, or each by itself.
    nonnegative : bool
        Whether images must not have negative pixels; for real images.
    axes : tuple of negative int
        Axes to take differences along, counted from the end.
    joint : negative int, optional
        Axis of channels, such as -3, whose differences count jointly: edges of the channels then lie in the
        same places, as in Bresson and Chan (2008).
    """

    isotropic: bool = True
    nonnegative: bool = False
    axes: tuple[int, ...] = (-2, -1)
    joint: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_axes(self.axes)
        if self.joint is not None and (not is_axis(self.joint) or self.joint in self.axes):
            raise ParameterError(
                f"joint is an axis of channels, counted from the end, not one of axes; got {self.joint}."
            )

    @property
    def _depth(self) -> int:
        return -min((*self.axes, self.joint or -1))

    def _map(self, space: Space) -> LinearOperator:
        return _gradient(space, self.axes)

    def _function(self, weight: float | torch.Tensor, K: LinearOperator) -> GroupL1:
        groups = ((-len(K.range.shape),) if self.isotropic else ()) + ((self.joint,) if self.joint else ())
        return GroupL1(weight, groups or None)

    def terms(self, space: Space) -> list[tuple[LinearOperator, Any]]:
        """The gradient with its group norm, and the constraint where there is one."""
        return super().terms(space) + (NonNegative().terms(space) if self.nonnegative else [])

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Penalty of each image, infinite where one violates the constraint; other axes of `x` are batch."""
        total = super().value(x)
        if self.nonnegative:
            total = total + NonNegative(tuple(range(-self._depth, 0))).value(x)
        return total

    def without_constraints(self) -> TotalVariation:
        """Finite for images with negative pixels, too."""
        return replace(self, nonnegative=False)


# a denoiser asks for its prior's map in each call, and the map's spectrum is on the device by then
@lru_cache(maxsize=16)
def _gradient(space: Space, axes: tuple[int, ...]) -> Gradient:
    return Gradient(space.shape, axes, space.field)
