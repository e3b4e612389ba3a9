"""Pictures of images and reconstructions, for files: no window, and no global state of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invgen import metrics
from invgen.errors import ParameterError, ShapeError
from invgen.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_DPI = 130
_PANEL, _GAP, _TITLE = 2.75, 0.1, 0.5  # inches: width of a panel, space between panels, space above them
_WIDEST = 8.0  # inches for one or two panels together, where their pixels fill it
_COLORS = ("#d95f02", "#1b9e77", "#7570b3", "#e7298a")  # ColorBrewer Dark2: safe for color-blind readers
_FRAME = "#ffc20a"

Window = tuple[float, float]


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
) -> Figure:
    """Show images side by side in grey, with a bar for their values and one for their size.

    One or two are drawn with a dot for each pixel, as far as a screen is wide.

    Parameters
    ----------
    images : sequence of real Tensor, each of shape (H, W)
        Row 0 is at the top.
    titles : sequence of str
        One for each image.
    pixel_size, unit : float, str
        Side of a pixel, for the scale bar.
    window : (float, float), optional
        Values shown as black and white; by default from the 0.1th to the 99.9th percentile.
    shared : bool
        One window and color bar for all the images; otherwise each has its own.
    label : str
        Of the color bars: what is shown, in which unit.
    columns : int
        Panels in a row.

    Raises
    ------
    ShapeError
        If there are no images, one is not two-dimensional, or the titles are fewer or more.
    ParameterError
        If the window is empty or the pixel size is not positive.
    """
    pictures = [_picture(image) for image in images]
    if not pictures or len(titles) != len(pictures):
        raise ShapeError(f"A montage needs a title for each image; got {len(pictures)} and {len(titles)}.")
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    own = max(picture.shape[1] for picture in pictures) / _DPI  # a dot for each pixel
    wide = max(_PANEL, min(own, _WIDEST / columns)) if len(pictures) <= 2 else _PANEL
    tall = wide * max(picture.shape[0] / picture.shape[1] for picture in pictures)
    bar = 0.95  # inches for a color bar, its numbers and its label
    between = _GAP if shared else bar
    figure, axes = _panels(rows, columns, wide, tall, between=between, right=bar, bottom=_GAP)
    common = _window(pictures, window)
    for axis in axes[len(pictures) :]:
        axis.remove()
    for axis, picture, title in zip(axes, pictures, titles, strict=False):
        shown = _show(axis, picture, common if shared else _window([picture], window), title)
        _scale_bar(axis, picture, pixel_size, unit)
        if not shared:
            _color_bar(axis, shown, label, wide)
    if shared:
        _color_bar(axes[columns - 1], shown, label, wide)
    return figure


def comparison(
    sinogram: Tensor,
    reconstructions: Mapping[str, Tensor],
    truth: Tensor,
    *,
    angles: Tensor,
    detector_offset: float = 0.0,
    pixel_size: float = 1.0,
    unit: str = "pixel",
    mask: Tensor | None = None,
    window: Window | None = None,
) -> Figure:
    """Show what was measured, what was made of it and the truth; below, a detail and a profile through it.

    The detail is the square, a quarter as wide as the truth, in which the truth changes most.

    Parameters
    ----------
    sinogram : Tensor, shape (views, detector)
        The measurement, as line integrals.
    reconstructions : mapping from str to Tensor of shape (H, W)
        From one to four, by name; PSNR and SSIM against the truth stand in their titles.
    truth : Tensor, shape (H, W)
    angles : Tensor, shape (views,)
        In radians.
    detector_offset : float
        Place of the detector's middle, in units of `unit`; its bins are as wide as pixels.
    pixel_size, unit : float, str
        Side of a pixel.
    mask : bool Tensor, shape (H, W), optional
        The pixels that count for the PSNR.
    window : (float, float), optional
        Values shown as black and white; by default the truth's, 5 % wider.

    Raises
    ------
    ShapeError
        If the images are not of one shape, or the angles not as many as the sinogram's rows.
    ParameterError
        If there are no reconstructions or more than four.
    """
    from matplotlib.patches import Rectangle

    if not 1 <= len(reconstructions) <= len(_COLORS):
        raise ParameterError(f"A comparison shows one to four reconstructions; got {len(reconstructions)}.")
    measured, exact = _picture(sinogram), _picture(truth)
    if angles.shape != measured.shape[:1]:
        raise ShapeError(f"{measured.shape[0]} projections need as many angles; got {tuple(angles.shape)}.")
    if window is None:
        margin = 0.05 * float(exact.max() - exact.min())
        window = float(exact.min()) - margin, float(exact.max()) + margin
    panels = []
    for name, image in reconstructions.items():
        psnr, ssim = float(metrics.psnr(image, truth, mask=mask)), float(metrics.ssim(image, truth))
        panels.append((name, f"{name}\n{psnr:.1f} dB, SSIM {ssim:.3f}", _picture(image)))
    panels.append(("truth", "\ntruth", exact))

    columns = len(panels) + 1
    figure, axes = _panels(2, columns, _PANEL, _PANEL, left=0.75, right=0.95, bottom=0.5)
    upper, lower = axes[:columns], axes[columns:]
    _sinogram(upper[0], measured, angles, pixel_size, detector_offset, unit)
    top, left, side = _liveliest(exact)
    line = top + side // 2
    frame: dict[str, Any] = {"color": _FRAME, "linewidth": 1.2}
    for whole, part, (_, title, picture) in zip(upper[1:], lower[1:], panels, strict=True):
        shown = _show(whole, picture, window, title)
        whole.add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, **frame))
        _scale_bar(whole, picture, pixel_size, unit)
        detail = picture[top : top + side, left : left + side]
        _show(part, detail, window, "")
        _scale_bar(part, detail, pixel_size, unit)
        part.axhline(line - top, color=_FRAME, linewidth=0.8, linestyle=(0, (6, 4)))
        for edge in part.spines.values():
            edge.set(visible=True, **frame)
    _color_bar(upper[-1], shown, f"attenuation (1/{unit})", _PANEL)

    place = (torch.arange(left, left + side) - (exact.shape[1] - 1) / 2) * pixel_size
    lower[0].plot(place, exact[line, left : left + side], color="0.7", linewidth=3, label="truth")
    for (name, _, picture), color in zip(panels[:-1], _COLORS, strict=False):
        lower[0].plot(place, picture[line, left : left + side], color=color, linewidth=1, label=name)
    lower[0].margins(x=0)
    lower[0].set_xlabel(f"x along the dashed line ({unit})")
    lower[0].ticklabel_format(axis="y", scilimits=_exponent(window), useMathText=True)
    lower[0].legend(frameon=False, fontsize="small", ncols=len(panels), loc="upper center", handlelength=1)
    low, high = lower[0].get_ylim()
    lower[0].set_ylim(low, high + 0.15 * (high - low))  # room for the legend
    return figure


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
    figure.savefig(buffer, format="png", dpi=_DPI)
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    # Grey pictures and a few lines need no more colors than this, and a third of the bytes.
    picture = Image.open(buffer).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True, dpi=(_DPI, _DPI))


def _palette() -> list[int]:
    """Red, green and blue of 64 greys, and of the line colors as they fade into black, grey and white."""
    colors = [3 * [grey] for grey in (*range(0, 252, 4), 255)]
    for color in (*_COLORS, _FRAME):
        line = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        for ground in (0, 128, 255):
            colors += [[round(share * c + (1 - share) * ground) for c in line] for share in (0.35, 0.7, 1)]
    return [channel for color in colors for channel in color]


def _panels(
    rows: int,
    columns: int,
    wide: float,
    tall: float,
    *,
    between: float = _GAP,
    left: float = _GAP,
    right: float,
    bottom: float,
) -> tuple[Figure, list[Axes]]:
    """Lay out panels by the inch, so that nothing depends on what is in them; row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across, down = wide + between, tall + _TITLE
    width, height = left + columns * across - between + right, rows * down + bottom
    figure = Figure(figsize=(width, height), dpi=_DPI)
    FigureCanvasAgg(figure)
    corners = [(left + j * across, bottom + i * down) for i in reversed(range(rows)) for j in range(columns)]
    return figure, [figure.add_axes((x / width, y / height, wide / width, tall / height)) for x, y in corners]


def _color_bar(axis: Axes, shown: AxesImage, label: str, wide: float) -> None:
    """Draw a bar of values beside a panel so many inches wide."""
    beside = axis.inset_axes((1 + _GAP / wide, 0, 0.05 * _PANEL / wide, 1))
    bar = axis.figure.colorbar(shown, cax=beside, label=label)
    bar.ax.ticklabel_format(axis="y", scilimits=_exponent(shown.get_clim()), useMathText=True)


def _exponent(window: Window) -> tuple[int, int]:
    """Power of ten to set apart from numbers in this window, as matplotlib wants it: none for 0.1 to 999."""
    power = math.floor(math.log10(max(abs(window[0]), abs(window[1]))))
    return (0, 0) if -1 <= power <= 2 else (power, power)


def _picture(image: Tensor) -> Tensor:
    if image.ndim != 2 or image.numel() == 0 or image.is_complex():
        raise ShapeError(
            f"A picture is made of a real image of shape (H, W); got {image.dtype} of {tuple(image.shape)}. "
            "Choose one slice, and the modulus of a complex image."
        )
    return image.detach().cpu().float()


def _window(pictures: Sequence[Tensor], window: Window | None) -> Window:
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


def _show(axis: Axes, picture: Tensor, window: Window, title: str) -> AxesImage:
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize="medium")
    for edge in axis.spines.values():
        edge.set_visible(False)
    return axis.imshow(picture.numpy(), cmap="gray", vmin=window[0], vmax=window[1])


def _sinogram(
    axis: Axes, sinogram: Tensor, angles: Tensor, pixel_size: float, offset: float, unit: str
) -> None:
    half = sinogram.shape[1] * pixel_size / 2
    degrees = angles.double().rad2deg()
    step = float(degrees[-1] - degrees[0]) / max(1, len(degrees) - 1) or 1.0
    extent = (offset - half, offset + half, float(degrees[-1]) + step / 2, float(degrees[0]) - step / 2)
    axis.imshow(sinogram.numpy(), cmap="gray", aspect="auto", extent=extent, interpolation="nearest")
    axis.set_title(f"sinogram\n{sinogram.shape[0]} views", fontsize="medium")
    axis.set_xlabel(f"s ({unit})")
    axis.set_ylabel("angle (degrees)")


def _scale_bar(axis: Axes, picture: Tensor, pixel_size: float, unit: str) -> None:
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


def _liveliest(image: Tensor) -> tuple[int, int, int]:
    """Top row, left column and side of the square detail with the largest total variation."""
    side = max(8, min(image.shape) // 4)
    change = torch.zeros_like(image)
    change[:-1] += image.diff(dim=0).abs()
    change[:, :-1] += image.diff(dim=1).abs()
    sums = torch.nn.functional.avg_pool2d(change[None, None], side, stride=1)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return top, left, side
