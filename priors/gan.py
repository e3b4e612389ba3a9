"""Generative adversarial networks: a generator that learns from a discriminator's judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.priors.generators.latents import NormalLatents, as_latent_shape
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.dcgan import DCDiscriminator, DCGenerator
from invgen.priors.nets.evaluation import Networked
from invgen.priors.trainable import Lesson, Trainable, seeded

__all__ = ["GAN", "LOSSES", "AdversarialLoss", "LeastSquares", "NonSaturating", "Wasserstein"]


class AdversarialLoss:
    """What discriminator and generator minimize, in scores ``D(x)`` of the shape ``(N,)``.

    E is the mean over a batch, x are images and ``G(z)`` what the generator makes; D is without an activation
    in the end.
    """

    #: Updates of the discriminator for one of the generator, and the decay rates of Adam for both.
    count: ClassVar[int] = 1
    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)

    def discriminator(self, D: nn.Module, x: Tensor, made: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of the discriminator D for images x and `made` = G(z), both ``(N, C, H, W)``."""
        raise NotImplementedError

    def generator(self, scores: Tensor) -> Tensor:
        """Loss of the generator, of the scores ``D(G(z))``."""
        raise NotImplementedError


@dataclass(frozen=True)
class NonSaturating(AdversarialLoss):
    """Goodfellow et al. (2014): eq. 1, and for the generator the loss that ends their sec. 3.

    With the logistic function s, the discriminator's loss is least where ``s(D(x)) = p(x) / (p(x) + q(x))``,
    p being the density of images and q that of what the generator makes (their proposition 1).
    """

    def discriminator(self, D: nn.Module, x: Tensor, made: Tensor, generator: torch.Generator) -> Tensor:
        """``-E log s(D(x)) - E log(1 - s(D(G(z))))``."""
        # -log s(a) = softplus(-a), and -log(1 - s(a)) = softplus(a)
        return F.softplus(-D(x).float()).mean() + F.softplus(D(made).float()).mean()

    def generator(self, scores: Tensor) -> Tensor:
        """``-E log s(D(G(z)))``."""
        return F.softplus(-scores.float()).mean()


@dataclass(frozen=True)
class LeastSquares(AdversarialLoss):
    """Mao et al. (2017), eq. 9: images should score one, and what is made zero.

    The discriminator's loss is least where ``D(x) = p(x) / (p(x) + q(x))``, see `NonSaturating`.
    """

    def discriminator(self, D: nn.Module, x: Tensor, made: Tensor, generator: torch.Generator) -> Tensor:
        """``E (D(x) - 1)^2 / 2 + E D(G(z))^2 / 2``."""
        return ((D(x).float() - 1).square().mean() + D(made).float().square().mean()) / 2

    def generator(self, scores: Tensor) -> Tensor:
        """``E (D(G(z)) - 1)^2 / 2``."""
        return (scores.float() - 1).square().mean() / 2


@dataclass(frozen=True)
class Wasserstein(AdversarialLoss):
    """Gulrajani et al. (2017), eq. 3 and algorithm 1: a critic whose slope is kept at one.

    The slope is measured at random places v on the straight lines between x and G(z). Minus the critic's
    least loss is an estimate of the Wasserstein distance of order one. Scores must not depend on the rest of
    a batch (their sec. 4).
    """

    weight: float = 10.0
    count: ClassVar[int] = 5
    betas: ClassVar[tuple[float, float]] = (0.0, 0.9)

    def discriminator(self, D: nn.Module, x: Tensor, made: Tensor, generator: torch.Generator) -> Tensor:
        """``E D(G(z)) - E D(x) + weight E (|grad D(v)| - 1)^2``."""
        share = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device)
        penalty = self.penalty(D, torch.lerp(made.float(), x, share))
        return D(made).float().mean() - D(x).float().mean() + self.weight * penalty

    def penalty(self, D: nn.Module, v: Tensor) -> Tensor:
        """``E (|grad D(v)| - 1)^2`` over a batch."""
        # slopes in bfloat16 would be penalized for their rounding
        with torch.enable_grad(), torch.autocast(v.device.type, enabled=False):
            v = v.detach().requires_grad_()
            (slope,) = torch.autograd.grad(D(v).sum(), v, create_graph=True)
            return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def generator(self, scores: Tensor) -> Tensor:
        """``-E D(G(z))``."""
        return -scores.float().mean()


#: The losses by name.
LOSSES: dict[str, AdversarialLoss] = {
    "non-saturating": NonSaturating(),
    "least-squares": LeastSquares(),
    "wasserstein": Wasserstein(),
}


class GAN(Trainable, NormalLatents, Networked):
    """Images that a network generates from Gaussian latent variables, trained against a discriminator.

    Goodfellow et al. (2014), with the networks of Radford, Metz and Chintala (2016). A `Generator` and
    `Sampler`; the images have no density. Files hold the generator alone: training does not go on from them,
    but from the folder of an interrupted run.

    Train with a learning rate of 2e-4 (their sec. 4), or 1e-4 for "wasserstein". A generator may leave out
    kinds of images: what it cannot make, no reconstruction has.

    Parameters
    ----------
    generator : torch.nn.Module
        Of latent variables ``(N, *latent_shape)``; returns images from -1 to 1, ``(N, C, H, W)`` or rows.
    discriminator : torch.nn.Module, optional
        Of images ``(N, C, H, W)``; returns one score each. None for a prior that is not trained further.
    image_format : ImageFormat
        With shape and value range, of real images.
    latent_shape : tuple of int
    loss : {"non-saturating", "least-squares", "wasserstein"}

    Raises
    ------
    ParameterError
        For another loss, or "wasserstein" with batch normalization in the discriminator.
    """

    family = "gan"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module | None = None,
        *,
        image_format: ImageFormat,
        latent_shape: tuple[int, ...],
        loss: str = "non-saturating",
    ) -> None:
        if loss not in LOSSES:
            raise ParameterError(f"The loss of a GAN is one of {', '.join(LOSSES)}; got {loss!r}.")
        found = {"generator": generator, "discriminator": discriminator}
        networks = {name: network for name, network in found.items() if network is not None}
        judges = discriminator.modules() if discriminator is not None else ()
        if loss == "wasserstein" and any(isinstance(module, _BatchNorm) for module in judges):
            raise ParameterError(
                "The gradient penalty is one for each image alone: a discriminator for 'wasserstein' has no "
                "batch normalization. Give it layer normalization, or none."
            )
        super().__init__(image_format, **networks)
        self.latent_shape = as_latent_shape(latent_shape)
        self.loss = loss

    @classmethod
    def untrained(
        cls,
        image_shape: tuple[int, ...],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        latent: int = 64,
        widths: tuple[int, ...] = (256, 128, 64),
        loss: str = "non-saturating",
        seed: int = 0,
    ) -> Self:
        """A GAN of deep convolutional networks with random weights, for `invgen.priors.training.train`.

        Parameters
        ----------
        image_shape : tuple of int
            ``(H, W)`` or ``(C, H, W)``.
        value_range : pair of float
        latent : int
            Number of latent variables.
        widths : tuple of int
            Channels of the generator at each resolution, the coarsest first, and of the discriminator in
            turn: see `invgen.priors.nets.DCGenerator`.
        loss : str
        seed : int

        Raises
        ------
        ShapeError, ParameterError
            For sizes that the networks cannot make.
        """
        if len(image_shape) not in (2, 3):
            raise ShapeError(f"image_shape is (H, W) or (C, H, W); got {image_shape}.")
        channels = image_shape[0] if len(image_shape) == 3 else None
        images, size = ImageFormat(image_shape, channels, "real", value_range), image_shape[-2:]
        generator = seeded(DCGenerator, seed, latent, channels or 1, size, widths)
        normalization = "layer" if loss == "wasserstein" else "batch"
        discriminator = seeded(
            DCDiscriminator, seed, channels or 1, size, tuple(reversed(widths)), normalization
        )
        return cls(generator, discriminator, image_format=images, latent_shape=(latent,), loss=loss)

    def lessons(self) -> dict[str, Lesson]:
        """The discriminator's, then the generator's."""
        if "discriminator" not in self.networks():
            raise CapabilityError(
                "This GAN has no discriminator to learn from: files hold the generator alone. Begin with "
                "GAN.untrained, or go on in the folder of an interrupted training."
            )
        loss = LOSSES[self.loss]
        return {
            "discriminator": Lesson(self._discriminator_loss, loss.count, betas=loss.betas),
            "generator": Lesson(self._generator_loss, betas=loss.betas),
        }

    def _discriminator_loss(
        self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator
    ) -> Tensor:
        with torch.no_grad():
            made = self._made(networks, images, generator)
        return LOSSES[self.loss].discriminator(networks["discriminator"], images, made, generator)

    def _generator_loss(
        self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator
    ) -> Tensor:
        made = self._made(networks, images, generator)
        return LOSSES[self.loss].generator(networks["discriminator"](made))

    def _made(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """As many images of random latent variables, in the networks' unit."""
        z = torch.randn(len(images), *self.latent_shape, generator=generator, device=images.device)
        made: Tensor = networks["generator"](z)
        return made.reshape(images.shape)

    def _decoder(self, like: Tensor) -> nn.Module:
        network: nn.Module = self._network(like, "generator")
        return network

    def _outputs(self, z: Tensor) -> Tensor:
        return self._evaluating(z, "generator")(z)

    def _decoded(self, outputs: Tensor) -> Tensor:
        center, half = self.image_format.unit
        return outputs * half + center

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.networks()["generator"]}

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return ("latent_shape", "loss")

    def __repr__(self) -> str:
        images = self.image_format
        return f"GAN({self.latent_shape} to {images.shape}, {self.loss} loss, values {images.value_range})"
