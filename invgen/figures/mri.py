"""The samples of k-space of an MRI scan, its reconstructions, and their errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from invgen import metrics
from invgen.core.errors import ParameterError, ShapeError
from invgen.figures.layout import (
    BAR,
    COLORS,
    GAP,
    PANEL,
    Window,
    as_picture,
    color_bar,
    lay_out,
    scale_bar,
    show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["error_maps"]

_BRIGHTER = 5  # factor by which errors are shown brighter than images


def error_maps(
    sampling: Tensor,
    reconstructions: Mapping[str, Tensor],
    truth: Tensor,
    *,
    pixel_size: float = 1.0,
    unit: str = "pixel",
    label: str = "signal",
    window: Window | None = None,
) -> Figure:
    """Show the samples of k-space, reconstructions from them and the truth; below, the absolute errors.

    Parameters
    ----------
    sampling : Tensor
        Mask (H, W) of k-space, or a trajectory (shots, samples, 2), in cycles per pixel, (ky, kx).
    reconstructions : mapping from str to Tensor of shape (H, W)
        From one to four real images, by name; their titles state PSNR and SSIM against the truth.
    truth : Tensor, shape (H, W)
        Real.
    pixel_size, unit : float, str
        Side of a pixel.
    label : str
        The quantity that is shown.
    window : (float, float), optional
        Values shown as black and white; by default from zero to the truth's largest.

    Raises
    ------
    ShapeError
        If the images are not of one shape, or the sampling is neither a mask nor a trajectory.
    ParameterError
        If there are no reconstructions or more than four.
    """
    if not 1 <= len(reconstructions) <= len(COLORS):
        raise ParameterError(f"A comparison shows one to four reconstructions; got {len(reconstructions)}.")
    exact = as_picture(truth)
    if window is None:
        window = 0.0, float(exact.max())
    pictures = {name: as_picture(image) for name, image in reconstructions.items()}
    scores = {
        name: f"{float(metrics.psnr(image, exact)):.1f} dB, SSIM {float(metrics.ssim(image, exact)):.3f}"
        for name, image in pictures.items()
    }
    columns = len(pictures) + 2
    tall = PANEL * exact.shape[0] / exact.shape[1]
    figure, axes = lay_out(2, columns, PANEL, tall, right=BAR, bottom=GAP)
    upper, lower = axes[:columns], axes[columns:]
    _sampling(upper[0], sampling)
    for axis, below, (name, image) in zip(upper[1:], lower[1:], pictures.items(), strict=False):
        show(axis, image, window, f"{name}\n{scores[name]}")
        scale_bar(axis, image, pixel_size, unit)
        error = show(below, (image - exact).abs(), (0.0, (window[1] - window[0]) / _BRIGHTER), "error")
    shown = show(upper[-1], exact, window, "\ntruth")
    scale_bar(upper[-1], exact, pixel_size, unit)
    color_bar(upper[-1], shown, label, PANEL)
    color_bar(lower[-2], error, f"absolute error of the {label}", PANEL)
    lower[0].remove()
    lower[-1].remove()
    return figure


def _sampling(axis: Axes, sampling: Tensor) -> None:
    """Draw a mask as an image, and shots as lines."""
    if sampling.ndim == 2:
        share = float((sampling != 0).double().mean())
        show(axis, (sampling != 0).float(), (0.0, 1.0), f"k-space\n{100 * share:.3g} % sampled")
        return
    if sampling.ndim != 3 or sampling.shape[-1] != 2:
        raise ShapeError(
            "sampling is a mask (H, W) or a trajectory (shots, samples, 2); "
            f"got the shape {tuple(sampling.shape)}."
        )
    axis.set_facecolor("black")
    for shot in sampling.tolist():
        ky, kx = zip(*shot, strict=True)
        axis.plot(kx, ky, color="white", linewidth=0.3)
    axis.set(xticks=[], yticks=[], xlim=(-0.5, 0.5), ylim=(0.5, -0.5))  # ky runs down, as rows do
    axis.set_title(f"k-space\n{len(sampling)} shots", fontsize="medium")
