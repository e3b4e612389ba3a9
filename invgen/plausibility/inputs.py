"""Images that are judged or changed by a prior: checked once, and as one batch axis."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.core.errors import DataError, DtypeError, ShapeError
from invgen.core.space import check_finite
from invgen.priors.image_format import ImageFormat

__all__ = ["check_range", "checked_images", "checked_labels"]

#: How far beyond the value range an image may be, in parts of it: rounding, and no other unit.
_BEYOND = 1e-3


def checked_images(x: Tensor, images: ImageFormat, who: str) -> Tensor:
    """Images with one batch axis, ``(N, *image)``.

    Parameters
    ----------
    x : tensor, shape (*batch, *image)
    images : ImageFormat
        What they are to be.
    who : str
        Who asks, for the message.

    Raises
    ------
    DtypeError, ShapeError, DataError
        Where x is no such images, holds NaN or infinities, or values out of the range.
    """
    images.check(x, who)
    check_finite(x, who, waits=True)
    if not x.is_complex():
        check_range(x, images, who, _BEYOND)
    batch = images.batch_shape(x)
    return x.reshape(-1, *x.shape[len(batch) :])


def check_range(x: Tensor, images: ImageFormat, who: str, beyond: float) -> None:
    """Raise where values are out of the range of images by more than a part `beyond` of it.

    Raises
    ------
    DataError
    """
    if images.value_range is None or not x.numel():
        return
    (low, high), x = images.value_range, x.detach()
    if x.is_complex():
        x, low = torch.view_as_real(x), -high
    least, most, slack = float(x.min()), float(x.max()), beyond * (high - low)
    if least < low - slack or most > high + slack:
        raise DataError(
            f"{who} expects images with values from {low:g} to {high:g}; got {least:g} to {most:g}. "
            "Bring them to that range."
        )


def checked_labels(labels: Tensor, count: int, classes: int, who: str) -> Tensor:
    """The classes of `count` images as int64.

    Raises
    ------
    DtypeError, ShapeError, DataError
        Where labels are not one whole number from 0 to ``classes - 1`` for each image.
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        found = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise DtypeError(f"{who} expects labels as a tensor of whole numbers; got {found}.")
    if labels.shape != (count,):
        raise ShapeError(f"{who} expects one label for each of {count} images; got {tuple(labels.shape)}.")
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(
            f"{who} expects labels from 0 to {classes - 1}; got {int(labels.min())} to {int(labels.max())}."
        )
    return labels.long()
