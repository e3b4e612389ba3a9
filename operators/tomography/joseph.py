"""Parallel-beam projection by linear interpolation along rays, after Joseph (1982).

A ray that runs more along y than along x is sampled once in every row, between the two nearest pixels;
else once in every column. With m = max(|cos t|, |sin t|) the pixel i therefore enters the ray of bin d with

    weight = max(0, 1 - |s_d - s_i| / (p m)) p / m,     s_i = x_i cos t + y_i sin t,

a function of the distance between ray and pixel center on the detector. Forward and adjoint evaluate this
one expression, so one is the transpose of the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn.functional import pad

from invgen.core.frozen import Constant, Frozen
from invgen.core.threads import torch_threads
from invgen.operators.tomography.geometry import ParallelBeam

__all__ = ["JosephProjector", "joseph_adjoint", "joseph_forward"]


class JosephProjector(Frozen):
    """Joseph's projector: compiled on the CPU, plain PyTorch elsewhere."""

    def __init__(self, geometry: ParallelBeam) -> None:
        self._geometry = geometry
        g = geometry
        # everything in pixels: s_d = (first + d) * ratio, pixels at (j - (W - 1) / 2, (H - 1) / 2 - i)
        self._ratio = g.detector_spacing / g.pixel_size
        self._first = g.detector_offset / g.detector_spacing - (g.detector_count - 1) / 2
        self._views = Constant(torch.stack([g.angles.cos(), g.angles.sin()], dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (batch, H, W) to sinograms (batch, views, detector)."""
        g = self._geometry
        if x.device.type != "cpu":
            return (
                joseph_forward(x, self._views.like(x), self._first, self._ratio, g.detector_count)
                * g.pixel_size
            )
        from invgen.operators.tomography import joseph_cpu

        images, flipped = (pad(a, (1, 1)).contiguous().numpy() for a in (x, x.mT))
        y = x.new_zeros(len(x), len(g.angles), g.detector_count)
        with torch_threads():
            joseph_cpu.forward(
                images, flipped, self._views.value.numpy(), self._first, self._ratio, y.numpy()
            )
        return y.mul_(g.pixel_size)

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Sinograms (batch, views, detector) to images (batch, H, W)."""
        g = self._geometry
        if y.device.type != "cpu":
            return (
                joseph_adjoint(y, self._views.like(y), self._first, self._ratio, g.image_shape) * g.pixel_size
            )
        from invgen.operators.tomography import joseph_cpu

        margin = int(2 / self._ratio) + 2  # more bins than a pixel can reach
        rows = pad(y, (margin, margin)).contiguous().numpy()
        x = y.new_zeros(len(y), *g.image_shape)
        with torch_threads():
            joseph_cpu.adjoint(rows, self._views.value.numpy(), self._first, self._ratio, margin, x.numpy())
        return x.mul_(g.pixel_size)


def joseph_forward(
    x: torch.Tensor, views: torch.Tensor, first: float, ratio: float, detector_count: int
) -> torch.Tensor:
    """The formula in PyTorch, for any device: images (batch, H, W) to (batch, views, detector), in pixels.

    `views` holds cosine and sine of each view angle; bin d lies at ``(first + d) * ratio`` pixels.
    """
    y = x.new_zeros(len(x), len(views), detector_count)
    for view, position, bins, weight in _footprints(x.shape[1:], views, first, ratio, detector_count):
        y[:, view].index_add_(1, bins, x.flatten(1)[:, position] * weight)
    return y


def joseph_adjoint(
    y: torch.Tensor, views: torch.Tensor, first: float, ratio: float, image_shape: tuple[int, int]
) -> torch.Tensor:
    """Transpose of `joseph_forward`: (batch, views, detector) to (batch, H, W)."""
    x = y.new_zeros(len(y), image_shape[0] * image_shape[1])
    for view, position, bins, weight in _footprints(
        torch.Size(image_shape), views, first, ratio, y.shape[-1]
    ):
        x.index_add_(1, position, y[:, view, bins] * weight)
    return x.reshape(-1, *image_shape)


def _footprints(
    shape: torch.Size, views: torch.Tensor, first: float, ratio: float, detector_count: int
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """For each view, the pixels, bins and weights of the non-zero entries of its matrix."""
    height, width = shape
    columns = torch.arange(width, device=views.device, dtype=torch.float64) - (width - 1) / 2
    rows = (height - 1) / 2 - torch.arange(height, device=views.device, dtype=torch.float64)
    for view, (cos, sin) in enumerate(views.double()):
        m = torch.maximum(cos.abs(), sin.abs())
        center = (columns * cos + rows[:, None] * sin).flatten() / ratio - first
        reach = m / ratio
        nearest = torch.ceil(center - reach).long()
        for k in range(int(2 * reach) + 2):
            bins = nearest + k
            weight = (1 - (bins - center).abs() / reach) / m
            position = ((weight > 0) & (bins >= 0) & (bins < detector_count)).nonzero().squeeze(1)
            yield view, position, bins[position], weight[position].to(views.dtype)
