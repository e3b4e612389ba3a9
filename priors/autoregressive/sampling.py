"""Images made pixel after pixel by masked convolutions, with what was found of the pixels before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.priors.nets.masked import GatedMaskedCNN, gated

__all__ = ["Ordered", "Pixels", "Predicted", "Reader", "Uniforms", "continued", "most_probable"]


class Pixels(Protocol):
    """Distributions of the pixels of images."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the probability of each pixel, ``(N, H, W)``."""

    def sample(self, uniform: Tensor) -> Tensor:
        """Values ``(N, C, H, W)`` by uniform numbers ``(N, 1 + C, H, W)``."""


class Ordered(Pixels, Protocol):
    """Distributions of pixels whose values are levels."""

    def most_probable(self, low: Tensor, high: Tensor) -> Tensor:
        """The most probable values ``(N, C, H, W)`` from the level `low` to the level `high`."""


#: What a network's outputs say of each pixel.
Predicted = Callable[[Tensor], Pixels]


class Uniforms:
    """Uniform numbers for each of several images, which follow from a seed of its own.

    Parameters
    ----------
    seeds : sequence of int
    shape : (C, H, W)
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, int, int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._channels, self._size = shape[0], shape[1:]

    def image(self, like: Tensor, more: int = 1) -> Tensor:
        """Numbers ``(N, more + C, H, W)``."""
        return self._drawn((more + self._channels, *self._size), like)

    def pixel(self, like: Tensor, more: int = 1) -> Tensor:
        """Numbers for one pixel, ``(N, more + C, 1, 1)``."""
        return self._drawn((more + self._channels, 1, 1), like)

    def _drawn(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        drawn = [torch.rand(shape, generator=g, dtype=torch.float64) for g in self._generators]
        return torch.stack(drawn).to(like)


def continued(
    network: GatedMaskedCNN,
    predicted: Predicted,
    start: Tensor,
    first: int,
    uniforms: Uniforms,
    known: Tensor | None = None,
) -> Tensor:
    """Images whose pixels from the `first` on, in the order of reading, are drawn one after the other.

    Exact: each pixel is drawn from its probability, given all pixels before it.

    Parameters
    ----------
    network : GatedMaskedCNN
    predicted : callable(outputs) -> Pixels
    start : tensor, shape (N, C, H, W)
        In the network's unit; pixels before the first are kept.
    first : int
    uniforms : Uniforms
    known : bool tensor, shape (H, W), optional
        Later pixels that are kept as well.
    """
    reader, numbers = Reader(network, start), uniforms.image(start)
    for pixel, outputs in reader.pixels_from(first):
        if known is None or not known[pixel]:
            reader.x[pixel] = predicted(outputs).sample(numbers[pixel])
    return reader.x


def most_probable(
    network: GatedMaskedCNN, predicted: Callable[[Tensor], Ordered], low: Tensor, high: Tensor
) -> Tensor:
    """Images of which each pixel is the most probable one within its bounds, given the pixels before it.

    Parameters
    ----------
    network : GatedMaskedCNN
    predicted : callable(outputs) -> Ordered
    low, high : int64 tensor, shape (N, C, H, W)
        Lowest and highest level that each pixel may have.
    """
    reader = Reader(network, torch.zeros_like(low, dtype=network.place.dtype))
    for pixel, outputs in reader.pixels_from(0):
        reader.x[pixel] = predicted(outputs).most_probable(low[pixel], high[pixel])
    return reader.x


class Reader:
    """A network that reads images pixel by pixel, and computes nothing twice.

    The stack of the rows above is found row by row, from the last two rows of each layer's input; that of
    the pixels to the left from the last two pixels.

    Parameters
    ----------
    network : GatedMaskedCNN
    start : tensor, shape (N, C, H, W)
        In the network's unit.

    Attributes
    ----------
    x : tensor, shape (N, C, H, W)
        The images, to write a pixel to before the next one is read.
    """

    def __init__(self, network: GatedMaskedCNN, start: Tensor) -> None:
        self.network, view = network, network.view
        # the images within the zeros around them
        padded = F.pad(start, (view, view, view, 0))
        self.padded, self.x = padded, padded[..., view:, view:-view]
        size = (len(start), network.place.shape[1])
        self.layers: list[Any] = list(network.layers)
        self.rows = [start.new_zeros(*size, 1, start.shape[-1]) for _ in self.layers]
        self.pixels = [start.new_zeros(size) for _ in self.layers]
        self.weights: list[Any] = [
            (_flat(layer.left), layer.left.bias, _flat(layer.mix_left), layer.mix_left.bias)
            for layer in self.layers
        ]

    def pixels_from(self, first: int) -> Iterator[tuple[Any, Tensor]]:
        """The pixels from the `first` on, in the order of reading, as an index, and what predicts each.

        The caller writes each pixel into `x` before the next one is read.
        """
        height, width = self.x.shape[-2:]
        for i in range(height):
            self.begin(i)
            if (i + 1) * width <= first:
                continue
            for j in range(width):
                outputs = self.outputs(i, j)
                if i * width + j >= first:
                    yield (..., slice(i, i + 1), slice(j, j + 1)), outputs

    def begin(self, i: int) -> None:
        """Read all that is above row i."""
        network, view = self.network, self.network.view
        above = network.above(self.padded[..., i : i + view, :]) + network.place[0, :, i : i + 1]
        self.above, self.across = above, []
        for k, layer in enumerate(self.layers):
            both, self.rows[k] = torch.cat([self.rows[k], above], dim=-2), above
            above = above + layer.mix_above(gated(layer.above(F.pad(both, (1, 1)))))
            self.across.append(layer.across(above)[..., 0, :])
        self.pixels = [torch.zeros_like(before) for before in self.pixels]

    def outputs(self, i: int, j: int) -> Tensor:
        """Read what is to the left of a pixel, and predict it: ``(N, outputs, 1, 1)``."""
        network, view = self.network, self.network.view
        # as products of matrices: convolutions of single pixels would start threads for each
        seen = self.padded[..., i + view, j : j + view].transpose(1, 2).flatten(1)
        left = F.linear(seen, _flat(network.left), network.left.bias)
        left = left + network.place[1, :, i, j] + self.above[..., 0, j]
        for k, (two, offset, mix, shift) in enumerate(self.weights):
            both, self.pixels[k] = torch.cat([self.pixels[k], left], dim=1), left
            found = F.linear(both, two, offset) + self.across[k][..., j]
            left = left + F.linear(gated(found), mix, shift)
        for last in (network.hidden, network.out):
            left = F.linear(F.elu(left), last.weight[..., 0, 0], last.bias)
        return left[..., None, None]


def _flat(convolution: Any) -> Tensor:
    """Weights of a convolution along a line, of the pixels one after the other."""
    return convolution.weight[:, :, 0].transpose(1, 2).flatten(1)
