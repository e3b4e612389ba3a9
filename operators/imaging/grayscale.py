"""Luma of color images: colorization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.core.space import Space
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator

__all__ = ["Grayscale"]

#: Luma of red, green and blue, ITU-R BT.601-7, section 2.5.1.
_BT601 = (0.299, 0.587, 0.114)


class Grayscale(LinearOperator):
    """Weighted sum of the channels: ``y = sum_c w_c x_c``.

    Parameters
    ----------
    image_shape : tuple of int
        Shape of the images, ``(3, H, W)``: channels first. The range is ``(H, W)``.
    weights : sequence of float
        One for each channel; the default is the luma of ITU-R BT.601, as in PIL's mode "L".
    field : {"real", "complex"}

    Raises
    ------
    ShapeError
        If the images have another number of channels.
    ParameterError
        If the weights are not finite or all zero.
    """

    def __init__(
        self, image_shape: tuple[int, ...], weights: Sequence[float] = _BT601, field: str = "real"
    ) -> None:
        domain = Space(image_shape, field)
        weights = tuple(float(w) for w in weights)
        if len(domain.shape) < 2 or domain.shape[0] != len(weights):
            raise ShapeError(
                f"Grayscale expects images ({len(weights)}, H, W), one channel for each weight; "
                f"got image_shape {domain.shape}."
            )
        if not all(map(math.isfinite, weights)) or not any(weights):
            raise ParameterError(f"Grayscale: weights must be finite and not all zero; got {weights}.")
        super().__init__(domain, Space(domain.shape[1:], field))
        self._weights = weights
        self.nonnegative = min(weights) >= 0

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        channels = x.unbind(-self.domain.ndim)
        y = self._weights[0] * channels[0]
        for weight, channel in zip(self._weights[1:], channels[1:], strict=True):
            y = y + weight * channel
        return y

    def _adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([weight * y for weight in self._weights], dim=-self.domain.ndim)

    def _norm(self) -> float:
        return math.hypot(*self._weights)

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        norm = self._norm()
        unit = self._direction
        y = unit._apply(b)
        rest = b - unit._adjoint(y)
        # shifts of batch elements have an axis for the channels, as images have
        along = unit._adjoint(y) / (norm**2 + shift)
        if not isinstance(shift, torch.Tensor):
            return along + rest / shift if shift > 0 else along
        return along + torch.where(shift > 0, rest / torch.where(shift > 0, shift, 1), 0)

    @cached_property
    def _direction(self) -> Grayscale:
        norm = self._norm()
        return Grayscale(self.domain.shape, [w / norm for w in self._weights], self.domain.field)

    def _svd(self) -> SVD:
        """Rank one per pixel: gray levels, along the weights' direction in the space of colors."""
        s = torch.full(self.range.shape, self._norm(), dtype=torch.float64)
        return SVD(Identity(self.range.shape, self.range.field), s, self._direction.H)
