"""Variational autoencoders: images from latent variables with a Gaussian prior."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.autoencoders import VariationalAutoencoder
from invgen.priors.trainable import Lesson, Trainable, seeded
from invgen.priors.vae.latents import check_latents
from invgen.priors.vae.observations import observation_model

__all__ = ["VAE", "Posterior"]

#: Pixels that the decoder makes at once; its activations take about a hundred times as many numbers.
_PIXELS = 2**20

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


class VAE(Trainable):
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
    image_format : ImageFormat
        With shape and value range, and `levels` as the distribution has it.
    observation : {"logistic", "bernoulli", "gaussian"}
        Distribution of a pixel: discretized logistic, for images of `levels`; of two levels; or a density of
        real numbers. See `invgen.priors.vae.observations`.
    mixtures : int
        Number of logistics for each pixel.

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
        super().__init__(image_format, network=network)
        if image_format.shape is None or image_format.value_range is None:
            raise ParameterError("The images of a VAE have a shape and a value_range.")
        self.observation, self.mixtures = observation, as_count(mixtures, "mixtures")
        self._observation = observation_model(observation, image_format.levels, mixtures)
        self._size = math.prod(image_format.shape)

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
        of_levels = {"bernoulli": 2, "gaussian": None}.get(observation, levels)
        images = ImageFormat(
            tuple(image_shape),
            image_shape[0] if len(image_shape) == 3 else None,
            field="real",
            value_range=value_range,
            levels=of_levels,
        )
        numbers = observation_model(observation, of_levels, mixtures).numbers
        channels = images.network_channels
        shape = (channels, *image_shape[-2:]) if len(image_shape) == 2 else tuple(image_shape)
        network = seeded(
            VariationalAutoencoder, seed, shape, numbers * channels, latent, list(widths), blocks
        )
        return cls(network, images, observation=observation, mixtures=mixtures)

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return "observation", "mixtures"

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

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latent variables of one image: ``(latent,)``."""
        return (int(self._networks()["network"].latent),)  # type: ignore[arg-type]

    def decode(self, z: Tensor) -> Tensor:
        """Mean images of latent variables ``(*batch, latent)``, differentiable.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        batch = check_latents(z, self.latent_shape, "VAE.decode")
        decoder = self._network(z).decoder
        found = self._in_parts(
            lambda part: self._observation.mean(decoder(part)), z.reshape(-1, *self.latent_shape)
        )
        return self._images(found, batch)

    def latent_log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the standard Gaussian density of latent variables ``(*batch, latent)``."""
        check_latents(z, self.latent_shape, "VAE.latent_log_prob")
        return _standard_normal(z)

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
        seen, batch = self._seen(x, "VAE.encode")
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
        seen, batch = self._seen(x, "VAE.elbo")
        network = self._network(seen)

        def bound(part: Tensor) -> Tensor:
            mean, log_var = network.encoder(part)
            z = mean + (log_var / 2).exp() * Draws([seed], axes=1)(mean[None])[0]
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
        seen, batch = self._seen(x, "VAE.log_prob_bound")
        samples, network = as_count(samples, "samples"), self._network(seen)

        def bound(part: Tensor) -> Tensor:
            mean, log_var = network.encoder(part)
            at_once = max(1, self._at_once // max(1, len(part)))
            weights = []
            for first in range(0, samples, at_once):
                seeds = range(seed, seed + samples)[first : first + at_once]
                noise = Draws(seeds, axes=1)(mean.expand(len(seeds), *mean.shape))
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

    @property
    def _at_once(self) -> int:
        """Images that are decoded at the same time."""
        return max(1, _PIXELS // self._size)

    def _in_parts(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """The function of some images at a time: all of them would fill the memory."""
        return torch.cat([function(part) for part in x.split(self._at_once)])

    @property
    def _log_unit(self) -> float:
        """Logarithm of the volume of the network's unit in that of the images, for densities."""
        return 0.0 if self._observation.levels else self._size * math.log(self.image_format.unit[1])

    def _seen(self, x: Tensor, who: str) -> tuple[Tensor, torch.Size]:
        """Images as the network sees them, and their batch axes."""
        images = self.image_format
        images.check(x, who)
        if images.levels is not None and x.numel():
            images.to_levels(x)  # raises for values out of the range
        return images.to_network(x), images.batch_shape(x)

    def _images(self, channels: Tensor, batch: Sequence[int]) -> Tensor:
        shape = self.image_format.shape
        assert shape is not None
        return self.image_format.from_network(channels, channels.new_empty((*batch, *shape)))

    def __repr__(self) -> str:
        images = self.image_format
        return f"VAE({self.latent_shape[0]} latent, {images.shape}, {self.observation}, {images.value_range})"


def _standard_normal(z: Tensor) -> Tensor:
    """Logarithm of the standard Gaussian density, over the last axis."""
    return -(z.square() + math.log(2 * math.pi)).sum(-1) / 2


def _divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """From the standard Gaussian, Kingma and Welling (2014), appendix B."""
    return (mean.square() + log_var.exp() - 1 - log_var).sum(-1) / 2
