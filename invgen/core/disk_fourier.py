"""Filters in the Fourier basis of volumes on disk."""

from __future__ import annotations

import torch

from invgen.core.disk import OnDisk, by_slabs, slabs
from invgen.core.errors import CapabilityError

__all__ = ["filter_on_disk"]


def filter_on_disk(symbol: torch.Tensor, x: OnDisk) -> torch.Tensor:
    """Multiply real volumes (..., D, H, W) in the Fourier basis of their three axes by a symbol.

    Slices are transformed one after another, then stacks of voxels along the first axis a few rows at a time.

    Parameters
    ----------
    symbol : tensor, shape (D, H, W // 2 + 1)
        Of non-negative frequencies along the last axis; on disk or in memory.
    x : tensor
    """
    if x.is_complex():
        raise CapabilityError("Complex volumes are not filtered on disk: give a higher bound of memory.")
    spectra = by_slabs(lambda part: torch.fft.rfft2(part), x)
    assert isinstance(spectra, OnDisk), "as x is"
    height = x.shape[-2]
    for top, bottom in slabs(height, 4 * spectra.numel() // height * spectra.dtype.itemsize, x.room):
        factor = symbol.read_rows(top, bottom) if isinstance(symbol, OnDisk) else symbol[..., top:bottom, :]
        rows = torch.fft.fft(spectra.read_rows(top, bottom), dim=-3)
        spectra.write_rows(torch.fft.ifft(factor * rows, dim=-3), top)
    return by_slabs(lambda part: torch.fft.irfft2(part, s=x.shape[-2:]), spectra)
