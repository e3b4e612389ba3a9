"""Energies of images: networks that map an image to one number."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.priors.nets.mlp import MLP

__all__ = ["ImageEnergy", "VectorEnergy"]


class VectorEnergy(nn.Module):
    """A fully connected network, beside the energy of a white Gaussian, for images of a few pixels.

    With the reference Gaussian of Xie et al. (2016), ``E(x) = f(x) + (|x|^2 - d) / 2`` in d dimensions: as f
    grows linearly, the density ``exp(-E)`` can be normalized, whatever the weights.

    Parameters
    ----------
    image_shape : (C, H, W)
    widths : sequence of int
        Units of each hidden layer.
    """

    def __init__(self, image_shape: Sequence[int], widths: Sequence[int] = (128, 128, 128)) -> None:
        super().__init__()
        channels, height, width = (as_count(n, "each of image_shape") for n in image_shape)
        widths = [as_count(n, "each of the widths") for n in widths]
        #: The arguments that build it again.
        self.config = {"image_shape": [channels, height, width], "widths": widths}
        self.layers = MLP([channels * height * width, *widths, 1], "silu")

    def forward(self, x: Tensor) -> Tensor:
        """Energies ``(N,)`` of images ``(N, C, H, W)``."""
        found: Tensor = self.layers(x)
        return found[:, 0].to(x.dtype) + _reference(x)


class ImageEnergy(nn.Module):
    """Convolutions at ever lower resolutions, beside the energy of a white Gaussian; see `VectorEnergy`.

    Each resolution has a residual block without normalization, as in Du and Mordatch (2019), appendix A.10,
    and the energy is a sum over the pixels of the last one.

    Parameters
    ----------
    channels : int
        Of the images, which may have any size.
    widths : sequence of int
        Channels at each resolution, each half of the one before; the first is half that of the image.
    """

    def __init__(self, channels: int = 1, widths: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        channels, widths = as_count(channels, "channels"), [as_count(n, "each of the widths") for n in widths]
        #: The arguments that build it again.
        self.config = {"channels": channels, "widths": widths}
        self.first = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(n, n, 3, padding=1) for n in widths)
        pairs = itertools.pairwise(widths)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 4, stride=2, padding=1) for fine, coarse in pairs)
        self.last = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Energies ``(N,)`` of images ``(N, C, H, W)``."""
        padded = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="replicate")
        h = self.first(F.pixel_unshuffle(padded, 2).contiguous(memory_format=torch.channels_last))
        for level, block in enumerate(self.blocks):
            h = h + block(F.silu(h))
            if level < len(self.down):
                h = self.down[level](F.silu(h))
        found = self.last(F.silu(h)).to(x.dtype).flatten(1).sum(1)
        return found + _reference(x)


def _reference(x: Tensor) -> Tensor:
    """Energy of the white Gaussian, of the mean zero under that."""
    return (x.square() - 1).flatten(1).sum(1) / 2
