"""Convolutional encoders and decoders, and the autoencoder with Gaussian latent variables made of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.errors import ShapeError
from invgen.priors.nets.layers import check_multiple
from invgen.priors.nets.unet import normalized, zeroed

__all__ = ["ConvolutionalDecoder", "ConvolutionalEncoder", "VariationalAutoencoder", "coarse_shape"]


class ResidualBlock(nn.Module):
    """Two convolutions, added to their input; normalized over the channels of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = zeroed(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(normalized(x)))))


class ConvolutionalEncoder(nn.Module):
    """Images ``(N, channels, H, W)`` to ``(N, widths[-1], h, w)``; each resolution is half of that before.

    Parameters
    ----------
    channels : int
    widths : sequence of int
        Channels at each resolution, the first of which is half of the images'.
    blocks : int
        Residual blocks at each resolution.
    """

    def __init__(self, channels: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(_stage(width, blocks) for width in widths)
        pairs = itertools.pairwise(widths)
        self.downsample = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)

    def forward(self, images: Tensor) -> Tensor:
        """Features of images."""
        x = self.first(F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last))
        for level, stage in enumerate(self.stages):
            x = stage(x if level == 0 else self.downsample[level - 1](x))
        return F.silu(normalized(x))


class ConvolutionalDecoder(nn.Module):
    """The way back: ``(N, widths[-1], h, w)`` to ``(N, outputs, H, W)``."""

    def __init__(self, outputs: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_stage(width, blocks) for width in reversed(widths))
        pairs = itertools.pairwise(reversed(widths))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in pairs)
        self.last = nn.Conv2d(widths[0], 4 * outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Numbers for each pixel."""
        x = x.contiguous(memory_format=torch.channels_last)
        for level in range(len(self.stages)):
            x = self._level(level, x)
        return self._pixels(x)

    def chain(self) -> list[Callable[[Tensor], Tensor]]:
        """The maps that `forward` is made of: one for each resolution, and to the pixels."""
        return [*(partial(self._level, level) for level in range(len(self.stages))), self._pixels]

    def _level(self, level: int, x: Tensor) -> Tensor:
        return self.stages[level](x if level == 0 else self.upsample[level - 1](x))

    def _pixels(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.last(F.silu(normalized(x))), 2)


class VariationalAutoencoder(nn.Module):
    """A Gaussian distribution of latent variables for each image, and outputs for each latent vector.

    Parameters
    ----------
    image_shape : tuple of int
        ``(C, H, W)``, with sides that are multiples of ``2 ** len(widths)``.
    outputs : int
        Numbers for each pixel.
    latent : int
        Number of latent variables.
    widths : sequence of int
        Channels at each resolution.
    blocks : int
        Residual blocks at each resolution, of the encoder and of the decoder.

    Raises
    ------
    ShapeError, ParameterError
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        outputs: int = 1,
        latent: int = 32,
        widths: Sequence[int] = (32, 64),
        blocks: int = 2,
    ) -> None:
        super().__init__()
        widths = [as_count(width, "each of the widths") for width in widths]
        latent, blocks = (
            as_count(latent, "latent, the number of latent variables,"),
            as_count(blocks, "blocks"),
        )
        height, width = coarse_shape(image_shape, widths)
        coarse = (widths[-1], height, width)
        #: The arguments that build it again.
        self.config = {
            "image_shape": list(image_shape),
            "outputs": as_count(outputs, "outputs"),
            "latent": latent,
            "widths": widths,
            "blocks": blocks,
        }
        self.latent = latent
        size = coarse[0] * coarse[1] * coarse[2]
        # the posterior of the untrained network is the prior
        self.encoder = _Posterior(
            ConvolutionalEncoder(image_shape[0], widths, blocks), zeroed(nn.Linear(size, 2 * latent))
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, size),
            nn.Unflatten(1, coarse),
            ConvolutionalDecoder(outputs, widths, blocks),
        )

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log variance ``(N, latent)``, and the outputs at ``mean + std * noise``."""
        mean, log_var = (each.to(noise.dtype) for each in self.encoder(images))
        return mean, log_var, self.decoder(mean + (log_var / 2).exp() * noise)


class _Posterior(nn.Module):
    """Mean and log variance of the latent variables of images."""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features, self.head = features, head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.head(self.features(images).flatten(1)).chunk(2, dim=1)
        return mean, log_var


def coarse_shape(image_shape: Sequence[int], widths: Sequence[int]) -> tuple[int, int]:
    """Sides of the coarsest resolution of images ``(C, H, W)``.

    Raises
    ------
    ShapeError
        Where the sides of images are not divisible so often.
    """
    if len(image_shape) != 3 or not widths:
        raise ShapeError(f"The network takes images (C, H, W), and one width or more; got {image_shape}.")
    factor = 2 ** len(widths)
    check_multiple(torch.empty(*image_shape, device="meta"), factor)
    return image_shape[1] // factor, image_shape[2] // factor


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
