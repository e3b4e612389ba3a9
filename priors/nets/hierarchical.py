"""Autoencoders with a chain of Gaussian latent variables, each level encoded from the one below."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.priors.nets.autoencoders import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    ResidualBlock,
    coarse_shape,
)
from invgen.priors.nets.unet import normalized, zeroed

__all__ = ["HierarchicalAutoencoder", "Level"]

#: Logarithm of the least variance of a posterior: deviations are 0.1 to 1. Without a bound the scale of a
#: level is arbitrary, as the level above can follow any.
_LEAST = 2 * math.log(0.1)

#: At first deviations are near one.
_AT_FIRST = 2.0


class Level(NamedTuple):
    """A draw of the latent variables of one level, and the two Gaussians that it has.

    Attributes
    ----------
    z : tensor, shape (N, c, h, w)
        Drawn from the posterior.
    mean, log_var : tensor
        Of the posterior, given the level below.
    prior_mean, prior_log_var : tensor
        Given the level above; zero at the top.
    """

    z: Tensor
    mean: Tensor
    log_var: Tensor
    prior_mean: Tensor
    prior_log_var: Tensor


class HierarchicalAutoencoder(nn.Module):
    """The chain of Kingma, Abbeel and Ho (2019), "Bit-Swap", sec. 2.3, with Gaussians.

    Latent variables ``z_1, ..., z_L`` are maps of one size. Each level is encoded from the one below,
    ``q(z_1 | x), q(z_2 | z_1), ...``, and decoded from the one above, ``p(z_L), p(z_L-1 | z_L), ...,
    p(x | z_1)``.

    Parameters
    ----------
    image_shape : tuple of int
        ``(C, H, W)``, with sides that are multiples of ``2 ** len(widths)``.
    outputs : int
        Numbers for each pixel.
    latent : sequence of int
        Channels of each level, the first of which is next to the image.
    widths : sequence of int
        Channels of the networks between image and first level, at a half, a quarter, ... of the resolution.
        All levels have the last of these resolutions, and their networks its width.
    blocks : int
        Residual blocks at each resolution, and of each network between levels.

    Attributes
    ----------
    latent_shapes : tuple of tuples
        Of the levels, the first one first.
    encoders : torch.nn.ModuleList
        To mean and log variance of each level, by the one below; of the first, by the image.
    decoder : ChainDecoder

    Raises
    ------
    ShapeError, ParameterError
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (1, 28, 28),
        outputs: int = 1,
        latent: Sequence[int] = (4, 4, 4),
        widths: Sequence[int] = (32, 64),
        blocks: int = 1,
    ) -> None:
        super().__init__()
        widths = [as_count(width, "each of the widths") for width in widths]
        if not isinstance(latent, Sequence) or not latent:
            raise ParameterError(
                f"latent is the channels of one level or more, such as (4, 4, 4); got {latent!r}."
            )
        latent = [as_count(count, "each of latent, the channels of the levels,") for count in latent]
        blocks, outputs = as_count(blocks, "blocks"), as_count(outputs, "outputs")
        size = coarse_shape(image_shape, widths)
        #: The arguments that build it again.
        self.config = {
            "image_shape": list(image_shape),
            "outputs": outputs,
            "latent": latent,
            "widths": widths,
            "blocks": blocks,
        }
        self.latent_shapes = tuple((channels, *size) for channels in latent)
        first = nn.Sequential(
            ConvolutionalEncoder(image_shape[0], widths, blocks),
            zeroed(nn.Conv2d(widths[-1], 2 * latent[0], 1)),
        )
        pairs = itertools.pairwise(latent)
        between = [_Between(below, widths[-1], 2 * above, blocks) for below, above in pairs]
        self.encoders = nn.ModuleList(_Posterior(network) for network in (first, *between))
        self.decoder = ChainDecoder(self.latent_shapes, outputs, widths, blocks)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[list[Level], Tensor]:
        """Levels that are drawn by ``noise`` (N, numbers of all levels), and the outputs given the first."""
        mean, log_var = self.encoders[0](images)
        levels = self.draw(mean, log_var, noise)
        return levels, self.decoder.pixels(levels[0].z)

    def draw(self, mean: Tensor, log_var: Tensor, noise: Tensor) -> list[Level]:
        """All levels by ``noise``, from mean and log variance of the first one on."""
        first, *others = self.decoder.split(noise)[::-1]
        mean, log_var = mean.to(noise.dtype), log_var.to(noise.dtype)
        drawn = [(mean + (log_var / 2).exp() * first, mean, log_var)]
        for encoder, own in zip(self.encoders[1:], others, strict=True):
            mean, log_var = (each.to(noise.dtype) for each in encoder(drawn[-1][0]))
            drawn.append((mean + (log_var / 2).exp() * own, mean, log_var))
        priors = self.decoder.given([z for z, _, _ in drawn])
        return [
            Level(*posterior, prior_mean.to(noise.dtype), prior_log_var.to(noise.dtype))
            for posterior, (prior_mean, prior_log_var) in zip(drawn, priors, strict=True)
        ]


class ChainDecoder(nn.Module):
    """Standard Gaussian numbers ``(N, numbers of all levels)`` to the outputs, through all levels.

    The numbers of the last level come first.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int, int]], outputs: int, widths: Sequence[int], blocks: int
    ) -> None:
        super().__init__()
        self.shapes = tuple(shapes)
        self.levels = nn.ModuleList(
            _Prior(_Between(above[0], widths[-1], 2 * below[0], blocks))
            for below, above in itertools.pairwise(shapes)
        )
        self.pixels = nn.Sequential(
            nn.Conv2d(shapes[0][0], widths[-1], 3, padding=1), ConvolutionalDecoder(outputs, widths, blocks)
        )

    def forward(self, noise: Tensor) -> Tensor:
        for down in self._downwards():
            noise = down(noise)
        found: Tensor = self.pixels(noise.unflatten(1, self.shapes[0]))
        return found

    def chain(self) -> list[Callable[[Tensor], Tensor]]:
        """The maps that `forward` is made of: down one level each, and then those of the pixels.

        Those between levels return the latent variables of a level before the numbers of all levels below.
        """
        entrance: Any = self.pixels[0]
        decoder: Any = self.pixels[1]
        return [*self._downwards(), lambda z: entrance(z.unflatten(1, self.shapes[0])), *decoder.chain()]

    def split(self, numbers: Tensor) -> list[Tensor]:
        """The numbers of each level, of the last one first."""
        shapes = self.shapes[::-1]
        parts = numbers.split([math.prod(shape) for shape in shapes], dim=-1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)]

    def given(self, levels: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Mean and log variance of each level, given the one above; of the last one, zero."""
        found = [level(above) for level, above in zip(self.levels, levels[1:], strict=True)]
        return [*found, (torch.zeros_like(levels[-1]), torch.zeros_like(levels[-1]))]

    def _downwards(self) -> list[Callable[[Tensor], Tensor]]:
        return [partial(self._down, level) for level in reversed(range(len(self.levels)))]

    def _down(self, level: int, numbers: Tensor) -> Tensor:
        above, own = (math.prod(shape) for shape in (self.shapes[level + 1], self.shapes[level]))
        z, noise, rest = numbers.tensor_split((above, above + own), dim=1)
        mean, log_var = self.levels[level](z.unflatten(1, self.shapes[level + 1]))
        below = mean + (log_var / 2).exp() * noise.unflatten(1, self.shapes[level])
        return torch.cat([below.flatten(1), rest], dim=1)


class _Posterior(nn.Module):
    """Mean and log variance, which is bounded."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, below: Tensor) -> tuple[Tensor, Tensor]:
        mean, scale = self.network(below).chunk(2, dim=1)
        return mean, torch.sigmoid(scale - _AT_FIRST) * _LEAST


class _Prior(nn.Module):
    """Mean and log variance of a level, at first those of a standard Gaussian.

    The posteriors between levels are not zero at first: where neither said anything of the level below, the
    gradients of both would be zero, and the levels stay unused.
    """

    def __init__(self, network: _Between) -> None:
        super().__init__()
        zeroed(network.last)
        self.network = network

    def forward(self, above: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.network(above).chunk(2, dim=1)
        return mean, log_var


class _Between(nn.Module):
    """Maps to maps of the same size."""

    def __init__(self, channels: int, width: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.contiguous(memory_format=torch.channels_last))
        found: Tensor = self.last(F.silu(normalized(self.blocks(x))))
        return found
