"""Lost and weighted pixels: inpainting."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.core.space import Space, broadcasts
from invgen.operators.basic import Identity
from invgen.operators.linear import SVD, LinearOperator

__all__ = ["Mask"]


class Mask(LinearOperator):
    """Keep the pixels where `mask` is true: ``y = m * x``.

    The range is the domain: lost pixels are zero. ``operators.masks`` has functions that draw masks.

    Parameters
    ----------
    mask : real tensor or array, shape (..., H, W)
        One or true where a pixel is measured, zero where it is lost; other numbers are weights.
    image_shape : tuple of int, optional
        Shape of the images, to which the mask broadcasts, such as ``(3, H, W)`` for one mask of all
        colors; by default that of the mask.
    field : {"real", "complex"}
        Field of the images.

    Raises
    ------
    ShapeError
        If the mask does not broadcast to `image_shape`.
    ParameterError
        If the mask is complex or not finite.
    """

    def __init__(self, mask: Any, image_shape: tuple[int, ...] | None = None, field: str = "real") -> None:
        mask = torch.as_tensor(mask)
        if mask.is_complex() or not bool(torch.isfinite(mask).all()):
            raise ParameterError("Mask expects real, finite numbers; got complex ones, NaN or infinities.")
        if not mask.is_floating_point():
            mask = mask.double()
        space = Space(mask.shape if image_shape is None else image_shape, field)
        if not broadcasts(mask.shape, space.shape):
            raise ShapeError(
                f"Mask: a mask of shape {tuple(mask.shape)} does not broadcast to images of shape "
                f"{space.shape}. Its axes are the images' last ones."
            )
        super().__init__(space, space)
        self._mask = Constant(mask)
        self.nonnegative = bool((mask >= 0).all())

    @property
    def observed(self) -> torch.Tensor | None:
        """Pixels that are not lost."""
        return None if bool(self._mask.value.all()) else self._mask.value != 0

    def _apply(self, x: torch.Tensor) -> torch.Tensor:
        return self._mask.like(x) * x

    _adjoint = _apply

    def _gram(self) -> LinearOperator:
        # squared in double precision, which the data may have where the mask has not
        return Mask(self._mask.value.double() ** 2, self.domain.shape, self.domain.field)

    def _norm(self) -> float:
        return float(self._mask.value.abs().max())

    def _solve(self, b: torch.Tensor, shift: float | torch.Tensor) -> torch.Tensor:
        """(m^2 + shift) x = b, pixel by pixel; zero where a pixel is undetermined."""
        curvature = self._mask.like(b) ** 2 + shift
        if not isinstance(shift, torch.Tensor) and shift > 0:  # everywhere, at a third of the cost
            return b / curvature
        return torch.where(curvature > 0, b / torch.where(curvature > 0, curvature, 1), 0)

    def _svd(self) -> SVD:
        """``s = |m|`` in the basis of pixels; the sign of the mask goes into U."""
        mask = self._mask.value.expand(self.domain.shape)
        identity = Identity(self.domain.shape, self.domain.field)
        sign = torch.where(mask < 0, -1.0, 1.0)
        return SVD(Mask(sign, field=self.domain.field), mask.abs(), identity)
