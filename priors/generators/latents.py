"""Generators: images that a map makes of latent variables; what all of them have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from invgen.core.checks import as_count
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.core.space import check_finite
from invgen.priors.base import with_density
from invgen.priors.generators.stages import Stage, stages_of
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.following import in_parts

__all__ = ["LatentGenerator", "NormalLatents", "as_latent_shape"]


class _NoDensityError(CapabilityError, AttributeError):
    """``log_prob`` is asked of a generator, whose images have no density that is known."""


class LatentGenerator:
    """Base of generators: latent variables are checked once, with any batch axes, and decoded in parts.

    A subclass gives `image_format` with a shape, `latent_shape`, and ``_decode(z)``: images in their own unit
    of latent variables ``(N, *latent_shape)``, as ``(N, *image)``, ``(N, 1, *image)`` or rows ``(N, n)``. One
    whose decoder is a network gives that, by ``_decoder``, and ``_decoded(outputs)`` instead: it has stages,
    and weights that can be tuned.
    """

    latent_shape: tuple[int, ...]

    @property
    def image_format(self) -> ImageFormat:
        """The images that it makes."""
        raise NotImplementedError

    def _decoder(self, like: Tensor) -> nn.Module:
        """The network from latent variables to `_decoded`, on the device of a tensor and in its precision.

        Raises
        ------
        CapabilityError
            Where there is none.
        """
        raise CapabilityError(
            f"{type(self).__name__} has no network whose stages and weights are known. Give a "
            "torch.nn.Module to priors.from_module, such as torch.nn.Sequential of its layers."
        )

    def _decoded(self, outputs: Tensor) -> Tensor:
        """Images in their own unit, of what the network returns."""
        raise NotImplementedError

    def _outputs(self, z: Tensor) -> Tensor:
        """What the network returns."""
        found: Tensor = self._decoder(z)(z)
        return found

    def _decode(self, z: Tensor) -> Tensor:
        return self._decoded(self._outputs(z))

    def stages(self, like: Tensor) -> list[Stage]:
        """Successive maps of batches ``(N, ...)`` whose composition decodes, the last to ``(N, *image)``.

        In the precision of the tensor `like`, and on its device. A ``torch.nn.Sequential`` has one for each
        layer with parameters; see `invgen.priors.generators.stages.stages_of`.

        Raises
        ------
        CapabilityError
            Where the network is not known.
        """
        *first, last = stages_of(self._decoder(like))
        return [*first, lambda x: self._decoded(last(x)).reshape(len(x), *self._image_shape)]

    def weights(self, like: Tensor) -> dict[str, Tensor]:
        """The weights of the decoder by name, which `decode_with` takes, changed or not.

        Raises
        ------
        CapabilityError
            Where the network is not known.
        """
        return dict(self._decoder(like).named_parameters())

    def decode_with(self, weights: Mapping[str, Tensor], z: Tensor) -> Tensor:
        """`decode` with other weights of the network; differentiable with respect to these, too."""
        batch = self._batch(z, "decode_with")
        flat = z.reshape(-1, *self.latent_shape)
        outputs = functional_call(self._decoder(z), dict(weights), (flat,))
        return self._decoded(outputs).reshape(*batch, *self._image_shape)

    @property
    def _image_shape(self) -> tuple[int, ...]:
        shape = self.image_format.shape
        assert shape is not None
        return shape

    def decode(self, z: Tensor) -> Tensor:
        """Images ``(*batch, *image)`` of latent variables ``(*batch, *latent_shape)``, differentiable.

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where z is not a tensor of such latent variables, or holds NaN or infinities; where the network
            returns other images than those of `image_format`.
        """
        batch = self._batch(z, "decode")
        shape = self._image_shape
        if not z.numel():
            return z.new_zeros((*batch, *shape))
        flat = z.reshape(-1, *self.latent_shape)
        images = in_parts(self._decode, flat, numbers=math.prod(shape))
        if tuple(images.shape[1:]) not in (shape, (1, *shape), (math.prod(shape),)) or len(images) != len(
            flat
        ):
            raise ShapeError(
                f"The network of {type(self).__name__} returns {tuple(images.shape)} for latent variables "
                f"{tuple(flat.shape)}: these are not images {shape}."
            )
        return images.reshape(*batch, *shape)

    def _batch(self, z: Any, method: str) -> torch.Size:
        """The batch axes of latent variables, once these are checked."""
        who, own = f"{type(self).__name__}.{method}", self.latent_shape
        if not isinstance(z, Tensor):
            raise DtypeError(f"{who} expects a torch.Tensor; got {type(z).__name__}.")
        if z.dtype not in (torch.float32, torch.float64):
            raise DtypeError(f"{who} expects float32 or float64; got {z.dtype}.")
        if tuple(z.shape[max(0, z.ndim - len(own)) :]) != own:
            raise ShapeError(
                f"{who} expects latent variables (*batch, {', '.join(map(str, own))}); got {tuple(z.shape)}."
            )
        check_finite(z, who)
        return z.shape[: z.ndim - len(own)]

    if not TYPE_CHECKING:  # to a type checker, all names would be attributes

        def __getattr__(self, name):
            if name == "log_prob":
                raise _NoDensityError(
                    f"{type(self).__name__} has no log_prob: its images fill a surface in the space of all "
                    f"images, and have no density there; latent_log_prob(z) is that of the latent variables. "
                    f"{with_density()}"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class NormalLatents(LatentGenerator):
    """Base of generators whose latent variables are independent and standard normal."""

    def latent_log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the standard normal density of latent variables, shape of the batch.

        Raises
        ------
        DtypeError, ShapeError, DataError
            See `decode`.
        """
        batch = self._batch(z, "latent_log_prob")
        rows = z.reshape(*batch, math.prod(self.latent_shape))
        return -(rows.square() + math.log(2 * math.pi)).sum(-1) / 2

    def sample(self, n: int, seed: int, *, device: torch.device | str | None = None) -> Tensor:
        """Draw images: decoded standard normal latent variables.

        Parameters
        ----------
        n : int
        seed : int
            Sample i follows from seed + i alone.
        device : torch.device or str, optional
            The device of the computation; the random numbers are the same on each.

        Returns
        -------
        tensor, shape (n, *image)
        """
        n = as_count(n, "n, the number of images,")
        with torch.no_grad():
            return self.decode(
                Draws(range(seed, seed + n))(torch.empty(n, *self.latent_shape, device=device))
            )


def as_latent_shape(latent_shape: Any) -> tuple[int, ...]:
    """The shape of latent variables, of whole numbers.

    Raises
    ------
    ParameterError
    """
    try:
        return tuple(as_count(n, "each side of latent_shape") for n in latent_shape)
    except TypeError:
        raise ParameterError(f"latent_shape is a tuple such as (64,); got {latent_shape!r}.") from None
