"""Proximable functions that composite priors are made of."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from invgen.core.frozen import Constant, Frozen
from invgen.core.space import Space
from invgen.problem import Problem

__all__ = ["BoxIndicator", "GroupL1", "Likelihood", "SquaredL2"]

#: Of the mean count, what is taken for the expectation of fewer: 1 needs fewer iterations than 0.1.
_FEWEST = 1.0


class Function(Frozen):
    """A convex function with a closed-form proximal map.

    Parameters
    ----------
    weight : number or tensor
        A tensor must broadcast to the data; it follows their device and precision.
    """

    #: Whether it is zero or infinite.
    is_constraint: ClassVar[bool] = False

    def __init__(self, weight: float | torch.Tensor) -> None:
        self.weight = weight

    def value(self, z: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Value for each element, whose own axes are `axes`; shape of the batch."""
        raise NotImplementedError

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """``argmin_u g(u) + |u - z|^2 / (2 step)``."""
        raise NotImplementedError

    def conjugate_prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """Proximal map of the convex conjugate, by Moreau's identity."""
        return z - step * self.prox(z / step, 1 / step)

    def typical(self, z: torch.Tensor, space: Space) -> torch.Tensor:
        """Root mean square of what is penalized in elements of `space`, shape of the batch."""
        return space.norm(z) / space.size**0.5

    def dual_size(self, size: torch.Tensor) -> torch.Tensor | None:
        """Typical size of a subgradient at data of the typical `size`.

        None where there is none: a constraint pushes back as hard as it is pushed.
        """
        return None

    def _weight(self, like: torch.Tensor) -> float | torch.Tensor:
        """The weight, to multiply data."""
        return self.weight.to(like.real) if isinstance(self.weight, torch.Tensor) else self.weight

    def _batch_weight(self, size: torch.Tensor) -> torch.Tensor:
        """The weight, of the shape of the batch or none."""
        weight = torch.as_tensor(self.weight).to(size)
        return weight.reshape(weight.shape[: size.ndim])


class GroupL1(Function):
    """``weight * sum |z|``, the magnitude taken jointly along `axis`, and of complex numbers.

    Parameters
    ----------
    weight : number or tensor
        A tensor must broadcast to the data with `axis` kept.
    axis : int or tuple of int, optional
        Axes of the groups, counted from the end; None where every entry is its own.
    counted : Constant, optional
        Ones and zeros that broadcast to the data with `axis` kept: where the sum runs.
    """

    def __init__(
        self,
        weight: float | torch.Tensor,
        axis: int | tuple[int, ...] | None = None,
        counted: Constant | None = None,
    ) -> None:
        super().__init__(weight)
        self.axis, self.counted = axis, counted

    def magnitude(self, z: torch.Tensor) -> torch.Tensor:
        """Magnitude of each group, the axis kept."""
        if self.axis is None:
            return z.abs()
        # torch.linalg.vector_norm along a leading axis is a hundred times slower
        squares = (z.real.square() + z.imag.square()) if z.is_complex() else z.square()
        return squares.sum(self.axis, keepdim=True).sqrt_()

    def _radius(self, size: torch.Tensor) -> float | torch.Tensor:
        weight = self._weight(size)
        return weight if self.counted is None else weight * self.counted.like(size)

    def value(self, z: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Weighted sum of the groups' magnitudes."""
        size = self.magnitude(z)
        return (self._radius(size) * size).sum(axes)

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """Shrink each group's magnitude by ``step * weight``."""
        size = self.magnitude(z)
        left = (size - step * self._radius(size)).clamp(min=0)
        return z * (left / size.clamp(min=torch.finfo(size.dtype).tiny))

    def conjugate_prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """Project each group onto the ball of radius `weight`, whatever the step."""
        size = self.magnitude(z)
        return z * (self._radius(size) / size.clamp(min=torch.finfo(size.dtype).tiny)).clamp(max=1)

    def typical(self, z: torch.Tensor, space: Space) -> torch.Tensor:
        """Root mean square of what is counted."""
        return super().typical(z if self.counted is None else self.counted.like(z) * z, space)

    def dual_size(self, size: torch.Tensor) -> torch.Tensor:
        """The weight, however large the data are."""
        return self._batch_weight(size)


class SquaredL2(Function):
    """``weight / 2 * sum |z|^2``."""

    def value(self, z: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Half of the weighted squares."""
        return (self._weight(z) / 2 * z.abs().square()).sum(axes)

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """Shrink everything alike."""
        return z / (1 + step * self._weight(z))

    def dual_size(self, size: torch.Tensor) -> torch.Tensor:
        """In proportion to the data."""
        return self._batch_weight(size) * size


class BoxIndicator(Function):
    """Zero where all entries are from `low` to `high`, else infinite; of real data.

    Parameters
    ----------
    low, high : float
    """

    is_constraint: ClassVar[bool] = True

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def value(self, z: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Zero or infinity."""
        outside = (z < self.low) | (z > self.high)
        return torch.where(outside.sum(axes) > 0, torch.inf, 0.0).to(z)

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """The nearest numbers in the interval."""
        return z.clamp(self.low, self.high)


class Likelihood(Function):
    """Negative log-likelihood of a problem's data, of what is predicted for them.

    Parameters
    ----------
    problem : Problem
        Whose noise model has a `prox`.
    """

    def __init__(self, problem: Problem) -> None:
        self._noise = problem.likelihood
        self._data, self._observed = problem.measurement, problem.observed
        y, axes = problem.measurement, problem.operator.range.axes
        # where few were counted the prediction is no better known than by its neighbors
        least = _FEWEST * y.mean(axes, keepdim=True)
        y = torch.maximum(y, torch.where(least > 0, least, 1))
        #: About the curvature at the data, of the shape of the data.
        self.weights = self._noise.curvature(y, y)

    def value(self, z: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Up to a constant of the data; infinite where they are impossible."""
        return self._noise.negative_log_likelihood(z, self._data, axes, self._observed)

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """The noise model's; what is not observed stays."""
        u = self._noise.prox(z, self._data, step)
        return u if self._observed is None else torch.where(self._observed, u, z)

    def dual_size(self, size: torch.Tensor) -> torch.Tensor:
        """In proportion to the prediction, in units of the `weights`."""
        return size
