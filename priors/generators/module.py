"""Any network, or function, as a generator."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from invgen.core.errors import CapabilityError, DtypeError, InvgenError, ParameterError, ShapeError
from invgen.core.frozen import Frozen
from invgen.priors.generators.latents import LatentGenerator, NormalLatents, as_latent_shape
from invgen.priors.image_format import ImageFormat
from invgen.priors.learned import Contents, Learned
from invgen.priors.nets.evaluation import Evaluation, Networked
from invgen.priors.nets.following import Following

__all__ = ["ModuleGenerator", "from_module"]


class _Decoder:
    """A network, copied, or a function as it is, whose values are in a range of their own."""

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        image_format: ImageFormat,
        output_range: tuple[float, float] | None,
    ) -> None:
        if not callable(function):
            raise DtypeError(
                f"A decoder is a torch.nn.Module or a function of z; got {type(function).__name__}."
            )
        self.function = Following(function) if isinstance(function, nn.Module) else function
        self.is_complex = image_format.field == "complex"
        output = ImageFormat(field=image_format.field, value_range=output_range or image_format.value_range)
        self.output_range, self.unit, self.output_unit = output.value_range, image_format.unit, output.unit

    @property
    def name(self) -> str:
        """What it is called in messages."""
        function = self.function
        return function.name if isinstance(function, Following) else type(function).__name__

    def __call__(self, z: Tensor) -> Tensor:
        function = self.function.evaluating(z) if isinstance(self.function, Following) else self.function
        return self.images(function(z))

    def evaluated(self, evaluation: Evaluation) -> _Decoder:
        """The same, with the network evaluated in a way.

        Raises
        ------
        CapabilityError
            Of a function.
        """
        if not isinstance(self.function, Following):
            raise CapabilityError(
                "This generator decodes by a function, which decides itself how it computes; evaluated() is "
                "for networks (torch.nn.Module)."
            )
        other = copy.copy(self)
        other.function = self.function.evaluated(evaluation)
        return other

    def images(self, found: Any) -> Tensor:
        """What the function returned, in the unit of the images."""
        if not isinstance(found, Tensor):
            raise DtypeError(f"A decoder returns a tensor of images; got {type(found).__name__}.")
        if self.is_complex and not found.is_complex():
            found = torch.complex(*found.chunk(2, dim=1))
        if self.unit == self.output_unit:
            return found
        (center, half), (own_center, own_half) = self.unit, self.output_unit
        return (found - own_center) * (half / own_half) + center


class _OfFunction(LatentGenerator, Networked):
    """Base of generators that a function of the user's decodes."""

    _decoding: _Decoder

    def _decode(self, z: Tensor) -> Tensor:
        return self._decoding(z)

    def _evaluated(self, evaluation: Evaluation) -> Self:
        other = copy.copy(self)
        other.__dict__["_decoding"] = self._decoding.evaluated(evaluation)
        return other

    def _decoder(self, like: Tensor) -> nn.Module:
        function = self._decoding.function
        return function.like(like) if isinstance(function, Following) else super()._decoder(like)

    def _decoded(self, outputs: Tensor) -> Tensor:
        return self._decoding.images(outputs)


class ModuleGenerator(Learned, _OfFunction, NormalLatents):
    """Any network, or function, of standard normal latent variables; see `from_module`.

    Parameters
    ----------
    decode : torch.nn.Module or callable(z) -> images
    latent_shape : tuple of int
    image_format : ImageFormat
        With shape and value range.
    output_range : pair of float, optional
        What the network returns for the ends of the value range; by default these themselves.
    """

    family = "generator"

    def __init__(
        self,
        decode: Callable[[Tensor], Tensor],
        latent_shape: tuple[int, ...],
        image_format: ImageFormat,
        output_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(image_format)
        self.latent_shape = as_latent_shape(latent_shape)
        self._decoding = _Decoder(decode, image_format, output_range)

    def _networks(self) -> dict[str, nn.Module]:
        if not isinstance(self._decoding.function, Following):
            raise CapabilityError("Files hold networks, and this generator's is a function.")
        return {"network": self._decoding.function.module}

    def _parameters(self) -> dict[str, Any]:
        return {"latent_shape": self.latent_shape, "output_range": self._decoding.output_range}

    @classmethod
    def _built(cls, contents: Contents) -> ModuleGenerator:
        header = contents.header
        network, images = contents.networks["network"], contents.image_format
        return cls(network, header["latent_shape"], images, header["output_range"])

    def __repr__(self) -> str:
        images = self.image_format
        return f"ModuleGenerator({self._decoding.name}, {self.latent_shape} to {images.shape})"


class _OwnLatents(Frozen, _OfFunction):
    """The same with latent variables of a given density, of which no samples can be drawn."""

    def __init__(
        self,
        decode: Callable[[Tensor], Tensor],
        latent_shape: tuple[int, ...],
        image_format: ImageFormat,
        output_range: tuple[float, float] | None,
        log_prob: Callable[[Tensor], Tensor],
    ) -> None:
        self._image_format, self.latent_shape = image_format, as_latent_shape(latent_shape)
        self._decoding = _Decoder(decode, image_format, output_range)
        self._log_prob = log_prob

    @property
    def image_format(self) -> ImageFormat:
        return self._image_format

    def latent_log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of the latent variables, shape of the batch."""
        batch = self._batch(z, "latent_log_prob")
        found = self._log_prob(z)
        if not isinstance(found, Tensor) or found.shape != batch:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ShapeError(
                f"latent_log_prob returns a number for each element of a batch, {tuple(batch)}; it returned "
                f"{shape}."
            )
        return found


def from_module(
    decode: Callable[[Tensor], Tensor],
    latent_shape: tuple[int, ...],
    *,
    value_range: tuple[float, float] = (0.0, 1.0),
    output_range: tuple[float, float] | None = None,
    field: str = "real",
    image_shape: tuple[int, ...] | None = None,
    latent_log_prob: Callable[[Tensor], Tensor] | None = None,
) -> ModuleGenerator | LatentGenerator:
    """A generator of a network of one's own, or of any differentiable function.

    A network is copied once, in evaluation mode, and the copy follows the device and the precision of the
    latent variables; the user's stays as it is. A function is called as it is, the bound method of a network
    too, and device and precision are its own matter.

    Parameters
    ----------
    decode : torch.nn.Module or callable
        Of latent variables ``(N, *latent_shape)``; it returns images ``(N, C, H, W)``, ``(N, 1, H, W)`` or
        ``(N, H, W)`` for images ``(H, W)``, or rows ``(N, n)`` where `image_shape` is given. For complex
        images complex ones, or the real channels and then the imaginary ones.
    latent_shape : tuple of int
    value_range : pair of float
        Least and largest value of the images.
    output_range : pair of float, optional
        What `decode` returns for these: ``(-1, 1)`` where its last layer is a tanh. By default they are the
        same.
    field : {"real", "complex"}
    image_shape : tuple of int, optional
        ``(H, W)`` or ``(C, H, W)``; by default found by one call of `decode`, in float32 on the CPU.
    latent_log_prob : callable(z) -> tensor of the batch's shape, optional
        Logarithm of the density of the latent variables ``(*batch, *latent_shape)``; by default they are
        independent and standard normal. Of a density that is given no samples can be drawn.

    Returns
    -------
    ModuleGenerator
        A `Generator` and `Sampler`; with `latent_log_prob` a `Generator` only. Where the network is one of
        `invgen.priors.nets.ARCHITECTURES` it has a file: ``from_module(MLP(...), ...).save(path)``.

    Raises
    ------
    DtypeError, ParameterError, ShapeError
        Where `decode` is no function, takes no such latent variables, or does not return such images.
    """
    latent_shape = as_latent_shape(latent_shape)
    if field not in ("real", "complex"):
        raise ParameterError(f"field is 'real' or 'complex'; got {field!r}.")
    axes = 0 if image_shape is None else len(image_shape)
    if image_shape is not None and axes not in (2, 3):
        raise ShapeError(f"image_shape is (H, W) or (C, H, W); got {image_shape}.")
    unit = ImageFormat(field=field, value_range=value_range)
    shape = _found(_Decoder(decode, unit, output_range), latent_shape) if image_shape is None else image_shape
    images = ImageFormat(shape, shape[0] if len(shape) == 3 else None, field, value_range)
    if latent_log_prob is None:
        return ModuleGenerator(decode, latent_shape, images, output_range)
    return _OwnLatents(decode, latent_shape, images, output_range, latent_log_prob)


def _found(decoder: _Decoder, latent_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the images, by one call."""
    try:
        with torch.no_grad():
            found = decoder(torch.zeros(1, *latent_shape))
    except InvgenError:
        raise
    except (RuntimeError, IndexError, TypeError) as error:
        raise ShapeError(
            f"{decoder.name} does not take latent variables (1, {', '.join(map(str, latent_shape))}): {error}"
        ) from error
    shape = tuple(found.shape[1:])
    if len(found) != 1 or len(shape) not in (2, 3):
        raise ShapeError(
            f"{decoder.name} returns {tuple(found.shape)} for one set of latent variables: that is no image "
            "(1, C, H, W) or (1, H, W). Give image_shape where it returns rows."
        )
    return shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
