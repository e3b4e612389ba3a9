"""Filters of filtered backprojection."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["WINDOWS", "ramp_filter", "window_response"]

#: Windows on the ramp, as functions of the frequency over the Nyquist frequency.
WINDOWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "ram-lak": torch.ones_like,
    "shepp-logan": lambda f: torch.sinc(f / 2),
    "cosine": lambda f: torch.cos(torch.pi * f / 2),
    "hamming": lambda f: 0.54 + 0.46 * torch.cos(torch.pi * f),
    "hann": lambda f: 0.5 + 0.5 * torch.cos(torch.pi * f),
}


def ramp_filter(n: int, spacing: float) -> torch.Tensor:
    """Frequency response of the band-limited ramp, Kak and Slaney (1988), chapter 3, eq. 61.

    Sampled in space and then transformed: sampling the ramp in frequency instead sets its mean to zero,
    which shifts and tilts the image.

    Parameters
    ----------
    n : int
        Length of the padded detector row, at least twice the detector.
    spacing : float
        Width of a bin.

    Returns
    -------
    tensor, float64 (n // 2 + 1,)
        In 1/length, for the frequencies of ``torch.fft.rfft``.
    """
    index = torch.arange(n)
    index = torch.minimum(index, n - index)
    response = torch.zeros(n, dtype=torch.float64)
    odd = index % 2 == 1
    response[odd] = -1 / (torch.pi * index[odd].double() * spacing) ** 2
    response[0] = 1 / (4 * spacing**2)
    return torch.fft.rfft(response).real * spacing


def window_response(window: str, cutoff: float, frequencies: torch.Tensor) -> torch.Tensor:
    """One of the `WINDOWS` at frequencies over the Nyquist frequency; zero beyond `cutoff`."""
    f = frequencies / cutoff
    return torch.where(f <= 1, WINDOWS[window](f), 0)
