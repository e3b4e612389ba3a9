"""Diffusion models: images from a network that takes noise out of them."""

from __future__ import annotations

import copy
import math
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Frozen
from invgen.priors.base import Denoising
from invgen.priors.diffusion.reverse import SAMPLERS, Estimate, flow_log_prob, noise_levels
from invgen.priors.files.checkpoints import write
from invgen.priors.nets import ARCHITECTURES, EDM
from invgen.priors.nets.following import Following, in_parts
from invgen.priors.nets.positions import positions

__all__ = ["Diffusion", "as_channels", "as_images"]


class Diffusion(Denoising, Frozen):
    """A learned density of images, known by its denoiser ``D(x, sigma)`` at every noise level.

    Sohl-Dickstein et al. (2015), Ho, Jain and Abbeel (2020), Song et al. (2021), in the terms of Karras et
    al. (2022). The network sees images whose `value_range` has become -1 to 1, as real channels
    ``(N, C, H, W)``; what goes in and out here are images in their own units, of any batch axes, real or
    complex.

    Parameters
    ----------
    network : torch.nn.Module
        ``D(x, sigma, label, extra)``, such as `invgen.priors.nets.EDM`: sigma and label of the shape
        ``(N,)``, extra channels or None.
    image_shape : tuple of int, optional
        ``(H, W)`` or ``(C, H, W)``, for a network of one size. One of any size has None.
    channels : int, optional
        C where images are ``(C, H, W)``; by default they are ``(H, W)``. Follows from `image_shape`.
    value_range : pair of float
        What images lie in. For complex images their real and imaginary parts do: minus to plus its second.
    field : {"real", "complex"}
    positioned : bool
        Whether the network is told where in the image each pixel lies: its prior is not the same everywhere,
        Hu et al. (2024). It was trained by patches, and is applied to whole images, of any size.
    classes : int
        How many kinds of images it was told apart.
    sigma_data : float
        Root mean square of the images in the network's units.
    sigma_range : pair of float
        Noise levels from which to which samples are made, in the network's units.
    """

    def __init__(
        self,
        network: nn.Module,
        image_shape: tuple[int, ...] | None = None,
        *,
        channels: int | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        field: str = "real",
        positioned: bool = False,
        classes: int = 0,
        sigma_data: float = 0.5,
        sigma_range: tuple[float, float] = (0.002, 80.0),
    ) -> None:
        if not isinstance(network, nn.Module):
            raise DtypeError(f"Diffusion expects a torch.nn.Module; got {type(network).__name__}.")
        if image_shape is not None and len(image_shape) not in (2, 3):
            raise ShapeError(f"image_shape is (H, W) or (C, H, W); got {image_shape}.")
        if not -math.inf < value_range[0] < value_range[1] < math.inf or value_range[1] <= 0:
            raise ParameterError(f"value_range is a pair of numbers, the last positive; got {value_range}.")
        if field not in ("real", "complex"):
            raise ParameterError(f"field is 'real' or 'complex'; got {field!r}.")
        if not 0 < sigma_range[0] < sigma_range[1] < math.inf:
            raise ParameterError(f"sigma_range is a pair of noise levels, low to high; got {sigma_range}.")
        self.image_shape = None if image_shape is None else tuple(image_shape)
        whole = image_shape is not None and len(image_shape) == 3
        self.channels = image_shape[0] if whole and image_shape is not None else channels
        self.value_range: tuple[float, float] = (float(value_range[0]), float(value_range[1]))
        self.field, self.positioned, self.classes = field, positioned, classes
        self.sigma_data, self.sigma_range = float(sigma_data), (float(sigma_range[0]), float(sigma_range[1]))
        self.label: int | None = None
        self._network = Following(network)

    def of_class(self, label: int | None) -> Diffusion:
        """The density of one kind of images, or with None that of all of them."""
        if label is not None and not 0 <= label < self.classes:
            raise ParameterError(f"The classes are 0 to {self.classes - 1}; got {label!r}.")
        other = copy.copy(self)
        other.__dict__["label"] = label
        return other

    @property
    def noise_range(self) -> tuple[float, float]:
        """Noise levels that samplers come down from and to, in the unit of the images."""
        half = self._unit[1]
        return half * self.sigma_range[0], half * self.sigma_range[1]

    @property
    def spread(self) -> float:
        """Root mean square of the images around the middle of their range, in their unit."""
        return self._unit[1] * self.sigma_data

    @property
    def _image_axes(self) -> int:
        return 2 if self.channels is None else 3

    @property
    def _unit(self) -> tuple[float, float]:
        """Middle and half width of the images' range: zero and one in the network's units."""
        low, high = self.value_range
        return (0.0, high) if self.field == "complex" else ((low + high) / 2, (high - low) / 2)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.is_complex() != (self.field == "complex"):
            raise DtypeError(f"This prior is one of {self.field} images; got {x.dtype}.")
        shape = tuple(x.shape[x.ndim - self._image_axes :])
        if self.image_shape is not None and shape != self.image_shape:
            raise ShapeError(f"This prior is one of images {self.image_shape}; got {shape}.")
        if self.channels is not None and shape[0] != self.channels:
            raise ShapeError(f"This prior is one of images ({self.channels}, H, W); got {shape}.")
        if x.numel() == 0:
            return x.clone()
        middle, half = self._unit
        batch = x.shape[: x.ndim - self._image_axes]
        levels = sigma.expand(*batch, *(1,) * self._image_axes).reshape(-1) / half
        seen = (as_channels(x, self._image_axes) - middle) / half
        extra = None
        if self.positioned:
            extra = positions(seen.shape[-2], seen.shape[-1], seen).expand(len(seen), -1, -1, -1)
        label = None
        if self.classes:
            label = torch.full((len(seen),), -1 if self.label is None else self.label, device=seen.device)
        found = in_parts(self._network.like(seen), seen, levels, label, extra)
        return as_images(found * half + middle, x)

    def save(self, path: str | PathLike[str], *, dtype: torch.dtype | None = None, **card: Any) -> None:
        """Write the prior to a safetensors file, for `invgen.priors.load`.

        Parameters
        ----------
        path : path
        dtype : torch.dtype, optional
            Precision in the file, such as torch.float16.
        **card
            What a reader should know, as JSON can hold it: ``data="..."``, ``quality={...}``.
        """
        network = self._network.module
        if not (isinstance(network, EDM) and type(network.network).__name__ in ARCHITECTURES):
            raise CapabilityError(
                f"Files hold EDM(network) with a network of {', '.join(ARCHITECTURES)}; this one is "
                f"{type(network).__name__}."
            )
        inner: Any = network.network
        header = {
            "architecture": {"name": type(inner).__name__, **inner.config},
            "image_shape": self.image_shape,
            "channels": self.channels,
            "value_range": self.value_range,
            "field": self.field,
            "positioned": self.positioned,
            "classes": self.classes,
            "sigma_data": self.sigma_data,
            "sigma_range": self.sigma_range,
        }
        write(path, "diffusion", inner.state_dict(), {**card, **header}, dtype)

    @classmethod
    def from_file(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Diffusion:
        """The prior that `save` wrote, from what `invgen.priors.files.checkpoints.read` gives."""
        architecture = dict(header["architecture"])
        network = ARCHITECTURES[architecture.pop("name")](**architecture)
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
        shape = header["image_shape"]
        return cls(
            EDM(network, header["sigma_data"]),
            None if shape is None else tuple(shape),
            **{name: header[name] for name in ("channels", "field", "positioned", "classes", "sigma_data")},
            value_range=tuple(header["value_range"]),
            sigma_range=tuple(header["sigma_range"]),
        )

    def sample(
        self,
        n: int,
        seed: int,
        *,
        image_shape: tuple[int, ...] | None = None,
        steps: int = 32,
        method: str = "heun",
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw images from the prior.

        Parameters
        ----------
        n : int
        seed : int
            Sample i follows from seed + i alone.
        image_shape : tuple of int, optional
            For a prior of images of any size.
        steps : int
            Noise levels; "heun" evaluates the network twice for each.
        method : {"heun", "ancestral", "predictor-corrector"}
            See `invgen.priors.diffusion.reverse`.
        device : torch.device or str, optional
            Where; what is drawn is the same.

        Returns
        -------
        tensor, shape (n, *image)
        """
        shape = image_shape or self.image_shape
        if shape is None:
            raise ParameterError("This prior is one of images of any size: give image_shape.")
        if method not in SAMPLERS:
            raise ParameterError(f"method is one of {', '.join(SAMPLERS)}; got {method!r}.")
        middle = self._unit[0]
        levels = noise_levels(steps, *self.noise_range)
        dtype = torch.complex64 if self.field == "complex" else torch.float32
        draws = Draws(range(seed, seed + n))
        gray = torch.full((n, *shape), middle, dtype=dtype, device=device)
        with torch.no_grad():
            # of images in so much noise little is seen but their mean
            start = self.denoise(gray, levels[0]) + levels[0] * draws(gray)
            return SAMPLERS[method](self.denoise, start, levels, draws)

    def log_prob_estimate(self, x: Tensor, *, steps: int = 40, probes: int = 4, seed: int = 0) -> Estimate:
        """Logarithm of the density of images, and the standard error of its estimate.

        Along the probability flow, with the noise of the lowest level of `sigma_range`; see
        `invgen.priors.diffusion.reverse.flow_log_prob`.

        Parameters
        ----------
        x : real tensor, shape (*batch, *image)
        steps, probes, seed
            Of the integration, and of Hutchinson's estimate of its divergence.
        """
        if self.field == "complex":
            raise CapabilityError("The density is written for real images.")
        batch = x.shape[: x.ndim - self._image_axes]
        found = flow_log_prob(
            self.denoise,
            x.reshape(-1, *x.shape[len(batch) :]),
            *self.noise_range,
            spread=self.spread,
            steps=steps,
            probes=probes,
            seed=seed,
        )
        return Estimate(*(values.reshape(batch) for values in found))

    def log_prob(self, x: Tensor) -> Tensor:
        """The value of `log_prob_estimate`."""
        return self.log_prob_estimate(x).value

    def __repr__(self) -> str:
        size = "any size" if self.image_shape is None else f"{self.image_shape}"
        return f"Diffusion({self._network.name}, {size}, {self.field}, values {self.value_range})"


def as_channels(x: Tensor, axes: int) -> Tensor:
    """Images of any batch as real channels ``(N, C, H, W)``: real parts first, then imaginary ones."""
    x = x.reshape(-1, *(x.shape[x.ndim - axes :] if axes == 3 else (1, *x.shape[-2:])))
    return torch.cat([x.real, x.imag], dim=1) if x.is_complex() else x


def as_images(channels: Tensor, like: Tensor) -> Tensor:
    """The other way, in the shape of `like`."""
    if like.is_complex():
        channels = torch.complex(*channels.chunk(2, dim=1))
    return channels.reshape(like.shape)
