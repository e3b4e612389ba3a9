"""Images as they are given, and as a network sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invgen.core.checks import nonfinite
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.priors.image_format import ImageFormat

__all__ = ["Collection"]


@dataclass(frozen=True)
class Collection:
    """Images in a network's unit, -1 to 1, and the format of the prior that is learned from them.

    Parameters
    ----------
    images : list of tensors, shape (channels, H, W)
        Of complex images the real channels, then the imaginary ones.
    image_format : ImageFormat
        Its value range gives what -1 and 1 stand for; of complex images 0 and the modulus that becomes 1. Its
        shape is None where images are of several sizes.
    """

    images: list[Tensor]
    image_format: ImageFormat

    @classmethod
    def of(
        cls,
        images: Sequence[Any],
        value_range: tuple[float, float] | None = None,
        field: str | None = None,
        vectors: bool = False,
    ) -> Collection:
        """Bring images into a network's unit.

        Parameters
        ----------
        images : sequence of tensors or arrays, each (H, W), or each (C, H, W)
        value_range : pair of float, optional
            By default the least and the largest value, or 0 and 1 if these lie within and reach beyond 1/2;
            of complex images 0 and the largest modulus.
        field : {"real", "complex"}, optional
            By default that of the images.
        vectors : bool
            Vectors (D,) in place of images.

        Raises
        ------
        DataError, ShapeError, ParameterError
        """
        tensors = [torch.as_tensor(image).detach() for image in images]
        if not tensors:
            raise ParameterError("There are no images: there is nothing to learn.")
        axes = (1,) if vectors else (2, 3)
        kinds = {(x.ndim, x.shape[0] if x.ndim == 3 else None, x.is_complex()) for x in tensors}
        if len(kinds) > 1 or tensors[0].ndim not in axes or any(x.numel() == 0 for x in tensors):
            expected = (
                "Vectors are all (D,)" if vectors else "Images are all (H, W), or all (C, H, W) of one C"
            )
            raise ShapeError(
                f"{expected}, and all real or all complex; got "
                f"{sorted({tuple(x.shape) for x in tensors})[:5]}."
            )
        ((dimensions, channels, is_complex),) = kinds
        field = field or ("complex" if is_complex else "real")
        if is_complex and field == "real":
            raise ParameterError("These images are complex: leave out field='real'.")
        dtype = torch.complex64 if field == "complex" else torch.float32
        tensors = [x.to(dtype) for x in tensors]
        for i, x in enumerate(tensors):
            if bad := nonfinite(x, ("channel", "row", "column")):
                raise DataError(f"Image {i} holds {bad}.")
        shapes = {tuple(x.shape) for x in tensors}
        found = ImageFormat(
            shape=shapes.pop() if len(shapes) == 1 else None,
            channels=channels,
            field=field,
            value_range=value_range or _value_range(tensors),
            axes=dimensions,
        )
        return cls([found.to_network(x)[0] for x in tensors], found)

    def root_mean_square(self) -> float:
        """Of all pixels, in the network's unit."""
        total = sum(float(x.double().square().sum()) for x in self.images)
        return math.sqrt(total / sum(x.numel() for x in self.images))


def _value_range(images: list[Tensor]) -> tuple[float, float]:
    if images[0].is_complex():
        low, high = 0.0, max(float(x.abs().max()) for x in images)
    else:
        low, high = min(float(x.min()) for x in images), max(float(x.max()) for x in images)
    if not low < high:
        raise DataError(f"All pixels of all images are {low:g}: there is nothing to learn.")
    if high <= 0:
        raise DataError("No pixel of any image is positive: give value_range, such as (-1, 1).")
    return (0.0, 1.0) if low >= 0 and 0.5 < high <= 1 else (low, high)
