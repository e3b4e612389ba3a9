"""Pixel-driven backprojection of filtered views."""

from __future__ import annotations

import torch

from invgen.core.kernels import Kernels
from invgen.operators.tomography import backprojection_torch
from invgen.operators.tomography.divergent import ConeGeometry, FanGeometry
from invgen.operators.tomography.projector import Backprojector
from invgen.operators.tomography.rays import FINE, PixelShadows

__all__ = ["backproject_cone", "backproject_fan", "refined"]


def _cpu() -> Backprojector:
    from invgen.operators.tomography import backprojection_cpu

    return backprojection_cpu


_KERNELS = Kernels[Backprojector](backprojection_torch, cpu=_cpu)


def refined(spectra: torch.Tensor, n: int, count: int) -> torch.Tensor:
    """Rows of `count` bins from their spectra of length n, by trigonometric interpolation in between.

    Bin d is sample ``FINE d`` of the result, which has ``FINE (count - 1) + 1`` samples.
    """
    if n % 2 == 0:  # of an even length the Nyquist coefficient is that of both signs
        spectra = torch.cat([spectra[..., :-1], spectra[..., -1:] / 2], dim=-1)
    return FINE * torch.fft.irfft(spectra, n=FINE * n, dim=-1)[..., : FINE * (count - 1) + 1]


def backproject_fan(geometry: FanGeometry, filtered: torch.Tensor) -> torch.Tensor:
    """Sum of views over pixels, weighted by the inverse squared distance from the source.

    Kak and Slaney (1988), secs. 3.4.1 and 3.4.2: the value where a pixel's center is projected to in each
    view, times ``source_origin^2`` over its squared distance from the source (curved), or over the square of
    that distance's part along the central ray (flat).

    Parameters
    ----------
    geometry : FanGeometry
    filtered : tensor, shape (batch, views, samples)
        As of `refined`.

    Returns
    -------
    tensor, shape (batch, H, W)
    """
    return _KERNELS.serving(filtered).fan(filtered, PixelShadows(geometry.as_cone()))


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
    return _KERNELS.serving(filtered).cone(filtered, PixelShadows(geometry))
