"""Images side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from invgen.core.checks import as_count
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


__all__ = ["montage"]


def montage(
    images: Sequence[Tensor],
    titles: Sequence[str],
    *,
    pixel_size: float = 1.0,
    unit: str = "pixel",
    window: Window | None = None,
    shared: bool = True,
    label: str = "",
    columns: int = 4,
    aspect: float = 1.0,
) -> Figure:
    """Show images side by side, with a color bar for their values and a scale bar for their size.

    One or two are drawn with a dot for each pixel, up to the width of a screen.

    Parameters
    ----------
    images : sequence of real Tensor, each of shape (H, W), or (3, H, W) in color
        Row 0 is at the top.
    titles : sequence of str
        One for each image.
    pixel_size, unit : float, str
        Side of a pixel, for the scale bar.
    window : (float, float), optional
        Values shown as black and white; by default from the 0.1th to the 99.9th percentile.
    shared : bool
        Whether all images share one window and color bar; otherwise each has its own.
    label : str
        Label of the color bars: the quantity and its unit.
    columns : int
        Largest number of panels in a row.
    aspect : float
        Height of a pixel over its width, `pixel_size`.

    Raises
    ------
    ShapeError
        If there are no images, one is no picture, or the number of titles is another.
    ParameterError
        If the window is empty, the pixel size or the aspect not positive, or `columns` no positive whole
        number.
    """
    pictures = [as_picture(image) for image in images]
    if not pictures or len(titles) != len(pictures):
        raise ShapeError(f"A montage needs a title for each image; got {len(pictures)} and {len(titles)}.")
    columns = min(as_count(columns, "columns"), len(pictures))
    rows = math.ceil(len(pictures) / columns)
    wide, tall = panel_size(pictures, columns, aspect)
    between = GAP if shared else BAR
    figure, axes = lay_out(rows, columns, wide, tall, between=between, right=BAR, bottom=GAP)
    common = window_of(pictures, window)
    for axis in axes[len(pictures) :]:
        axis.remove()
    for axis, picture, title in zip(axes, pictures, titles, strict=False):
        shown = show(axis, picture, common if shared else window_of([picture], window), title, aspect)
        scale_bar(axis, picture, pixel_size, unit)
        if not shared:
            color_bar(axis, shown, label, wide)
    if shared:
        color_bar(axes[columns - 1], shown, label, wide)
    return figure
