"""Flows of images: invertible networks, and so an exact density."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import DtypeError, ShapeError
from invgen.priors.flow.latents import check_latents, check_temperature, standard_normal
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.following import in_parts
from invgen.priors.nets.multiscale import MultiscaleFlow
from invgen.priors.trainable import Lesson, Trainable, seeded

__all__ = ["Flow"]


class Flow(Trainable):
    """A normalizing flow of images: latents are standard normal, and each image has exactly one.

    Couplings by Dinh, Sohl-Dickstein and Bengio (2017), activation normalization and invertible 1x1
    convolutions by Kingma and Dhariwal (2018), splines by Durkan et al. (2019); see
    `invgen.priors.nets.MultiscaleFlow`. A `Generator`, a `Density` and a `Sampler`.

    With splines nearly all of the density is inside the value range, and half a level beyond: outside it
    falls by orders of magnitude within a hundredth of the range. Its logarithm is finite everywhere.

    Parameters
    ----------
    network : torch.nn.Module
        Images ``(N, C, H, W)`` to latents ``(N, C H W)`` and the logarithm of the determinant ``(N,)``, with
        a method ``inverse``: a `MultiscaleFlow`.
    image_format : ImageFormat
        Of real images of one shape.
    gray_levels : int, optional
        Number of equidistant values of the images that it learns from, the ends of the value range among
        them: 256 for 8 bits. The density is then that of images with uniform noise of one level's width:
        level k of w = (high - low) / (gray_levels - 1) stands for the numbers from low + (k - 1/2) w to
        low + (k + 1/2) w, and ``-(log_prob(x) + D log w) / (D log 2)``, on average over this noise, is an
        upper bound of the bits per dimension of the levels (Theis, van den Oord and Bethge 2016, eq. 4). By
        default the images that it learns from are real numbers.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
    """

    family = "flow"

    def __init__(
        self, network: nn.Module, image_format: ImageFormat, *, gray_levels: int | None = None
    ) -> None:
        if image_format.shape is None or image_format.axes not in (2, 3):
            raise ShapeError("A Flow is of images of one shape: (H, W) or (C, H, W).")
        if image_format.field != "real":
            raise DtypeError("A Flow is of real images; take the real and the imaginary part as channels.")
        super().__init__(image_format, network=network)
        self.gray_levels = None if gray_levels is None else as_count(gray_levels, "gray_levels", least=2)

    @classmethod
    def untrained(
        cls,
        image_shape: tuple[int, ...],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        scales: int = 2,
        steps: int = 2,
        width: int = 32,
        blocks: int = 2,
        coupling: str = "spline",
        bins: int = 12,
        levels: int | None = 256,
        seed: int = 0,
    ) -> Self:
        """A flow to be trained: every pixel is uniform over the value range, or normal with "affine".

        Parameters
        ----------
        image_shape : tuple of int
            ``(H, W)`` or ``(C, H, W)``, both sides multiples of ``2 ** scales``.
        value_range : pair of float
            Least and largest value of the images.
        scales : int
            Number of times that images are halved.
        steps : int
            Steps of Glow at each scale.
        width, blocks : int
            Channels and residual blocks of the networks. Multiples of 32 are fast in bf16.
        coupling : {"spline", "affine"}
        bins : int
            Of the splines, five or more.
        levels : int, optional
            Number of values of a pixel: the `gray_levels`. None for real numbers.
        seed : int

        Raises
        ------
        ShapeError, ParameterError
        """
        shape = tuple(image_shape)
        if len(shape) not in (2, 3):
            raise ShapeError(f"image_shape is (H, W) or (C, H, W); got {image_shape}.")
        channels = shape[0] if len(shape) == 3 else None
        images = ImageFormat(shape, channels, field="real", value_range=value_range)
        network = seeded(
            MultiscaleFlow,
            seed,
            channels or 1,
            *shape[-2:],
            scales=scales,
            steps=steps,
            hidden=width,
            blocks=blocks,
            coupling=coupling,
            bins=bins,
            edge=0.0 if levels is None else 1 / (as_count(levels, "levels", least=2) - 1),
        )
        return cls(network, images, gray_levels=levels)

    def lessons(self) -> Mapping[str, Lesson]:
        """The network learns by maximum likelihood."""
        return {"network": Lesson(self.loss)}

    def loss(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """Mean bits per dimension of images with uniform noise, or of real numbers as they are.

        Minus ``log2 p(x) = log2 N(f(x); 0, 1) + log2 |det df/dx|``, Dinh, Sohl-Dickstein and Bengio (2017),
        eq. 3; noise as in Uria, Murray and Larochelle (2013).
        """
        spacing = 1.0
        if self.gray_levels is not None:
            spacing = 2 / (self.gray_levels - 1)
            noise = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype)
            images = images + spacing * (noise - 0.5)
        z, change = networks["network"](images)
        per_dimension = (standard_normal(z) + change).mean() / images[0].numel()
        return -(per_dimension + math.log(spacing)) / math.log(2)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """One axis, of the number of the pixels times the channels; latents of fine scales are first."""
        assert self.image_format.shape is not None
        return (math.prod(self.image_format.shape),)

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the density of images ``(*batch, *image)``, in their unit; shape of the batch.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        images = self.image_format
        images.check(x, "Flow.log_prob")
        network = self._network(x)

        def of(channels: Tensor) -> Tensor:
            z, change = network(channels)
            return standard_normal(z) + change

        found = in_parts(of, images.to_network(x)) if x.numel() else x.new_zeros(0)
        return (found - self.latent_shape[0] * math.log(images.unit[1])).reshape(images.batch_shape(x))

    def encode(self, x: Tensor) -> Tensor:
        """Latents ``(*batch, D)`` of images; the inverse of `decode`.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        images = self.image_format
        images.check(x, "Flow.encode")
        network = self._network(x)
        z = in_parts(lambda each: network(each)[0], images.to_network(x)) if x.numel() else x
        return z.reshape(*images.batch_shape(x), *self.latent_shape)

    def decode(self, z: Tensor) -> Tensor:
        """Images ``(*batch, *image)`` of latents ``(*batch, D)``; the inverse of `encode`.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        check_latents(z, self.latent_shape, "Flow.decode")
        images = self.image_format
        assert images.shape is not None
        like = z.reshape(*z.shape[:-1], *images.shape)
        if not z.numel():
            return like
        network = self._network(z)
        return images.from_network(in_parts(network.inverse, z.reshape(-1, *self.latent_shape)), like)

    def latent_log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the standard normal density of latents, shape of the batch."""
        check_latents(z, self.latent_shape, "Flow.latent_log_prob")
        return standard_normal(z)

    def sample(
        self,
        n: int,
        seed: int,
        *,
        temperature: float = 1.0,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw images: of gray levels the nearest ones, without the noise of the training.

        Parameters
        ----------
        n : int
        seed : int
            Sample i follows from seed + i alone.
        temperature : float
            Standard deviation of the latents: below one, images are less varied and more typical, Kingma and
            Dhariwal (2018), sec. 6; zero gives one image.
        device : torch.device or str, optional
            Of the computation; the random numbers are the same on each.

        Returns
        -------
        tensor, shape (n, *image)
        """
        n = as_count(n, "n, the number of images,")
        check_temperature(temperature)
        z = Draws(range(seed, seed + n))(torch.empty(n, *self.latent_shape, device=device))
        with torch.no_grad():
            x = self.decode(temperature * z)
        if self.gray_levels is None:
            return x
        low, high = self.image_format.unit[0] - self.image_format.unit[1], sum(self.image_format.unit)
        w = (high - low) / (self.gray_levels - 1)
        return (low + w * ((x - low) / w).round()).clamp(low, high)

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return ("gray_levels",)

    def __repr__(self) -> str:
        images = self.image_format
        return f"{type(self).__name__}({images.shape}, values {images.value_range})"
