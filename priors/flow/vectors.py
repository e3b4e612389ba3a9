"""Flows of vectors: those of zuko, an optional package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import ShapeError
from invgen.priors.flow.latents import check_latents, check_temperature
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.zuko_flow import ZukoFlow
from invgen.priors.trainable import Lesson, Trainable, seeded

__all__ = ["VectorFlow"]


class VectorFlow(Trainable):
    """A normalizing flow of vectors ``(D,)``, any of zuko: a `Generator`, a `Density` and a `Sampler`.

    Needs the package zuko: ``pip install 'invgen[flows]'``.

    Parameters
    ----------
    network : ZukoFlow
    image_format : ImageFormat
        Of the shape ``(D,)``. Its value range gives the unit of the network, and has to hold all vectors that
        it is trained on; the density goes beyond it.

    Raises
    ------
    ShapeError
    """

    family = "vector-flow"

    def __init__(self, network: nn.Module, image_format: ImageFormat) -> None:
        if image_format.shape is None or len(image_format.shape) != 1:
            raise ShapeError("A VectorFlow is of vectors of one shape (D,).")
        super().__init__(image_format, network=network)

    @classmethod
    def untrained(
        cls,
        shape: tuple[int, ...],
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        flow: str = "NSF",
        seed: int = 0,
        **options: Any,
    ) -> Self:
        """A flow to be trained.

        Parameters
        ----------
        shape : tuple of one int
            ``(D,)``, of the vectors.
        value_range : pair of float
            Least and largest number in the vectors of the training.
        flow : str
            Name of a class of `zuko.flows`, such as "NSF", "MAF", "RealNVP", "GF".
        seed : int
        **options
            Of that class, as JSON can hold them: ``transforms=5, hidden_features=[128, 128]``.

        Raises
        ------
        CapabilityError
            Without zuko.
        ParameterError, ShapeError
        """
        if len(shape) != 1:
            raise ShapeError(f"A VectorFlow is of vectors (D,); got the shape {shape}.")
        images = ImageFormat(shape, field="real", value_range=value_range)
        return cls(seeded(ZukoFlow, seed, shape[0], flow, options), images)

    def lessons(self) -> Mapping[str, Lesson]:
        """The network learns by maximum likelihood."""
        return {"network": Lesson(self.loss)}

    def loss(self, networks: Mapping[str, nn.Module], images: Tensor, generator: torch.Generator) -> Tensor:
        """Minus the mean log density of vectors ``(N, 1, 1, D)`` in the unit of the network."""
        return -networks["network"](images.flatten(1)).mean()

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """That of the vectors."""
        assert self.image_format.shape is not None
        return self.image_format.shape

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the density of vectors ``(*batch, D)``, in their unit; shape of the batch.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        self.image_format.check(x, "VectorFlow.log_prob")
        center, half = self.image_format.unit
        return self._network(x)((x - center) / half) - x.shape[-1] * math.log(half)

    def encode(self, x: Tensor) -> Tensor:
        """Latents of vectors, of their shape; the inverse of `decode`.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        self.image_format.check(x, "VectorFlow.encode")
        center, half = self.image_format.unit
        return self._network(x).encode((x - center) / half)

    def decode(self, z: Tensor) -> Tensor:
        """Vectors of latents; the inverse of `encode`.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        check_latents(z, self.latent_shape, "VectorFlow.decode")
        center, half = self.image_format.unit
        return self._network(z).decode(z) * half + center

    def latent_log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of latents, shape of the batch: standard normal in nearly all flows."""
        check_latents(z, self.latent_shape, "VectorFlow.latent_log_prob")
        return self._network(z).latent_log_prob(z)

    def sample(
        self, n: int, seed: int, *, temperature: float = 1.0, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw vectors ``(n, D)``: number i follows from seed + i alone.

        Parameters
        ----------
        n, seed : int
        temperature : float
            Standard deviation of the latents.
        device : torch.device or str, optional
            Of the computation; the random numbers are the same on each.
        """
        n = as_count(n, "n, the number of vectors,")
        check_temperature(temperature)
        z = Draws(range(seed, seed + n))(torch.empty(n, *self.latent_shape, device=device))
        with torch.no_grad():
            return self.decode(temperature * z)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.image_format.shape}, values {self.image_format.value_range})"
