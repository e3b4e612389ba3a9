"""Denoising autoencoders: one noise level, and a Markov chain that generates images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.base import Denoising
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.following import in_parts
from invgen.priors.nets.perceptron import Perceptron
from invgen.priors.nets.unet import UNet
from invgen.priors.trainable import Lesson, Trainable, seeded

__all__ = ["DenoisingAutoencoder"]

#: Least standard deviation of a reconstruction, relative to sigma: pixels that never vary have none.
_LEAST = 0.02

#: Images with a side of fewer pixels are vectors.
_LEAST_SIDE = 8


class DenoisingAutoencoder(Trainable, Denoising):
    """A network that reconstructs images from noisy ones, of one noise level.

    Vincent et al. (2008); as a generative model Bengio, Yao, Alain and Vincent (2013). It learns the
    conditional density ``P(X | X~)`` of an image X given that with noise, ``X~ = X + sigma n``: a Gaussian
    whose mean r(X~) and standard deviation, of each pixel, are the network's. Adding noise and drawing from
    this density in turn is a Markov chain, `sample`, whose stationary density is that of the images where the
    conditional one is learned (theorem 1 of the paper). Of images whose conditional density is no Gaussian,
    it is so for small sigma.

    The mean is a denoiser, exact at sigma by Tweedie's formula, where it is trained without `walkback`; for
    small sigma ``(r(x) - x) / sigma^2`` is the score of the images (Alain and Bengio 2014, theorem 1). Hence
    at a level s below sigma ``x + (s / sigma)^2 (r(x) - x)``, of the same score; above it r(x), which
    leaves noise.

    Parameters
    ----------
    network : torch.nn.Module
        Called as ``network(x, noise)`` with x ``(N, C, H, W)`` in the unit -1 to 1, and the same number
        ``(N,)`` always. Of its result ``(N, 2 C, H, W)``, the first half is ``r(x) - x``, and the second the
        standard deviation, as `reconstruction` reads it.
    image_format : ImageFormat
        Of real images.
    sigma : float
        The noise level, in the unit of the images.
    walkback : int
        Steps of the chain in training, beside the first; see `loss`.
    """

    family = "autoencoder"

    def __init__(
        self, network: nn.Module, image_format: ImageFormat, *, sigma: float = 0.1, walkback: int = 0
    ) -> None:
        if image_format.field == "complex":
            raise ShapeError("A DenoisingAutoencoder is of real images; got the format of complex ones.")
        if not 0 < sigma < math.inf:
            raise ParameterError(f"sigma, the noise level, is positive; got {sigma}.")
        level = (float(sigma), float(sigma))
        super().__init__(replace(image_format, field="real", noise_range=level), network=network)
        self.sigma = float(sigma)
        self.walkback = as_count(walkback, "walkback, the number of further steps of the chain,", least=0)

    @classmethod
    def untrained(
        cls,
        image_shape: Sequence[int] | None = None,
        *,
        channels: int | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        sigma: float = 0.1,
        walkback: int = 0,
        widths: Sequence[int] | None = None,
        seed: int = 0,
    ) -> Self:
        """An autoencoder to train.

        Parameters
        ----------
        image_shape : tuple of int, optional
            ``(H, W)`` or ``(C, H, W)``. Where a side is less than eight pixels, the network is fully
            connected, else it is a U-Net. None for images of any size.
        channels : int, optional
            C, of images ``(C, H, W)`` of any size.
        value_range : pair of float
        sigma, walkback
            See `DenoisingAutoencoder`.
        widths : sequence of int, optional
            See `invgen.priors.nets.Perceptron` and `invgen.priors.nets.UNet`.
        seed : int
            Of the weights.
        """
        shape = None if image_shape is None else tuple(image_shape)
        if shape is not None and len(shape) == 3:
            channels = shape[0]
        axes = 2 if channels is None else 3
        images = ImageFormat(shape, channels, field="real", value_range=value_range, axes=axes)
        count, options = images.network_channels, {} if widths is None else {"widths": widths}
        if shape is not None and min(shape[-2:]) < _LEAST_SIDE:
            network = seeded(Perceptron, seed, count, 2 * count, shape[-2:], **options)
        else:
            network = seeded(UNet, seed, count, 2 * count, **options)
        return cls(network, images, sigma=sigma, walkback=walkback)

    def reconstruction(self, network: nn.Module, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of ``P(X | X~)``, in the network's unit.

        The standard deviation is ``(0.02 + softplus(h)) sigma`` for the number h of the network.
        """
        level = self._unit_sigma
        step, width = network(noisy, noisy.new_full((len(noisy),), math.log(level) / 4)).chunk(2, dim=1)
        return noisy + step.to(noisy.dtype), level * (_LEAST + F.softplus(width.to(noisy.dtype)))

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        images = self.image_format
        seen = images.to_network(x)
        network = self._network(seen)
        mean = images.from_network(in_parts(lambda part: self.reconstruction(network, part)[0], seen), x)
        return x + (sigma / self.sigma).clamp(max=1).square() * (mean - x)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        seed: int,
        *,
        image_shape: tuple[int, ...] | None = None,
        steps: int = 500,
        start: Tensor | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw images by the chain of Bengio, Yao, Alain and Vincent (2013), eqs. 3 and 4.

        Parameters
        ----------
        n : int
        seed : int
            Sample i follows from seed + i alone.
        image_shape : tuple of int, optional
            For a prior of images of any size.
        steps : int
            Of the chain, each an addition of noise and a draw of the reconstruction.
        start : tensor, shape (*image) or (n, *image), optional
            Where the chains begin; by default white Gaussian noise over the value range.
        device : torch.device or str, optional
            Of the computation and of the random numbers, which are others on a GPU.

        Returns
        -------
        tensor, shape (n, *image)
        """
        images, shape = self.image_format, image_shape or self.image_format.shape
        n, steps = as_count(n, "n, the number of images,"), as_count(steps, "steps", least=0)
        if shape is None:
            raise ParameterError("This prior is one of images of any size: give image_shape.")
        like = torch.empty(n, *shape, device=device)
        draws = Draws(range(seed, seed + n), device=like.device)
        x = draws(images.to_network(like))
        if start is not None:
            images.check(start, "DenoisingAutoencoder.sample")
            x = images.to_network(start.to(like).expand(like.shape))
        network = self._network(x)
        for _ in range(steps):
            noise = draws(x[:, None].expand(-1, 2, -1, -1, -1))
            mean, std = self.reconstruction(network, x + self._unit_sigma * noise[:, 0])
            x = mean + std * noise[:, 1]
        return images.from_network(x, like)

    def lessons(self) -> Mapping[str, Lesson]:
        """The likelihood of images given noisy ones."""
        return {"network": Lesson(self.loss)}

    def loss(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """Mean of ``-log P(X | X~)`` for each pixel, Bengio, Yao, Alain and Vincent (2013), eq. 1.

        With walkback, their algorithm 1: the chain goes on from each image for some steps, and the image
        itself is to be reconstructed from wherever the chain has come, with the same weight of each step.
        What the chain makes up away from the images, spurious modes, is so unlearned; the stationary density
        remains that of the images (proposition 1), but r is no longer the posterior mean at sigma. One step
        or two do it: after many, the chain has forgotten the image, and the conditional density is one of all
        images, which no Gaussian describes.
        """

        def normal() -> Tensor:
            return torch.randn(images.shape, generator=generator, device=images.device)

        x, total = images, images.new_zeros(())
        for _ in range(1 + self.walkback):
            mean, std = self.reconstruction(networks["network"], x + self._unit_sigma * normal())
            total = total + (((images - mean) / std).square() / 2 + std.log()).mean()
            x = (mean + std * normal()).detach()
        return total / (1 + self.walkback)

    @property
    def _unit_sigma(self) -> float:
        """The noise level in the network's unit."""
        return self.sigma / self.image_format.unit[1]

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return ("sigma", "walkback")

    def _format_header(self) -> dict[str, Any]:
        # the noise range follows from sigma
        return replace(self.image_format, noise_range=None).header()

    def __repr__(self) -> str:
        images = self.image_format
        size = "any size" if images.shape is None else f"{images.shape}"
        return f"DenoisingAutoencoder({size}, values {images.value_range}, sigma {self.sigma:g})"
