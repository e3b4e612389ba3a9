"""Images, their uncertainty, and where a prior did not expect them, side by side."""

from __future__ import annotations

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

__all__ = ["plausibility"]

#: Upper end of the window of maps at least: where one is expected, chance gives as much.
_EXPECTED = 3.0


def plausibility(
    means: Sequence[Tensor],
    stds: Sequence[Tensor] | None,
    maps: Sequence[Tensor],
    titles: Sequence[str],
    *,
    pixel_size: float = 1.0,
    unit: str = "pixel",
    window: Window | None = None,
    label: str = "",
    aspect: float = 1.0,
    spread: str = "standard deviation",
) -> Figure:
    """Show each image in a row, beside it its standard deviation, and the map of its plausibility.

    Parameters
    ----------
    means : sequence of real Tensor, each of shape (H, W), or (3, H, W) in color
        Row 0 is at the top.
    stds : sequence of real Tensor, or None
    maps : sequence of real Tensor, each of shape (H, W)
        Ratios to what is expected, see `invgen.plausibility.Assessment`; all share one window, from zero.
    titles : sequence of str
        One for each image.
    pixel_size, unit, window, label, aspect, spread
        See `invgen.figures.uncertainty`.

    Raises
    ------
    ShapeError
        If there are no images, or not the same number of everything.
    ParameterError
        If the window is empty, or the pixel size or the aspect not positive.
    """
    given = [column for column in (means, stds, maps) if column is not None]
    columns = [[as_picture(image) for image in column] for column in given]
    if not columns[0] or {len(column) for column in columns} != {len(titles)}:
        raise ShapeError(
            "An image needs a map and a title, and all or none a standard deviation; got "
            f"{', '.join(str(len(column)) for column in columns)} and {len(titles)}."
        )
    windows = [window_of(columns[0], window)]
    names, labels = ["image" if stds is None else "mean"], [label]
    if stds is not None:
        windows.append((0.0, window_of(columns[1], None)[1]))
        names.append(spread)
        labels.append(label)
    windows.append((0.0, max(_EXPECTED, window_of(columns[-1], None)[1])))
    names.append("error over the prior's expectation")
    labels.append("1: as expected")
    wide, tall = panel_size([each for column in columns for each in column], len(columns), aspect)
    figure, axes = lay_out(len(titles), len(columns), wide, tall, between=BAR, right=BAR, bottom=GAP)
    for row, title in enumerate(titles):
        for k, column in enumerate(columns):
            axis = axes[row * len(columns) + k]
            text = f"{title}\n{names[k]}" if k == 0 else f"\n{names[k]}"
            drawn = show(axis, column[row], windows[k], text, aspect)
            scale_bar(axis, column[row], pixel_size, unit)
            color_bar(axis, drawn, labels[k], wide)
    return figure
