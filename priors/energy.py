"""Energy models: densities up to their normalization, learned by contrastive divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.base import Denoising, energy_gradient
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.energies import ImageEnergy, VectorEnergy
from invgen.priors.trainable import Lesson, Trainable, seeded

__all__ = ["Chains", "EnergyModel"]

#: Fraction of the chains that begin anew in each step of training. Du and Mordatch (2019) take 0.05; chains
#: that have not come far weigh on the density, which gets narrower than that of the images.
_RENEWED = 0.01

#: Images with a side of fewer pixels are vectors.
_LEAST_SIDE = 8

#: Square root of the temperature at which annealed samplers begin.
_HOT = 4.0

#: Random numbers of a sample that are drawn at a time.
_NUMBERS = 256


class EnergyModel(Trainable, Denoising):
    """A density ``exp(-E(x))`` of images with a little noise, of a network E, up to its normalization.

    LeCun et al. (2006). Trained by contrastive divergence (Hinton 2002) with chains that go on from one step
    of training to the next (Tieleman 2008), a replay buffer of which some begin anew (Du and Mordatch 2019):
    `loss`. What is learned is the density of images ``x0 + sigma n``, whose energy has no curvature above
    ``1 / sigma^2``, so that Langevin steps of ``step_size sigma^2`` are stable.

    That level makes it a denoiser, by Tweedie's formula ``x - sigma^2 grad E(x)``, and the posterior mean is
    exact as far as E is. Below it the same energy stands for the density: ``x - s^2 grad E(x)`` at the level
    s, of which the score is ``-grad E``. Above it, that of the temperature ``(s / sigma)^2``, whose score is
    ``-(sigma / s)^2 grad E``: a tempered density is no density of noisy images, but as smooth as one. So
    `ULA` with ``sigma=prior.sigma`` samples from ``exp(-E)`` times the likelihood, by the gradient of E, and
    `AnnealedLangevin` comes from a temperature of sixteen down to one.

    Parameters
    ----------
    network : torch.nn.Module
        Energies ``(N,)`` of images ``(N, C, H, W)`` in the unit -1 to 1.
    image_format : ImageFormat
        With the shape of the images.
    sigma : float
        The noise, in the unit of the images.
    step_size : number between 0 and 2
        Of Langevin steps, relative to ``sigma^2``. Variances of the chains are too large by one part in
        ``2 / step_size - 1`` at most.
    langevin_steps : int
        Of each chain in a step of training.
    chains : int
        Their number.
    magnitude, spectral : float
        Weights of the two regularizations of `loss`.
    """

    family = "energy"

    def __init__(
        self,
        network: nn.Module,
        image_format: ImageFormat,
        *,
        sigma: float,
        step_size: float = 0.5,
        langevin_steps: int = 20,
        chains: int = 4096,
        magnitude: float = 1e-5,
        spectral: float = 1e-5,
    ) -> None:
        if image_format.shape is None or image_format.field == "complex":
            raise ShapeError(
                "An EnergyModel is of real images of one shape: its image_format has to have one."
            )
        if not 0 < sigma < math.inf:
            raise ParameterError(f"sigma, the noise of the images, is positive; got {sigma}.")
        if not 0 < step_size < 2:
            raise ParameterError(
                f"step_size is a number from 0 to 2, where steps become unstable; got {step_size}."
            )
        if not (magnitude >= 0 and spectral >= 0):
            raise ParameterError(
                f"Weights of regularizations are not negative; got magnitude={magnitude}, "
                f"spectral={spectral}."
            )
        levels = (float(sigma), _HOT * float(sigma))
        super().__init__(replace(image_format, field="real", noise_range=levels), network=network)
        self.sigma, self.step_size = float(sigma), float(step_size)
        self.langevin_steps = as_count(langevin_steps, "langevin_steps")
        self.chains = as_count(chains, "chains")
        self.magnitude, self.spectral = float(magnitude), float(spectral)

    @classmethod
    def untrained(
        cls,
        image_shape: Sequence[int],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        sigma: float | None = None,
        widths: Sequence[int] | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> Self:
        """A model to train.

        Parameters
        ----------
        image_shape : tuple of int
            ``(H, W)`` or ``(C, H, W)``. Where a side is less than eight pixels, the network is fully
            connected, else it is convolutional.
        value_range : pair of float
        sigma : float, optional
            By default a fiftieth of the value range.
        widths : sequence of int, optional
            See `invgen.priors.nets.VectorEnergy` and `invgen.priors.nets.ImageEnergy`.
        seed : int
            Of the weights.
        **settings
            See `EnergyModel`.
        """
        images = ImageFormat(tuple(image_shape), value_range=value_range, field="real")
        shape = _network_shape(images)
        options = {} if widths is None else {"widths": widths}
        if min(shape[1:]) < _LEAST_SIDE:
            network = seeded(VectorEnergy, seed, shape, **options)
        else:
            network = seeded(ImageEnergy, seed, shape[0], **options)
        level = 2 * images.unit[1] / 50 if sigma is None else sigma
        return cls(network, images, sigma=level, **settings)

    # -- the density

    def energy(self, x: Tensor) -> Tensor:
        """Minus the logarithm of the density, up to a constant, shape of the batch.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        self.image_format.check(x, "EnergyModel.energy")
        seen = self.image_format.to_network(x)
        return self._network(seen)(seen).reshape(self.image_format.batch_shape(x))

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x - sigma.clamp(max=self.sigma).square() * self._gradient(x)

    def _gradient(self, x: Tensor) -> Tensor:
        """Of the energy; differentiable where `x` is in a graph."""
        if not (x.requires_grad and torch.is_grad_enabled()):
            return energy_gradient(self, x)
        return torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]

    @torch.no_grad()
    def sample(
        self,
        n: int,
        seed: int,
        *,
        steps: int = 1000,
        temperature: float = 4.0,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw images by annealed Langevin dynamics, from a white Gaussian over the value range.

        The temperature falls by the same factor in each of the first half of the steps, down to one. The
        images have the noise `sigma` of the density; ``prior.denoise(x, prior.sigma)`` takes it from them
        (Saremi and Hyvarinen 2019).

        Parameters
        ----------
        n : int
        seed : int
            Sample i follows from seed + i alone.
        steps : int
        temperature : float
            At the start, at least one.
        device : torch.device or str, optional
            Of the computation and of the random numbers, which are others on a GPU.

        Returns
        -------
        tensor, shape (n, *image)
        """
        n, steps = as_count(n, "n, the number of images,"), as_count(steps, "steps")
        if not 1 <= temperature < math.inf:
            raise ParameterError(f"The temperature falls from at least one; got {temperature}.")
        images = self.image_format
        like = torch.empty(n, *cast(tuple[int, ...], images.shape), device=device)
        draws = Draws(range(seed, seed + n), device=like.device)
        x = draws(images.to_network(like))
        delta = self._delta
        # a generator draws many numbers as fast as a few
        block = max(1, min(steps, _NUMBERS // x[0].numel()))
        for k in range(steps):
            if k % block == 0:
                noise = draws(x[:, None].expand(-1, block, -1, -1, -1)).unbind(1)
            hot = temperature ** max(0.0, 1 - 2 * k / steps)
            x = x - delta / hot * _slope(self._network(x), x) + math.sqrt(2 * delta) * noise[k % block]
        return images.from_network(x, like)

    # -- training

    def networks(self) -> dict[str, nn.Module]:
        """The network within its `Chains`, which are state of the training."""
        network = self._followers["network"].module
        shape = _network_shape(self.image_format)
        return {"network": Chains(network, shape, self.chains, self.langevin_steps, self._delta)}

    def with_networks(self, networks: Mapping[str, nn.Module]) -> Self:
        """The same model with the weights that `Chains` have learned."""
        return super().with_networks({"network": cast(Chains, networks["network"]).network})

    def lessons(self) -> Mapping[str, Lesson]:
        """Contrastive divergence."""
        return {"network": Lesson(self.loss, betas=(0.5, 0.99))}

    def loss(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """Mean energy of images less that of samples, whose gradient is that of the log-likelihood.

        ``E_data[dE] - E_model[dE]``, Hinton (2002), eq. 3; with ``magnitude E^2`` of both, which keeps
        energies near zero, Du and Mordatch (2019), algorithm 1; and with ``spectral / 2`` times the squared
        spectral norm of each weight, Yoshida and Miyato (2017), eq. 3, which keeps the energy smooth away
        from the data.
        """
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        network = networks["network"]
        real, drawn = network(images + self.sigma / self.image_format.unit[1] * noise, generator)
        total = real.mean() - drawn.mean()
        total = total + self.magnitude * (real.square().mean() + drawn.square().mean())
        matrices = [w.flatten(1) for w in network.parameters() if w.ndim > 1]
        norms = [torch.linalg.matrix_norm(w, 2).square() for w in matrices]
        return total + self.spectral / 2 * sum(norms)

    @property
    def _delta(self) -> float:
        """Langevin steps in the network's unit."""
        return self.step_size * (self.sigma / self.image_format.unit[1]) ** 2

    def _networks(self) -> dict[str, nn.Module]:
        return {"network": self._followers["network"].module}

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return ("sigma", "step_size", "langevin_steps", "chains", "magnitude", "spectral")

    def _format_header(self) -> dict[str, Any]:
        # the noise range follows from the parameters
        return replace(self.image_format, noise_range=None).header()

    def __repr__(self) -> str:
        images = self.image_format
        return f"EnergyModel({images.shape}, values {images.value_range}, sigma {self.sigma:g})"


class Chains(nn.Module):
    """An energy with the Markov chains that draw from it while it learns, the replay buffer.

    They are a registered buffer, so that a training that is resumed goes on with the same chains.

    Parameters
    ----------
    network : torch.nn.Module
    shape : (C, H, W)
    count : int
        Of the chains.
    steps : int
        Langevin steps that a chain takes at a time.
    delta : float
        Their length.
    """

    def __init__(
        self, network: nn.Module, shape: tuple[int, ...], count: int, steps: int, delta: float
    ) -> None:
        super().__init__()
        self.network, self.steps, self.delta = network, steps, delta
        start = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
        self.register_buffer("images", start)

    def forward(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Energies of images and of as many chains after some steps of theirs, each ``(N,)``.

        In training the chains go on from where they are. In evaluation each begins at an image, as in
        Hinton (2002), and nothing is kept.
        """
        buffer, n = cast(Tensor, self.images), len(images)
        device = images.device
        if self.training:
            chosen = torch.randint(len(buffer), (n,), generator=generator, device=device)
            renewed = torch.rand(n, generator=generator, device=device) < _RENEWED
            anew = torch.randn(images.shape, generator=generator, device=device)
            x = torch.where(renewed.reshape(-1, 1, 1, 1), anew, buffer[chosen])
        else:
            x = images.detach()
        for _ in range(self.steps):
            noise = torch.randn(images.shape, generator=generator, device=device)
            x = x - self.delta * _slope(self.network, x) + math.sqrt(2 * self.delta) * noise
        if self.training:
            buffer[chosen] = x
        return self.network(images), self.network(x)


def _slope(network: nn.Module, x: Tensor) -> Tensor:
    """Gradient of the energy in the network's unit."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        return torch.autograd.grad(network(at).sum(), at)[0]


def _network_shape(images: ImageFormat) -> tuple[int, ...]:
    """Of an image, as the network sees it."""
    shape = cast(tuple[int, ...], images.shape)
    return (1,) * (3 - len(shape)) + shape
