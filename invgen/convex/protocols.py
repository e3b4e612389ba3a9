"""What a prior of a convex objective can do, as protocols."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch

from invgen.operators import LinearOperator, Space
from invgen.problem import Problem

__all__ = ["Composite", "Prior", "Proximable", "Weight", "has_closed_form"]

#: The weight of a prior: a number, one for each batch element, or the name of a rule, such as "auto".
Weight = float | torch.Tensor | str


@runtime_checkable
class Prior(Protocol):
    """Anything that enters the objective of a variational solver."""

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Penalty of an image, weight included; what is left of `x`'s axes is batch."""

    def resolve(self, problem: Problem) -> Any:
        """The prior with a number for its weight, found from the problem where it is the name of a rule."""


@runtime_checkable
class Proximable(Prior, Protocol):
    """A prior with a closed-form proximal map.

    Where it has one for some images only, a method ``closed_form(space)`` says which; see `has_closed_form`.
    """

    def prox(self, x: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        """``argmin_z value(z) + |z - x|^2 / (2 step)``."""


@runtime_checkable
class Composite(Prior, Protocol):
    """A prior that is a sum of proximable functions of linear maps: ``sum g_i(K_i x)``."""

    def with_weight(self, weight: float | torch.Tensor) -> Any:
        """The same prior with another weight."""

    def terms(self, space: Space) -> list[tuple[LinearOperator, Any]]:
        """Pairs of K and g for images of `space`; K is an `Identity` where g acts on the image itself."""


def has_closed_form(prior: Any, space: Space) -> bool:
    """Whether the proximal map of `prior` is a formula for images of `space`."""
    closed_form = getattr(prior, "closed_form", None)
    return isinstance(prior, Proximable) and (closed_form is None or closed_form(space))
