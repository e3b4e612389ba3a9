"""A sinogram, its reconstructions, and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invgen import metrics
from invgen.core.errors import ParameterError, ShapeError
from invgen.figures.layout import (
    BAR,
    COLORS,
    FRAME,
    PANEL,
    Window,
    as_picture,
    color_bar,
    exponent,
    lay_out,
    scale_bar,
    show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = ["comparison"]


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
    """Show a sinogram, its reconstructions and the truth; below, a detail and a profile through it.

    The detail is the square, a quarter as wide as the truth, in which the truth changes most.

    Parameters
    ----------
    sinogram : Tensor, shape (views, detector)
        The measurement, as line integrals.
    reconstructions : mapping from str to Tensor of shape (H, W)
        From one to four, by name; their titles state PSNR and SSIM against the truth.
    truth : Tensor, shape (H, W)
    angles : Tensor, shape (views,)
        In radians.
    detector_offset : float
        Position of the detector's middle, in `unit`; its bins have the width of pixels.
    pixel_size, unit : float, str
        Side of a pixel.
    mask : bool Tensor, shape (H, W), optional
        The pixels that count for the PSNR.
    window : (float, float), optional
        Values shown as black and white; by default the truth's, 5 % wider.

    Raises
    ------
    ShapeError
        If the images are not of one shape, or the number of angles is not that of the sinogram's rows.
    ParameterError
        If there are no reconstructions or more than four.
    """
    from matplotlib.patches import Rectangle

    if not 1 <= len(reconstructions) <= len(COLORS):
        raise ParameterError(f"A comparison shows one to four reconstructions; got {len(reconstructions)}.")
    measured, exact = as_picture(sinogram), as_picture(truth)
    if angles.shape != measured.shape[:1]:
        raise ShapeError(f"{measured.shape[0]} projections need one angle each; got {tuple(angles.shape)}.")
    if window is None:
        margin = 0.05 * float(exact.max() - exact.min())
        window = float(exact.min()) - margin, float(exact.max()) + margin
    panels = []
    for name, image in reconstructions.items():
        psnr, ssim = float(metrics.psnr(image, truth, mask=mask)), float(metrics.ssim(image, truth))
        panels.append((name, f"{name}\n{psnr:.1f} dB, SSIM {ssim:.3f}", as_picture(image)))
    panels.append(("truth", "\ntruth", exact))

    columns = len(panels) + 1
    figure, axes = lay_out(2, columns, PANEL, PANEL, left=0.75, right=BAR, bottom=0.5)
    upper, lower = axes[:columns], axes[columns:]
    _sinogram(upper[0], measured, angles, pixel_size, detector_offset, unit)
    top, left, side = _liveliest(exact)
    line = top + side // 2
    frame: dict[str, Any] = {"color": FRAME, "linewidth": 1.2}
    for whole, part, (_, title, picture) in zip(upper[1:], lower[1:], panels, strict=True):
        shown = show(whole, picture, window, title)
        whole.add_patch(Rectangle((left - 0.5, top - 0.5), side, side, fill=False, **frame))
        scale_bar(whole, picture, pixel_size, unit)
        detail = picture[top : top + side, left : left + side]
        show(part, detail, window, "")
        scale_bar(part, detail, pixel_size, unit)
        part.axhline(line - top, color=FRAME, linewidth=0.8, linestyle=(0, (6, 4)))
        for edge in part.spines.values():
            edge.set(visible=True, **frame)
    color_bar(upper[-1], shown, f"attenuation (1/{unit})", PANEL)

    place = (torch.arange(left, left + side) - (exact.shape[1] - 1) / 2) * pixel_size
    lower[0].plot(place, exact[line, left : left + side], color="0.7", linewidth=3, label="truth")
    for (name, _, picture), color in zip(panels[:-1], COLORS, strict=False):
        lower[0].plot(place, picture[line, left : left + side], color=color, linewidth=1, label=name)
    lower[0].margins(x=0)
    lower[0].set_xlabel(f"x along the dashed line ({unit})")
    lower[0].ticklabel_format(axis="y", scilimits=exponent(window), useMathText=True)
    lower[0].legend(frameon=False, fontsize="small", ncols=len(panels), loc="upper center", handlelength=1)
    low, high = lower[0].get_ylim()
    lower[0].set_ylim(low, high + 0.15 * (high - low))  # room for the legend
    return figure


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


def _liveliest(image: Tensor) -> tuple[int, int, int]:
    """Top row, left column and side of the square detail with the largest total variation."""
    side = max(8, min(image.shape) // 4)
    change = torch.zeros_like(image)
    change[:-1] += image.diff(dim=0).abs()
    change[:, :-1] += image.diff(dim=1).abs()
    sums = torch.nn.functional.avg_pool2d(change[None, None], side, stride=1)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return top, left, side
