"""Masked convolutions as a density: each pixel is predicted from the pixels before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.priors.autoregressive.completion import completed
from invgen.priors.autoregressive.sampling import Uniforms, continued, most_probable
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.categorical import CategoricalLevels
from invgen.priors.nets.following import in_parts
from invgen.priors.nets.logistics import LogisticMixture
from invgen.priors.nets.masked import GatedMaskedCNN
from invgen.priors.trainable import Lesson, Trainable, seeded

__all__ = ["Autoregressive"]


class Autoregressive(Trainable):
    """A probability of quantized images, as the product of those of their pixels, row by row.

    Van den Oord et al. (2016a), "Pixel recurrent neural networks", eq. 1, with the gated masked convolutions
    of van den Oord et al. (2016b), "Conditional image generation with PixelCNN decoders", and the mixtures of
    discretized logistics of PixelCNN++ (Salimans et al. 2017).

    Parameters
    ----------
    network : GatedMaskedCNN
        Of images in the unit -1 to 1; predicts `LogisticMixture.numbers` for each pixel, or a logit of each
        level.
    image_format : ImageFormat
        With the number of levels, and one shape.
    mixtures : int
        Components of the mixture of each pixel; zero for a softmax over the levels, `CategoricalLevels`, of
        images of one channel.
    """

    family = "autoregressive"

    def __init__(self, network: nn.Module, image_format: ImageFormat, *, mixtures: int) -> None:
        if image_format.shape is None or image_format.levels is None or image_format.axes not in (2, 3):
            raise ShapeError(
                "An autoregressive density is one of images (H, W) or (C, H, W) of one shape and of a "
                f"number of levels; got {image_format}."
            )
        if not isinstance(network, GatedMaskedCNN):
            raise DtypeError(f"Autoregressive expects a GatedMaskedCNN; got {type(network).__name__}.")
        self.mixtures = as_count(mixtures, "mixtures", least=0)
        if self.mixtures == 0 and image_format.network_channels > 1:
            raise ParameterError(
                f"mixtures=0, a softmax over the levels, is for images of one channel; of "
                f"{image_format.network_channels} channels the logistics are: give mixtures=10."
            )
        super().__init__(image_format, network=network)

    @classmethod
    def untrained(
        cls,
        image_shape: tuple[int, ...],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        levels: int = 256,
        width: int = 64,
        layers: int = 8,
        mixtures: int = 10,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> Self:
        """A prior with random weights, for `invgen.priors.training.train`.

        Parameters
        ----------
        image_shape : tuple of int
            (H, W) or (C, H, W).
        value_range : pair of float
            Values of the lowest and the highest level.
        levels : int
        width, layers, dropout
            Of the `GatedMaskedCNN`.
        mixtures : int
            Components of the mixture of each pixel; zero for a softmax over the levels.
        seed : int
            Of the weights.
        """
        images = ImageFormat.of_shape(image_shape, value_range=value_range, levels=levels)
        numbers = levels
        if as_count(mixtures, "mixtures", least=0):
            numbers = LogisticMixture.numbers(images.network_channels, mixtures)
        network = seeded(
            GatedMaskedCNN,
            seed,
            images.network_channels,
            numbers,
            tuple(image_shape[-2:]),
            width=width,
            layers=layers,
            dropout=dropout,
        )
        return cls(network, images, mixtures=mixtures)

    def lessons(self) -> Mapping[str, Lesson]:
        """One network, by `loss`."""
        return {"network": Lesson(self.loss)}

    def loss(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """Minus the logarithm of the probability of a batch, in bits per dimension."""
        # images of other numbers of levels are rounded, as log_prob does
        x = (((images + 1) / 2 * (self._levels - 1)).round() / (self._levels - 1)) * 2 - 1
        found = self.predicted(networks["network"](x)).log_prob(x)
        return -found.sum() / (x.numel() * math.log(2))

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the probability of images, exact.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)
            Each pixel counts as the nearest level.

        Returns
        -------
        tensor, shape of the batch

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where x is no such image, or has values out of range.
        """
        images = self.image_format
        images.check(x, "Autoregressive.log_prob")
        seen = 2 * images.to_levels(x).to(x.dtype) / (self._levels - 1) - 1
        return self._of_each(self._log_prob, seen, x)

    def energy(self, x: Tensor) -> Tensor:
        """Minus the logarithm of a density of images of real numbers, which has a derivative.

        Over the width of a level. The network sees real numbers as they are. Of logistics it is the density
        before they are cut into levels: each number counts as the center of a cell of a level's width. At
        levels it is minus `log_prob`, but for the lowest and the highest: these have all that is beyond,
        which no density has. Of a softmax it is the probability, linear between levels.
        Dave et al. (2018), "Solving inverse computational imaging problems using deep pixel-level prior",
        reconstruct images by its gradient; see `invgen.solvers.DensityMAP`.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)

        Returns
        -------
        tensor, shape of the batch

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where x is no such image.
        """
        images = self.image_format
        images.check(x, "Autoregressive.energy")
        return self._of_each(self._energy, images.to_network(x), x)

    def _of_each(self, value: Callable[[Tensor], Tensor], seen: Tensor, x: Tensor) -> Tensor:
        """A number of each image x, shape of the batch, by how the network sees them, ``(N, C, H, W)``."""
        batch = self.image_format.batch_shape(x)
        return in_parts(value, seen).reshape(batch) if len(seen) else x.new_zeros(batch)

    def _energy(self, seen: Tensor) -> Tensor:
        """Of images ``(N, C, H, W)`` in the network's unit."""
        return -self.predicted(self._network(seen)(seen)).log_density(seen).flatten(1).sum(1)

    def _log_prob(self, seen: Tensor) -> Tensor:
        """Of images ``(N, C, H, W)`` of levels from -1 to 1."""
        return self.predicted(self._network(seen)(seen)).log_prob(seen).flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> Tensor:
        """Draw n images, shape (n, *image), of which image i follows from ``seed + i``.

        Pixel after pixel, with what the network has found of the pixels before: each costs the same.
        """
        shape = self._channels
        start = torch.zeros(as_count(n, "n, the number of images,"), *shape)
        uniforms = Uniforms(range(seed, seed + len(start)), shape)
        drawn = continued(self._network(start), self.predicted, start, 0, uniforms)
        return self._images(drawn)

    @torch.no_grad()
    def complete(
        self, x: Tensor, known: Tensor, *, samples: int = 1, sweeps: int = 10, seed: int = 0
    ) -> Tensor:
        """Draw the unknown pixels of images, given the known ones.

        Where the known pixels are the first ones, in the order of reading, the draws are exact. Elsewhere
        the pixels that come after an unknown one count by `sweeps` of Metropolis within Gibbs: see
        `invgen.priors.autoregressive.completion`.

        Parameters
        ----------
        x : real tensor, shape image
            Values of unknown pixels do not matter, but are numbers within the value range.
        known : bool tensor, shape (H, W)
            True where the value of x is kept.
        samples : int
        sweeps : int
            Over all unknown pixels; the network sees all images once for each of them. Not made where the
            draws are exact without.
        seed : int
            Sample i follows from ``seed + i``.

        Returns
        -------
        tensor, shape (samples, *image)
        """
        images = self.image_format
        images.check(x, "Autoregressive.complete")
        if tuple(x.shape) != images.shape or known.dtype != torch.bool or known.shape != x.shape[-2:]:
            raise ShapeError(
                f"complete expects one image {images.shape}, and a mask of bool {images.shape[-2:]}; got "  # type: ignore[index]
                f"{tuple(x.shape)}, and {tuple(known.shape)} of {known.dtype}."
            )
        count = as_count(samples, "samples")
        seen = (2 * images.to_levels(x).to(x.dtype) / (self._levels - 1) - 1).repeat(count, 1, 1, 1)
        uniforms = Uniforms(range(seed, seed + count), self._channels)
        return self._images(
            completed(
                self._network(seen),
                self.predicted,
                seen,
                known,
                uniforms,
                as_count(sweeps, "sweeps", least=0),
            )
        )

    @torch.no_grad()
    def most_probable(self, low: Tensor, high: Tensor) -> Tensor:
        """Images of which each number is the most probable level within its bounds, given those before it.

        Greedy: not the most probable of all images within the bounds, which takes a search over all of them.

        Parameters
        ----------
        low, high : real tensor, shape (*batch, *image)
            Least and largest value that each pixel may have.

        Returns
        -------
        tensor, shape (*batch, *image)

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where these are no such images, or no level lies between them.
        """
        least, most = self.image_format.level_bounds(low, high, "Autoregressive.most_probable")

        def found(least: Tensor, most: Tensor) -> Tensor:
            return most_probable(self._network(low), self.predicted, least, most)

        if not len(least):
            return low.clone()
        return self.image_format.from_network(in_parts(found, least, most), low)

    def _images(self, seen: Tensor) -> Tensor:
        """Levels from -1 to 1 as images of one batch axis."""
        images = self.image_format
        return images.from_network(seen, seen.new_empty(len(seen), *(images.shape or ())))

    def predicted(self, outputs: Tensor) -> LogisticMixture | CategoricalLevels:
        """The distributions of the pixels, by the network's outputs ``(N, numbers, H, W)``."""
        outputs = outputs if outputs.dtype == torch.float64 else outputs.float()
        if self.mixtures == 0:
            return CategoricalLevels(outputs)
        return LogisticMixture.of(outputs, self.image_format.network_channels, self.mixtures, self._levels)

    @property
    def _levels(self) -> int:
        assert self.image_format.levels is not None
        return self.image_format.levels

    @property
    def _channels(self) -> tuple[int, int, int]:
        """Shape of an image as channels."""
        shape = self.image_format.shape
        assert shape is not None
        return (self.image_format.network_channels, shape[-2], shape[-1])

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return ("mixtures",)

    def __repr__(self) -> str:
        images = self.image_format
        return f"Autoregressive({images.shape}, {images.levels} levels, values {images.value_range})"
