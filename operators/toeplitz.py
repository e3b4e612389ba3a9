"""Convolutions of images padded by zeros: Toeplitz matrices, and the circulant ones nearest to them."""

from __future__ import annotations

import torch

__all__ = ["circulant_symbol", "fast_length", "triangle"]


def fast_length(n: int) -> int:
    """Smallest length of at least n whose FFT is fast."""
    from scipy.fft import next_fast_len  # imported when an operator is built: it takes a quarter of a second

    return next_fast_len(n, real=True)


def triangle(shape: tuple[int, ...]) -> torch.Tensor:
    """Fraction of an image that overlaps with itself, shifted by each lag.

    Returns
    -------
    tensor, float64, of twice the shape
        Lags from -N to N - 1 along each axis.
    """
    result = torch.ones((), dtype=torch.float64)
    for n in shape:
        result = result[..., None] * (1 - torch.arange(-n, n, dtype=torch.float64).abs() / n)
    return result


def circulant_symbol(kernel: torch.Tensor, overlap: torch.Tensor | None = None) -> torch.Tensor:
    """Eigenvalues of the circulant matrix nearest to a convolution padded by zeros, T. Chan (1988).

    Its entries are means of those of the Toeplitz matrix along wrapped diagonals: each lag is weighted by the
    number of pairs of pixels that have it.

    Parameters
    ----------
    kernel : float64 or complex128 tensor, shape (2H, 2W) or (2D, 2H, 2W)
        Point response, its origin at (H, W): lags from -N to N - 1. Hermitian.
    overlap : tensor like the kernel, optional
        Weight of each lag, zero for -N; by default the `triangle`.

    Returns
    -------
    tensor, float64, of half the kernel's shape
        Not negative, for the frequencies of ``torch.fft.fftn``.
    """
    shape = tuple(n // 2 for n in kernel.shape)
    wrapped = kernel * (triangle(shape) if overlap is None else overlap)
    for axis, n in enumerate(shape):
        below, above = wrapped.split(n, dim=axis)  # lags -N to -1 are 0 to N - 1, modulo N
        wrapped = below + above
    return torch.fft.fftn(wrapped).real.clamp(min=0).contiguous()
