"""Proximable functions that composite priors are made of."""

from __future__ import annotations

from typing import Any

import torch

from invgen.operators.frozen import Frozen

__all__ = ["GroupL1", "NonNegativity"]


class Function(Frozen):
    """A convex function with a closed-form proximal map."""

    def value(self, z: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Value for each element, whose own axes are `axes`; shape of the batch."""
        raise NotImplementedError

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """``argmin_u g(u) + |u - z|^2 / (2 step)``."""
        raise NotImplementedError

    def conjugate_prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """Proximal map of the convex conjugate, by Moreau's identity."""
        return z - step * self.prox(z / step, 1 / step)


class GroupL1(Function):
    """``weight * sum |z|``, the magnitude taken jointly along `axis`, and of complex numbers.

    Parameters
    ----------
    weight : number or tensor
        A tensor must broadcast to the data with `axis` kept; it follows their device and precision.
    axis : int, optional
        Axis of the groups, counted from the end; None where every entry is its own.
    """

    def __init__(self, weight: float | torch.Tensor, axis: int | None = None) -> None:
        self.weight, self._axis = weight, axis

    def magnitude(self, z: torch.Tensor) -> torch.Tensor:
        """Magnitude of each group, the axis kept."""
        if self._axis is None:
            return z.abs()
        # torch.linalg.vector_norm along a leading axis is a hundred times slower
        squares = (z.real.square() + z.imag.square()) if z.is_complex() else z.square()
        return squares.sum(self._axis, keepdim=True).sqrt_()

    def _weight(self, size: torch.Tensor) -> float | torch.Tensor:
        return self.weight.to(size) if isinstance(self.weight, torch.Tensor) else self.weight

    def value(self, z: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Weighted sum of the groups' magnitudes."""
        size = self.magnitude(z)
        return (self._weight(size) * size).sum(axes)

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """Shrink each group's magnitude by ``step * weight``."""
        size = self.magnitude(z)
        left = (size - step * self._weight(size)).clamp(min=0)
        return z * (left / size.clamp(min=torch.finfo(size.dtype).tiny))

    def conjugate_prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """Project each group onto the ball of radius `weight`, whatever the step."""
        size = self.magnitude(z)
        return z * (self._weight(size) / size.clamp(min=torch.finfo(size.dtype).tiny)).clamp(max=1)


class NonNegativity(Function):
    """Zero for images without a negative pixel, else infinite."""

    def value(self, z: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        """Zero or infinity."""
        return torch.where((z < 0).sum(axes) > 0, torch.inf, 0.0).to(z)

    def prox(self, z: torch.Tensor, step: Any) -> torch.Tensor:
        """Project onto the non-negative images."""
        return z.clamp(min=0)
