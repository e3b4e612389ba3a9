"""Pixel-driven backprojection of filtered views: compiled on the CPU, plain PyTorch elsewhere."""

from __future__ import annotations

import torch

from invgen.core.threads import torch_threads
from invgen.operators.tomography.divergent import ConeGeometry, FanGeometry

__all__ = ["backproject_cone", "backproject_fan", "refined"]

#: Samples for each bin, between which the kernels interpolate linearly.
FINE = 4
#: Voxels of a slab that is worked on at once.
_SLAB = 1 << 24


def refined(spectra: torch.Tensor, n: int, count: int) -> torch.Tensor:
    """Rows of `count` bins from their spectra of length n, by trigonometric interpolation in between.

    Bin d is sample ``4 d`` of the result; ``4 (count - 1) + 1`` samples.
    """
    if n % 2 == 0:  # of an even length the Nyquist frequency stands for its negative too
        spectra = torch.cat([spectra[..., :-1], spectra[..., -1:] / 2], dim=-1)
    return FINE * torch.fft.irfft(spectra, n=FINE * n, dim=-1)[..., : FINE * (count - 1) + 1]


def backproject_fan(geometry: FanGeometry, filtered: torch.Tensor) -> torch.Tensor:
    """Sum of views over pixels, weighted by the inverse squared distance from the source.

    Kak and Slaney (1988), secs. 3.4.1 and 3.4.2: the value that a pixel's centre finds in each view, times
    ``source_origin^2`` over its squared distance from the source (curved), or over the square of that
    distance's part along the central ray (flat).

    Parameters
    ----------
    geometry : FanGeometry
    filtered : tensor, shape (batch, views, samples)
        As of `refined`.

    Returns
    -------
    tensor, shape (batch, H, W)
    """
    if filtered.device.type != "cpu":
        return _plain(ConeGeometry(geometry, 1, 1, 1.0, 0.0), filtered[:, :, None])[:, 0]
    from invgen.operators.tomography import backprojection_cpu

    views, radius, first, scale = _placement(geometry)
    x = filtered.new_zeros(len(filtered), *geometry.image_shape)
    with torch_threads():
        backprojection_cpu.fan(
            filtered.contiguous().numpy(), views.numpy(), radius, first, scale, geometry.curved, x.numpy()
        )
    return x


def backproject_cone(geometry: ConeGeometry, filtered: torch.Tensor) -> torch.Tensor:
    """As `backproject_fan`, Feldkamp, Davis and Kress (1984), eq. 28; linear between the panel's rows.

    Parameters
    ----------
    geometry : ConeGeometry
    filtered : tensor, shape (batch, views, rows, samples)
        As of `refined`, with the samples of the columns.

    Returns
    -------
    tensor, shape (batch, D, H, W)
    """
    if filtered.device.type != "cpu":
        return _plain(geometry, filtered)
    from invgen.operators.tomography import backprojection_cpu

    views, radius, first, scale = _placement(geometry.fan)
    lowest, rise = _climb(geometry)
    depth, height, width = geometry.volume_shape
    # the rows of a sample lie side by side, as the slices of a stack of voxels do
    columns = filtered.transpose(2, 3).contiguous().numpy()
    x = filtered.new_empty(len(filtered), depth, height, width)
    size = max(1, _SLAB // (height * width))
    with torch_threads():
        for k in range(0, depth, size):
            slab = slice(k, min(k + size, depth))
            stacks = x.new_zeros(len(x), height, width, slab.stop - k)
            backprojection_cpu.cone(
                columns,
                views.numpy(),
                radius,
                first,
                scale,
                k - (depth - 1) / 2,
                lowest,
                rise,
                stacks.numpy(),
            )
            x[:, slab] = stacks.permute(0, 3, 1, 2)
    return x


def _placement(g: FanGeometry) -> tuple[torch.Tensor, float, float, float]:
    """Cosines and sines of the views, the source's distance in pixels, the central ray's sample, scale."""
    views = torch.stack([g.angles.cos(), g.angles.sin()], dim=1)
    first = -float(g.bins()[0]) / g.detector_spacing * FINE
    return views, g.source_origin / g.pixel_size, first, g.source_detector / g.detector_spacing * FINE


def _climb(g: ConeGeometry) -> tuple[float, float]:
    """Panel row of the height zero, and rows for each unit of the height over the distance."""
    return -float(g.rows()[0]) / g.row_spacing, g.fan.source_detector / g.row_spacing


def _plain(geometry: ConeGeometry, filtered: torch.Tensor) -> torch.Tensor:
    """The same in PyTorch, for any device: what the compiled kernels are compared with."""
    fan = geometry.fan
    views, radius, first, scale = _placement(fan)
    lowest, rise = _climb(geometry)
    columns, rows = (c.to(filtered.device) / fan.pixel_size for c in fan.pixel_centers())
    heights = (geometry.slices() / fan.pixel_size).to(filtered.device)[:, None, None]
    out = filtered.new_zeros(len(filtered), *geometry.volume_shape)
    for view, (cos, sin) in enumerate(views.tolist()):
        u, w = columns * cos + rows[:, None] * sin, radius - columns * sin + rows[:, None] * cos
        distance = u * u + w * w if fan.curved else w * w
        place = first + scale * (torch.atan(u / w) if fan.curved else u / w)
        for k, near in _neighbors(place, filtered.shape[3], FINE / 2):
            for r, close in _neighbors(lowest + rise * heights / w, filtered.shape[2], 0.5):
                weight = (near * close * radius**2 / distance).to(filtered.dtype)
                out += filtered[:, view, r, k.expand_as(r)] * weight
    return out


def _neighbors(place: torch.Tensor, count: int, half: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two samples that a place lies between, and their weights: zero next to the detector.

    The outer bins reach `half` a bin beyond their middles.
    """
    inside = (place >= -half) & (place <= count - 1 + half)
    low = place.floor().clamp(0, count - 1)
    high = (low + 1).clamp(max=count - 1)
    share = (place - low).clamp(0, 1)
    return [(low.long(), (1 - share) * inside), (high.long(), share * inside)]
