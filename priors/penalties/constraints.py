"""Constraints on the values of the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import torch

from invgen.convex.functions import BoxIndicator
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators import Identity, LinearOperator, Space
from invgen.priors.penalties.penalty import Penalty, check_axes
from invgen.problem import Problem

__all__ = ["Box", "Constraint", "NonNegative"]


@dataclass(frozen=True)
class Constraint(Penalty):
    """Base of the intervals: zero for real images with all pixels from `low` to `high`, else infinite.

    Parameters
    ----------
    axes : tuple of negative int, optional
        The axes of an image, for `value`; by default those of the problem, without a problem the last two.
    """

    low: ClassVar[float] = -math.inf
    high: ClassVar[float] = math.inf
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.axes is not None:
            check_axes(self.axes)

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval of the pixels' values."""
        return self.low, self.high

    @property
    def _interval(self) -> BoxIndicator:
        return BoxIndicator(self.low, self.high)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Zero or infinity for each image; the axes of `x` that remain are batch."""
        _check_real(x.is_complex(), self)
        return self._interval.value(x, self.axes or tuple(range(-min(2, x.ndim), 0)))

    def prox(self, x: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        """The nearest image within the interval, whatever the step."""
        _check_real(x.is_complex(), self)
        return self._interval.prox(x, step)

    def terms(self, space: Space) -> list[tuple[LinearOperator, Any]]:
        """The constraint on the image itself."""
        _check_real(space.field == "complex", self)
        return [(_identity(space), self._interval)]

    def closed_form(self, space: Space) -> bool:
        """Always."""
        return True

    def with_weight(self, weight: float | torch.Tensor) -> Constraint:
        """The same constraint, which has no weight."""
        return self

    def without_constraints(self) -> None:
        """None: nothing remains."""
        return None

    def fitted(self, space: Space) -> Constraint:
        """With the axes of images of `space`."""
        return replace(self, axes=space.axes)

    def resolve(self, problem: Problem) -> Constraint:
        """For the images of `problem`."""
        return self.fitted(problem.operator.domain)

    def _times(self, factor: float | torch.Tensor) -> Constraint:
        return self


@dataclass(frozen=True)
class NonNegative(Constraint):
    """No pixel of a real image is negative.

    Parameters
    ----------
    axes : tuple of negative int, optional
        The axes of an image, for `value`; by default those of the problem, without a problem the last two.
    """

    low: ClassVar[float] = 0.0


@dataclass(frozen=True)
class Box(Constraint):
    """All pixels of a real image are from `low` to `high`.

    Parameters
    ----------
    low, high : float
        Infinite for no limit.
    axes : tuple of negative int, optional
        The axes of an image, for `value`; by default those of the problem, without a problem the last two.
    """

    low: float = 0.0  # type: ignore[misc]
    high: float = 1.0  # type: ignore[misc]
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low <= self.high:
            raise ParameterError(f"Box: low is at most high; got low={self.low}, high={self.high}.")


def _check_real(is_complex: bool, prior: Constraint) -> None:
    if is_complex:
        raise CapabilityError(f"{type(prior).__name__} needs real images; these are complex.")


# as the gradient of total variation, for each call of a denoiser
@lru_cache(maxsize=16)
def _identity(space: Space) -> Identity:
    return Identity(space.shape)
