"""What autoencoders have in common whose decoder returns a distribution of independent pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.generators.latents import LatentGenerator
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.evaluation import Networked
from invgen.priors.trainable import Trainable
from invgen.priors.vae.observations import observation_model

__all__ = ["PixelDecoder", "decoded_format"]

#: Pixels that the decoder makes at once; its activations take about a hundred times as many numbers.
_PIXELS = 2**20


class PixelDecoder(Trainable, LatentGenerator, Networked):
    """Base of priors that decode latent variables into a distribution of independent pixels.

    A subclass gives `latent_shape`, ``_decode``, and `_drawn`.

    Parameters
    ----------
    image_format : ImageFormat
        With shape and value range, and `levels` as the distribution has it.
    observation : {"logistic", "bernoulli", "gaussian"}
        Distribution of a pixel: discretized logistic, for images of `levels`; of two levels; or a density of
        real numbers. See `invgen.priors.vae.observations`.
    mixtures : int
        Number of logistics for each pixel.
    **networks : torch.nn.Module

    Raises
    ------
    ParameterError
    """

    #: `log_prob` is below the logarithm of the probability, which is a sum over all latent variables.
    log_prob_kind: ClassVar[Literal["lower bound"]] = "lower bound"

    def __init__(
        self, image_format: ImageFormat, observation: str, mixtures: int, **networks: nn.Module
    ) -> None:
        super().__init__(image_format, **networks)
        if image_format.shape is None or image_format.value_range is None:
            raise ParameterError(f"The images of a {type(self).__name__} have a shape and a value_range.")
        self.observation, self.mixtures = observation, as_count(mixtures, "mixtures")
        self._observation = observation_model(observation, image_format.levels, mixtures)
        self._shape, self._size = image_format.shape, math.prod(image_format.shape)

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return "observation", "mixtures"

    def sample(
        self, n: int, seed: int, *, means: bool = False, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw images; image i follows from ``seed + i`` alone.

        Parameters
        ----------
        n, seed : int
        means : bool
            Return the mean images of the latent variables that are drawn, as papers print them. By default
            pixels are drawn, too: they are independent given the latent variables, which looks like noise.
        device : torch.device or str, optional

        Returns
        -------
        tensor, shape (n, *image)
        """
        n, first = as_count(n, "n, the number of images,"), as_count(seed, "seed", least=0)

        def drawn(seeds: Tensor) -> Tensor:
            parameters, draws = self._drawn(seeds.tolist(), device)
            return (
                self._observation.mean(parameters) if means else self._observation.sample(parameters, draws)
            )

        with torch.no_grad():
            return self._images(self._in_parts(drawn, torch.arange(first, first + n)), (n,))

    def _drawn(self, seeds: Sequence[int], device: torch.device | str | None) -> tuple[Tensor, Draws]:
        """Parameters of the pixels of images, each of a seed, and the draws of their pixels."""
        raise NotImplementedError

    def _in_parts(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The function of some images at a time: all of them would fill the memory."""
        return torch.cat([function(part) for part in x.split(self._at_once)])

    @property
    def _at_once(self) -> int:
        """Images that are decoded at the same time."""
        return max(1, _PIXELS // self._size)

    @property
    def _log_unit(self) -> float:
        """Logarithm of the volume of the network's unit in that of the images, for densities."""
        return 0.0 if self._observation.levels else self._size * math.log(self.image_format.unit[1])

    def _seen(self, x: Tensor, method: str) -> tuple[Tensor, torch.Size]:
        """Images as the network sees them, and their batch axes, once they are checked."""
        images = self.image_format
        images.check(x, f"{type(self).__name__}.{method}")
        if images.levels is not None:
            images.to_levels(x)  # raises for values out of the range
        return images.to_network(x), images.batch_shape(x)

    def _images(self, channels: Tensor, batch: Sequence[int]) -> Tensor:
        """Images in their own unit."""
        return self.image_format.from_network(channels, channels.new_empty((*batch, *self._shape)))

    def __repr__(self) -> str:
        name, images = type(self).__name__, self.image_format
        size = " x ".join(map(str, self.latent_shape))
        return f"{name}({size} latent, {images.shape}, {self.observation}, {images.value_range})"


def decoded_format(
    image_shape: Sequence[int], value_range: tuple[float, float], observation: str, levels: int
) -> ImageFormat:
    """The format of images of that observation: those of others than "logistic" have their own `levels`.

    Raises
    ------
    ShapeError, ParameterError
    """
    if len(image_shape) not in (2, 3):
        raise ShapeError(f"image_shape is (H, W) or (C, H, W); got {tuple(image_shape)}.")
    return ImageFormat(
        tuple(image_shape),
        image_shape[0] if len(image_shape) == 3 else None,
        field="real",
        value_range=value_range,
        levels={"bernoulli": 2, "gaussian": None}.get(observation, levels),
    )
