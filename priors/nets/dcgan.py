"""Deep convolutional generator and discriminator, by the guidelines of Radford, Metz and Chintala (2016).

Convolutions with strides in place of poolings, no fully connected hidden layers, batch normalization in all
layers but the generator's last and the discriminator's first, ReLU in the generator with a tanh in the end,
leaky ReLU of slope 0.2 in the discriminator (p. 3), and first weights of standard deviation 0.02 (sec. 4).
Odd sides are halved upwards, so that images may have any size: of 28 pixels there are 14, 7 and 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError, ShapeError

__all__ = ["DCDiscriminator", "DCGenerator"]

#: Of a number of channels. Over all of an image's values, a layer norm is a group norm of one group.
_NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "none": lambda channels: nn.Identity(),
}


class DCGenerator(nn.Module):
    """Latent variables ``(N, latent)`` to images ``(N, channels, H, W)`` from -1 to 1.

    Parameters
    ----------
    latent : int
    channels : int
        Of the images.
    size : pair of int
        H and W.
    widths : sequence of int
        Channels at each resolution but that of the images, the coarsest first; each has twice the resolution
        of the one before.

    Raises
    ------
    ShapeError, ParameterError
    """

    def __init__(
        self,
        latent: int = 64,
        channels: int = 1,
        size: Sequence[int] = (28, 28),
        widths: Sequence[int] = (256, 128, 64),
    ) -> None:
        super().__init__()
        latent, channels = as_count(latent, "latent"), as_count(channels, "channels")
        widths, size = _checked(widths, size)
        #: The arguments that build it again.
        self.config = {"latent": latent, "channels": channels, "size": size, "widths": widths}
        *self.sizes, self.coarsest = _halved(size, len(widths))
        self.first = nn.Linear(latent, widths[0] * math.prod(self.coarsest), bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 4, 2, 1, bias=False)
            for coarse, fine in itertools.pairwise(widths)
        )
        self.last = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)
        _initialized(self)

    def forward(self, z: Tensor) -> Tensor:
        """Images of latent variables."""
        x = z
        for stage in self.chain():
            x = stage(x)
        return x

    def chain(self) -> list[Callable[[Tensor], Tensor]]:
        """The maps that `forward` is made of: to the coarsest features, and to each finer resolution."""
        layers = zip(self.norms, self.doublings, reversed(self.sizes[1:]), strict=False)
        finer = [partial(self._finer, *layer) for layer in layers]
        return [self._coarsest, *finer, self._images]

    def _coarsest(self, z: Tensor) -> Tensor:
        x = self.first(z).unflatten(1, (-1, *self.coarsest))
        return x.contiguous(memory_format=torch.channels_last)

    def _finer(self, norm: nn.Module, doubling: nn.Module, size: Sequence[int], x: Tensor) -> Tensor:
        height, width = size
        return doubling(norm(x).relu())[..., :height, :width]

    def _images(self, x: Tensor) -> Tensor:
        return self._finer(self.norms[-1], self.last, self.sizes[0], x).tanh()


class DCDiscriminator(nn.Module):
    """Scores ``(N,)`` of images ``(N, channels, H, W)``.

    Parameters
    ----------
    channels, size
        See `DCGenerator`.
    widths : sequence of int
        Channels after each convolution, the finest first; each has half the resolution of the one before.
    normalization : {"batch", "layer", "none"}
        "batch" makes the score of an image depend on the others; where it must not, "layer" normalizes over
        the values of one image (Gulrajani et al. 2017, sec. 4).

    Raises
    ------
    ShapeError, ParameterError
    """

    def __init__(
        self,
        channels: int = 1,
        size: Sequence[int] = (28, 28),
        widths: Sequence[int] = (64, 128, 256),
        normalization: str = "batch",
    ) -> None:
        super().__init__()
        channels = as_count(channels, "channels")
        widths, size = _checked(widths, size)
        if normalization not in _NORMALIZATIONS:
            raise ParameterError(
                f"normalization is one of {', '.join(_NORMALIZATIONS)}; got {normalization!r}."
            )
        #: The arguments that build it again.
        self.config = {"channels": channels, "size": size, "widths": widths, "normalization": normalization}
        self.first = nn.Conv2d(channels, widths[0], 4, 2, 1)
        self.halvings = nn.ModuleList(
            nn.Conv2d(fine, coarse, 4, 2, 1, bias=normalization == "none")
            for fine, coarse in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(_NORMALIZATIONS[normalization](width) for width in widths[1:])
        self.slope = nn.LeakyReLU(0.2)
        self.last = nn.Linear(widths[-1] * math.prod(_halved(size, len(widths))[-1]), 1)
        _initialized(self)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of images."""
        x = self.slope(self.first(_even(x.contiguous(memory_format=torch.channels_last))))
        for halving, norm in zip(self.halvings, self.norms, strict=True):
            x = self.slope(norm(halving(_even(x))))
        return self.last(x.flatten(1)).squeeze(1)


def _checked(widths: Sequence[int], size: Sequence[int]) -> tuple[list[int], list[int]]:
    """Widths and size as lists, where they fit each other."""
    widths = [as_count(width, "each of the widths") for width in widths]
    size = [as_count(side, "each side of an image") for side in size]
    if not widths:
        raise ParameterError("A DCGAN needs at least one width.")
    if len(size) != 2:
        raise ShapeError(f"The size of images is (H, W); got {tuple(size)}.")
    return widths, size


def _halved(size: list[int], times: int) -> list[list[int]]:
    """The size of images, and of each coarser resolution."""
    return [[-(-side // 2**k) for side in size] for k in range(times + 1)]


def _even(x: Tensor) -> Tensor:
    """Odd sides with a line of zeros more."""
    return F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))


def _initialized(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, mean=1.0, std=0.02)
