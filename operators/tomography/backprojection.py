"""Pixel-driven backprojection of filtered views, as a linear map with its exact adjoint."""

from __future__ import annotations

import torch

from invgen.core.kernels import Kernels
from invgen.core.space import Space
from invgen.operators.linear import LinearOperator
from invgen.operators.tomography import backprojection_torch
from invgen.operators.tomography.divergent import ConeGeometry, FanGeometry, cone_geometry, fan_geometry
from invgen.operators.tomography.projector import Backprojector
from invgen.operators.tomography.rays import FINE, PixelShadows

__all__ = ["ConeBackprojection", "FanBackprojection", "refined"]


def _cpu() -> Backprojector:
    from invgen.operators.tomography import backprojection_cpu

    return backprojection_cpu


def _gpu() -> Backprojector:
    from invgen.operators.tomography import backprojection_gpu

    return backprojection_gpu


def _disk() -> Backprojector:
    from invgen.operators.tomography import backprojection_disk

    return backprojection_disk  # type: ignore[return-value]  # fans are images, which fit in memory


def _trial(backprojector: Backprojector, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Of a curved fan and a cone."""
    fan = fan_geometry((20, 17), 12, 30.0, 40.0, 31, 1.1, 0.3, True, 1.0)
    cone = cone_geometry((9, 11, 12), 7, 20.0, 31.0, (14, 21), (1.2, 1.1), (0.6, -0.3), 1.0)
    flat, deep = PixelShadows(fan.as_cone()), PixelShadows(cone)
    generator = torch.Generator().manual_seed(0)
    shapes = (12, _samples(fan)), (20, 17), (7, 14, _samples(cone.fan)), (9, 11, 12)
    rows, image, panels, volume = (torch.randn(3, *n, generator=generator).to(device) for n in shapes)
    return (
        backprojector.fan(rows, flat),
        backprojector.fan_adjoint(image, flat, rows.shape[2]),
        backprojector.cone(panels, deep),
        backprojector.cone_adjoint(volume, deep, (panels.shape[2], panels.shape[3])),
    )


_KERNELS = Kernels[Backprojector](backprojection_torch, cpu=_cpu, gpu=_gpu, disk=_disk, trial=_trial)


def refined(spectra: torch.Tensor, n: int, count: int) -> torch.Tensor:
    """Rows of `count` bins from their spectra of length n, by trigonometric interpolation in between.

    Bin d is sample ``FINE d`` of the result, which has ``FINE (count - 1) + 1`` samples.
    """
    if n % 2 == 0:  # of an even length the Nyquist coefficient is that of both signs
        spectra = torch.cat([spectra[..., :-1], spectra[..., -1:] / 2], dim=-1)
    return FINE * torch.fft.irfft(spectra, n=FINE * n, dim=-1)[..., : FINE * (count - 1) + 1]


class FanBackprojection(LinearOperator):
    """Sum of filtered views over pixels, weighted by the inverse squared distance from the source.

    Kak and Slaney (1988), secs. 3.4.1 and 3.4.2: the value where a pixel's center is projected to in each
    view, times ``source_origin^2`` over its squared distance from the source (curved), or over the square of
    that distance's part along the central ray (flat). Views (views, samples), as of `refined`, to images
    (H, W).

    Parameters
    ----------
    geometry : FanGeometry
    """

    def __init__(self, geometry: FanGeometry) -> None:
        self._samples = _samples(geometry)
        super().__init__(Space((len(geometry.angles), self._samples)), Space(geometry.image_shape))
        self._shadows = PixelShadows(geometry.as_cone())

    def _apply(self, filtered: torch.Tensor) -> torch.Tensor:
        flat, batch = self.domain.flatten(filtered)
        x = _KERNELS.serving(flat).fan(flat, self._shadows)
        return x.reshape(*batch, *self.range.shape)

    def _adjoint(self, x: torch.Tensor) -> torch.Tensor:
        flat, batch = self.range.flatten(x)
        filtered = _KERNELS.serving(flat).fan_adjoint(flat, self._shadows, self._samples)
        return filtered.reshape(*batch, *self.domain.shape)


class ConeBackprojection(LinearOperator):
    """As `FanBackprojection`, Feldkamp, Davis and Kress (1984), eq. 28; linear between the panel's rows.

    Views (views, rows, samples), as of `refined`, with the samples of the columns, to volumes (D, H, W).

    Parameters
    ----------
    geometry : ConeGeometry
    """

    def __init__(self, geometry: ConeGeometry) -> None:
        self._panel = (geometry.row_count, _samples(geometry.fan))
        super().__init__(Space((len(geometry.angles), *self._panel)), Space(geometry.volume_shape))
        self._shadows = PixelShadows(geometry)

    def _apply(self, filtered: torch.Tensor) -> torch.Tensor:
        flat, batch = self.domain.flatten(filtered)
        x = _KERNELS.serving(flat).cone(flat, self._shadows)
        return x.reshape(*batch, *self.range.shape)

    def _adjoint(self, x: torch.Tensor) -> torch.Tensor:
        flat, batch = self.range.flatten(x)
        filtered = _KERNELS.serving(flat).cone_adjoint(flat, self._shadows, self._panel)
        return filtered.reshape(*batch, *self.domain.shape)


def _samples(geometry: FanGeometry) -> int:
    """Number of samples of a row that is `refined`."""
    return FINE * (geometry.detector_count - 1) + 1
