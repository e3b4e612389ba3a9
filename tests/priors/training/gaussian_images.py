"""Stationary Gaussian images, whose best denoiser is known: Wiener's filter."""

import torch
from torch import nn

SIDE = 8
_F = torch.fft.fftfreq(SIDE) * SIDE
_POWER = (1 + _F[:, None] ** 2 + _F**2) ** -1.5

#: Power at each frequency: images of variance one.
SPECTRUM = _POWER / _POWER.mean()


def draw(count, seed):
    """Images ``(count, 1, 8, 8)``."""
    white = torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return torch.fft.ifft2(torch.fft.fft2(white) * SPECTRUM.sqrt()).real


def noise(images, std, seed):
    """Images with white noise."""
    return images + std * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


def least_risk(std):
    """Mean squared error of Wiener's filter, in each pixel."""
    return float((std**2 * SPECTRUM / (SPECTRUM + std**2)).mean())


class Filter(nn.Module):
    """A filter to be learned, with a gain for each frequency."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.full((SIDE, SIDE // 2 + 1), 0.5))

    def forward(self, x, sigma, label=None, extra=None):
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.gain, s=x.shape[-2:])

    def weight(self, sigma):
        return torch.ones_like(sigma)

    def risk(self, std):
        """Mean squared error in each pixel, over all images and all noise."""
        impulse = torch.zeros(SIDE, SIDE)
        impulse[0, 0] = 1
        gain = torch.fft.fft2(self(impulse, None)).real
        return float(((1 - gain) ** 2 * SPECTRUM + gain**2 * std**2).mean())
