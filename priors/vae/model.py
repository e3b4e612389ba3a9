"""Variational autoencoders: images from latent variables with a Gaussian prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.priors.generators.latents import NormalLatents
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.autoencoders import VariationalAutoencoder
from invgen.priors.trainable import Lesson, seeded
from invgen.priors.vae.base import PixelDecoder, decoded_format
from invgen.priors.vae.observations import observation_model

__all__ = ["VAE", "Posterior"]

#: Samples of the latent variables, and the seed, of `VAE.log_prob`.
_SAMPLES, _SEED = 64, 0


class Posterior(NamedTuple):
    """A Gaussian distribution of independent latent variables.

    Attributes
    ----------
    mean, std : tensor, shape (*batch, latent)
    """

    mean: Tensor
    std: Tensor


class VAE(PixelDecoder, NormalLatents):
    """A variational autoencoder, Kingma and Welling (2014).

    Latent variables z are standard Gaussian, and images follow a distribution of independent pixels whose
    parameters a network decodes from z; another network encodes an approximate posterior of z. A `Generator`
    and a `Sampler`; by its bounds, from below, a `Density`.

    Parameters
    ----------
    network : torch.nn.Module
        Such as `invgen.priors.nets.VariationalAutoencoder`: ``encoder(images)`` returns mean and log variance
        ``(N, latent)``, ``decoder(z)`` the parameters of the pixels, ``forward(images, noise)`` all three,
        and ``latent`` is the number of latent variables. It sees images as channels in the unit -1 to 1.
    image_format, observation, mixtures
        Of the images and their pixels: see `invgen.priors.vae.base.PixelDecoder`.

    Raises
    ------
    ParameterError
    """

    family = "vae"

    def __init__(
        self,
        network: nn.Module,
        image_format: ImageFormat,
        *,
        observation: str = "logistic",
        mixtures: int = 1,
    ) -> None:
        super().__init__(image_format, observation, mixtures, network=network)
        self.latent_shape = (as_count(network.latent, "latent, the number of latent variables,"),)

    @classmethod
    def untrained(
        cls,
        image_shape: Sequence[int],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        latent: int = 32,
        widths: Sequence[int] = (32, 64),
        blocks: int = 2,
        observation: str = "logistic",
        levels: int = 256,
        mixtures: int = 3,
        seed: int = 0,
    ) -> Self:
        """A convolutional one, whose weights follow from the seed.

        Parameters
        ----------
        image_shape : tuple of int
            ``(H, W)`` or ``(C, H, W)``, with sides that are multiples of ``2 ** len(widths)``: of 4.
        value_range : pair of float
        latent : int
            Number of latent variables.
        widths : sequence of int
            Channels at half, a quarter, ... of the resolution; multiples of 32 are fast.
        blocks : int
            Residual blocks at each resolution.
        observation : {"logistic", "bernoulli", "gaussian"}
        levels, mixtures : int
            Of the observation "logistic"; the others have their own.
        seed : int

        Raises
        ------
        ShapeError, ParameterError
        """
        images = decoded_format(image_shape, value_range, observation, levels)
        channels = images.network_channels
        outputs = channels * observation_model(observation, images.levels, mixtures).numbers
        shape = (channels, *image_shape[-2:])
        network = seeded(VariationalAutoencoder, seed, shape, outputs, latent, widths, blocks)
        return cls(network, images, observation=observation, mixtures=mixtures)

    def lessons(self) -> Mapping[str, Lesson]:
        """Encoder and decoder learn together, by `loss`."""
        return {"network": Lesson(self.loss)}

    def loss(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """Minus the evidence lower bound, Kingma and Welling (2014), eq. 7 and 10.

        In bits per pixel and channel, with one sample of the latent variables for each image; of densities in
        the unit of the network.
        """
        noise = torch.randn(len(images), self.latent_shape[0], generator=generator, device=images.device)
        mean, log_var, parameters = networks["network"](images, noise)
        bound = -self._observation.nll(images, parameters.float()) - _divergence(mean, log_var)
        return -bound.mean() / (self._size * math.log(2))

    def _decoder(self, like: Tensor) -> nn.Module:
        network: nn.Module = self._network(like).decoder
        return network

    def _decoded(self, outputs: Tensor) -> Tensor:
        """Mean images."""
        return self._images(self._observation.mean(outputs), (len(outputs),))

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
            draws = Draws(seeds.tolist())
            z = draws(torch.empty(len(seeds), *self.latent_shape, device=device))
            parameters = self._network(z).decoder(z)
            return (
                self._observation.mean(parameters) if means else self._observation.sample(parameters, draws)
            )

        with torch.no_grad():
            return self._images(self._in_parts(drawn, torch.arange(first, first + n)), (n,))

    def encode(self, x: Tensor) -> Posterior:
        """The approximate posterior of the latent variables of images ``(*batch, *image)``.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        seen, batch = self._seen(x, "encode")
        encoder = self._network(seen).encoder
        found = self._in_parts(lambda part: torch.cat(encoder(part), dim=1), seen)
        mean, log_var = found.reshape(*batch, -1).chunk(2, dim=-1)
        return Posterior(mean, (log_var / 2).exp())

    def reconstruct(self, x: Tensor) -> Tensor:
        """Mean images of the mean latent variables of images ``(*batch, *image)``."""
        return self.decode(self.encode(x).mean)

    def elbo(self, x: Tensor, seed: int = 0) -> Tensor:
        """The evidence lower bound of images, by one sample of the latent variables, shape of the batch.

        Kingma and Welling (2014), eq. 7, with the divergence of the posterior from the prior in closed form.
        In expectation over seeds at most the logarithm of the probability of the image, for images of a
        number of levels, else of its density, in the images' unit.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)
        seed : int
            All images get the same random numbers.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        seen, batch = self._seen(x, "elbo")
        network = self._network(seen)

        def bound(part: Tensor) -> Tensor:
            mean, log_var = network.encoder(part)
            z = mean + (log_var / 2).exp() * Draws([seed], axes=1, device=mean.device)(mean[None])[0]
            return -self._observation.nll(part, network.decoder(z)) - _divergence(mean, log_var)

        return self._in_parts(bound, seen).reshape(batch) - self._log_unit

    def log_prob_bound(self, x: Tensor, samples: int = _SAMPLES, seed: int = _SEED) -> Tensor:
        """The importance-weighted bound of images, Burda, Grosse and Salakhutdinov (2016), eq. 8.

        The logarithm of the mean of ``p(x, z_k) / q(z_k | x)`` over samples z_k of the posterior. In
        expectation over seeds a lower bound as `elbo` is, which it equals in expectation for one sample; it
        rises with the number of samples towards the logarithm of the probability, or the density, itself.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)
        samples : int
        seed : int
            Sample k follows from ``seed + k``, with the same random numbers for all images.

        Returns
        -------
        tensor, shape of the batch

        Raises
        ------
        DtypeError, ShapeError, DataError, ParameterError
        """
        seen, batch = self._seen(x, "log_prob_bound")
        samples, network = as_count(samples, "samples"), self._network(seen)

        def bound(part: Tensor) -> Tensor:
            mean, log_var = network.encoder(part)
            at_once = max(1, self._at_once // max(1, len(part)))
            weights = []
            for first in range(0, samples, at_once):
                seeds = range(seed, seed + samples)[first : first + at_once]
                noise = Draws(seeds, axes=1, device=mean.device)(mean.expand(len(seeds), *mean.shape))
                z = mean + (log_var / 2).exp() * noise
                images = part.expand(len(seeds), *part.shape).flatten(0, 1)
                nll = self._observation.nll(images, network.decoder(z.flatten(0, 1))).reshape(len(seeds), -1)
                weights.append(_standard_normal(z) - nll - _standard_normal(noise) + log_var.sum(-1) / 2)
            return torch.logsumexp(torch.cat(weights), 0) - math.log(samples)

        return self._in_parts(bound, seen).reshape(batch) - self._log_unit

    def log_prob(self, x: Tensor) -> Tensor:
        """`log_prob_bound` with 64 samples and the seed 0: in expectation a lower bound, not the value.

        Of the logarithm of the probability of images of a number of levels, else of the density in the
        images' unit. Between the levels it is interpolated, so that it has a derivative.
        """
        return self.log_prob_bound(x)


def _standard_normal(z: Tensor) -> Tensor:
    """Logarithm of the standard Gaussian density, over the last axis."""
    return -(z.square() + math.log(2 * math.pi)).sum(-1) / 2


def _divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """From the standard Gaussian, Kingma and Welling (2014), appendix B."""
    return (mean.square() + log_var.exp() - 1 - log_var).sum(-1) / 2
