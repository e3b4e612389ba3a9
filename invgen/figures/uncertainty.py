"""Means and standard deviations of samples, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from invgen.core.errors import ShapeError
from invgen.figures.layout import (
    BAR,
    GAP,
    Window,
    as_picture,
    color_bar,
    lay_out,
    panel_size,
    scale_bar,
    show,
    window_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["uncertainty"]

#: Largest number of images with a row for each pair.
_FEW = 3


def uncertainty(
    means: Sequence[Tensor],
    stds: Sequence[Tensor],
    titles: Sequence[str],
    *,
    pixel_size: float = 1.0,
    unit: str = "pixel",
    window: Window | None = None,
    label: str = "",
    aspect: float = 1.0,
    spread: str = "standard deviation",
) -> Figure:
    """Show images and their standard deviations side by side, each with a color bar.

    All images share one window, and all standard deviations another one, from zero.

    Parameters
    ----------
    means, stds : sequence of real Tensor, each of shape (H, W), or (3, H, W) in color
        The same number of each; row 0 is at the top.
    titles : sequence of str
        One for each image.
    pixel_size, unit : float, str
        Width of a pixel, for the scale bar.
    window : (float, float), optional
        Values of the images shown as black and white; by default from the 0.1th to the 99.9th percentile.
    label : str
        Label of the color bars: the quantity and its unit.
    aspect : float
        Height of a pixel over its width, `pixel_size`.
    spread : str
        What `stds` are, for their titles: deviations, or others such as half of an interval.

    Raises
    ------
    ShapeError
        If there are no images, or not the same number of means, standard deviations and titles.
    ParameterError
        If the window is empty, or the pixel size or the aspect not positive.
    """
    images, sigmas = [as_picture(mean) for mean in means], [as_picture(std) for std in stds]
    if not images or not len(images) == len(sigmas) == len(titles):
        raise ShapeError(
            "An image needs a standard deviation and a title; got "
            f"{len(images)}, {len(sigmas)} and {len(titles)}."
        )
    columns = 2 if len(images) <= _FEW else 4
    wide, tall = panel_size(images + sigmas, columns, aspect)
    rows = math.ceil(2 * len(images) / columns)
    figure, axes = lay_out(rows, columns, wide, tall, between=BAR, right=BAR, bottom=GAP)
    windows = window_of(images, window), (0.0, window_of(sigmas, None)[1])
    for axis in axes[2 * len(images) :]:
        axis.remove()
    center = "mean" if spread == "standard deviation" else "image"
    pairs = zip(axes[::2], axes[1::2], images, sigmas, titles, strict=False)
    for left, right, image, sigma, title in pairs:
        for axis, picture, shown, name in zip(
            (left, right),
            (image, sigma),
            windows,
            (f"{title}\n{center}", f"\n{spread}"),
            strict=True,
        ):
            drawn = show(axis, picture, shown, name, aspect)
            scale_bar(axis, picture, pixel_size, unit)
            color_bar(axis, drawn, label, wide)
    return figure
