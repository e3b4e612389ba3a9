"""Layout and drawing that all figures share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invgen.core.errors import ParameterError, ShapeError
from invgen.core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = [
    "BAR",
    "COLORS",
    "DPI",
    "FRAME",
    "GAP",
    "PANEL",
    "TITLE",
    "WIDEST",
    "Window",
    "as_picture",
    "color_bar",
    "exponent",
    "lay_out",
    "panel_size",
    "save",
    "scale_bar",
    "show",
    "window_of",
]

DPI = 130
PANEL, GAP, TITLE = 2.75, 0.1, 0.5  # inches: width of a panel, space between panels, space above them
WIDEST = 8.0  # inches for one or two panels together, if they have the pixels for it
COLORS = ("#d95f02", "#1b9e77", "#7570b3", "#e7298a")  # ColorBrewer Dark2: safe for color-blind readers
FRAME = "#ffc20a"
BAR = 0.95  # inches for a color bar, its numbers and its label

Window = tuple[float, float]


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG; the file appears under its name only when it is complete.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    # This palette suffices for gray pictures and a few lines, and takes a third of the bytes.
    picture = Image.open(buffer).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True, dpi=(DPI, DPI))


def _palette() -> list[int]:
    """Red, green and blue of 64 grays, and of the line colors as they fade into black, gray and white."""
    colors = [3 * [gray] for gray in (*range(0, 252, 4), 255)]
    for color in (*COLORS, FRAME):
        line = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        for ground in (0, 128, 255):
            colors += [[round(share * c + (1 - share) * ground) for c in line] for share in (0.35, 0.7, 1)]
    return [channel for color in colors for channel in color]


def lay_out(
    rows: int,
    columns: int,
    wide: float,
    tall: float,
    *,
    between: float = GAP,
    left: float = GAP,
    right: float,
    bottom: float,
) -> tuple[Figure, list[Axes]]:
    """Lay out panels row by row, in inches, so that their size does not depend on what is in them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across, down = wide + between, tall + TITLE
    width, height = left + columns * across - between + right, rows * down + bottom
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    corners = [(left + j * across, bottom + i * down) for i in reversed(range(rows)) for j in range(columns)]
    return figure, [figure.add_axes((x / width, y / height, wide / width, tall / height)) for x, y in corners]


def panel_size(pictures: Sequence[Tensor], columns: int, aspect: float) -> tuple[float, float]:
    """Width and height in inches of the panels of images whose pixels are `aspect` times as high as wide.

    One or two images get a dot for each pixel, up to the width of a screen.

    Raises
    ------
    ParameterError
        If the aspect is not positive.
    """
    if not aspect > 0:
        raise ParameterError(f"The height of a pixel is a positive length; its aspect is {aspect}.")
    own = max(picture.shape[1] for picture in pictures) / DPI
    wide = max(PANEL, min(own, WIDEST / columns)) if len(pictures) <= 2 else PANEL
    return wide, wide * aspect * max(picture.shape[0] / picture.shape[1] for picture in pictures)


def color_bar(axis: Axes, shown: AxesImage, label: str, wide: float) -> None:
    """Draw a bar of values beside a panel that is `wide` inches wide."""
    beside = axis.inset_axes((1 + GAP / wide, 0, 0.05 * PANEL / wide, 1))
    bar = axis.figure.colorbar(shown, cax=beside, label=label)
    bar.ax.ticklabel_format(axis="y", scilimits=exponent(shown.get_clim()), useMathText=True)


def exponent(window: Window) -> tuple[int, int]:
    """Power of ten to factor out of numbers in this window, as matplotlib's limits: none for 0.1 to 999."""
    power = math.floor(math.log10(max(abs(window[0]), abs(window[1]))))
    return (-9, 9) if -1 <= power <= 2 else (power, power)


def as_picture(image: Tensor) -> Tensor:
    """Return an image that can be shown, on the CPU in single precision; colors on the last axis.

    Raises
    ------
    ShapeError
        If it is complex, or neither gray, (H, W), nor in color, (3, H, W).
    """
    if image.ndim == 3 and len(image) == 3:
        image = image.movedim(0, -1)
    elif image.ndim != 2:
        raise ShapeError(
            f"A picture is made of an image (H, W), or (3, H, W) in color; got {tuple(image.shape)}. "
            "Choose one slice."
        )
    if image.numel() == 0 or image.is_complex():
        raise ShapeError(
            f"A picture is made of real pixels; got {image.dtype} of {tuple(image.shape)}. Choose the "
            "modulus of a complex image."
        )
    return image.detach().cpu().float()


def window_of(pictures: Sequence[Tensor], window: Window | None) -> Window:
    """The given window, or one from the 0.1th to the 99.9th percentile of the pictures.

    Raises
    ------
    ParameterError
        If the window is empty, or there is no finite value.
    """
    if window is None:
        values = torch.cat([picture.flatten() for picture in pictures])
        values = values[values.isfinite()].sort().values
        if not len(values):
            raise ParameterError("There is no finite value to show.")
        low, high = float(values[int(0.001 * len(values))]), float(values[int(0.999 * len(values))])
        return (low, high) if low < high else (low - 0.5, high + 0.5)
    if not window[0] < window[1]:
        raise ParameterError(f"A window runs from a lower to a higher value; got {window}.")
    return window


def show(axis: Axes, picture: Tensor, window: Window, title: str, aspect: float = 1.0) -> AxesImage:
    """Draw an image, its pixels `aspect` times as high as wide; colors share the window."""
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize="medium")
    for edge in axis.spines.values():
        edge.set_visible(False)
    if picture.ndim == 3:
        picture = ((picture - window[0]) / (window[1] - window[0])).clamp(0, 1)
    return axis.imshow(picture.numpy(), cmap="gray", vmin=window[0], vmax=window[1], aspect=aspect)


def scale_bar(axis: Axes, picture: Tensor, pixel_size: float, unit: str) -> None:
    """Draw a bar of a round length, at most a quarter of the width, at the lower left."""
    from matplotlib.patheffects import withStroke

    if not pixel_size > 0:
        raise ParameterError(f"The pixel size is a positive length; got {pixel_size}.")
    width = picture.shape[1]
    length = _round_length(0.25 * width * pixel_size)
    start, stop = 0.04 * width - 0.5, 0.04 * width - 0.5 + length / pixel_size
    along = axis.get_xaxis_transform()  # x in pixels of the image, y in heights of the panel
    white: dict[str, Any] = {"color": "white", "path_effects": [withStroke(linewidth=3, foreground="black")]}
    axis.plot([start, stop], [0.04, 0.04], transform=along, solid_capstyle="butt", linewidth=2, **white)
    axis.annotate(
        f"{length:g} {unit}" + "s" * (unit == "pixel" and length != 1),
        ((start + stop) / 2, 0.04),
        xycoords=along,
        xytext=(0, 3),
        textcoords="offset points",
        fontsize="x-small",
        horizontalalignment="center",
        **white,
    )


def _round_length(longest: float) -> float:
    """Largest of 1, 2 and 5 times a power of ten that is not above `longest`."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= longest)
