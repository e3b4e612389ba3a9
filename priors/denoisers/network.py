"""Networks as denoisers."""

from __future__ import annotations

import math

import torch
from torch import nn

from invgen.core.checks import as_count
from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Frozen
from invgen.core.late import fails
from invgen.priors.base import Denoising
from invgen.priors.image_format import ImageFormat
from invgen.priors.nets.following import Following, in_parts

__all__ = ["NetworkDenoiser"]

_NOISE = ("argument", "channel", "none")


class NetworkDenoiser(Denoising, Frozen):
    """Any network that removes white noise from images.

    The network is copied once, in evaluation mode, and the copy follows the images' device and precision: the
    user's network stays as it is, in whatever mode, and may be trained on meanwhile. It is called with
    tensors ``(N, C, H, W)`` and without a graph for its parameters, so that derivatives with respect to the
    image, where they are wanted, cost no more than that. Complex images are two real ones.

    Parameters
    ----------
    module : torch.nn.Module
    sigma_range : pair of numbers
        Noise levels that it was trained for, in units of `value_range`; others are refused.
    noise : {"argument", "channel", "none"}
        How it gets the level: ``module(x, sigma)`` with sigma of the shape ``(N,)``; as one more channel that
        holds it everywhere, as DRUNet expects (Zhang et al. 2021, sec. III-A); or not at all, where it is
        blind or trained for one level.
    value_range : pair of numbers
        Least and largest value of its images. Plug-and-play solvers scale problems to it and the result back.
    channels : int, optional
        C, for images ``(C, H, W)``; by default images are ``(H, W)`` and have one.
    multiple : int
        H and W are padded by reflection to multiples of this, as networks with poolings need, and cropped
        after.

    Raises
    ------
    ParameterError
        From `denoise`, for a sigma outside of `sigma_range`.
    ShapeError
        From `denoise`, for another number of channels, images too small to be reflected, or a network that
        returns another shape than it takes.
    """

    def __init__(
        self,
        module: nn.Module,
        sigma_range: tuple[float, float],
        *,
        noise: str = "argument",
        value_range: tuple[float, float] = (0.0, 1.0),
        channels: int | None = None,
        multiple: int = 1,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise DtypeError(f"NetworkDenoiser expects a torch.nn.Module; got {type(module).__name__}.")
        low, high = sigma_range
        if not 0 <= low <= high < math.inf:
            raise ParameterError(f"sigma_range is a pair of noise levels, low to high; got {sigma_range}.")
        if noise not in _NOISE:
            raise ParameterError(f"noise is one of {', '.join(_NOISE)}; got {noise!r}.")
        self.sigma_range, self.noise = (float(low), float(high)), noise
        self.multiple = as_count(multiple, "multiple")
        self._image_format = ImageFormat(
            channels=channels,
            value_range=value_range,
            # samplers anneal the noise level down to its lower end, which must not be zero
            noise_range=(max(float(low), 1e-3 * float(high)), float(high)),
            axes=2 if channels is None else 3,
        )
        self._network = Following(module)

    @property
    def image_format(self) -> ImageFormat:
        """Channels, value range and noise levels of its images."""
        return self._image_format

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if x.is_complex():
            # one call for both parts: the network sees them as a batch
            return torch.complex(*self._denoise(torch.stack([x.real, x.imag]), sigma[None]))
        images = self._image_format
        levels = sigma.expand(*images.batch_shape(x), *(1,) * images.axes).reshape(-1)
        return images.as_images(in_parts(self._call, images.as_channels(x), levels), x)

    def _check_level(self, level: torch.Tensor) -> None:
        low, high = self.sigma_range
        # a level at the end of the range, in single precision, may be beyond it by rounding
        slack = 1e-6 * high
        if fails((level >= low - slack) & (level <= high + slack)):
            least, largest = self._image_format.value_range or (0.0, 1.0)
            raise ParameterError(
                f"The network was trained for sigma from {low:g} to {high:g}, with images from {least:g} to "
                f"{largest:g}; got sigma from {float(level.min()):g} to {float(level.max()):g}. Scale images "
                "and sigma alike, or take another network."
            )

    def _call(self, images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Denoise (N, C, H, W) of levels (N,)."""
        network, padded = self._network.like(images), self._padded(images)
        if self.noise == "argument":
            result = network(padded, levels)
        elif self.noise == "channel":
            level_map = levels.reshape(-1, 1, 1, 1).expand(-1, 1, *padded.shape[-2:])
            result = network(torch.cat([padded, level_map], dim=1))
        else:
            result = network(padded)
        if not isinstance(result, torch.Tensor) or result.shape != padded.shape:
            shape = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
            raise ShapeError(
                f"The network returns {shape} for images {tuple(padded.shape)}, not the same shape."
            )
        result = result[..., : images.shape[-2], : images.shape[-1]]
        return result.clone() if result.data_ptr() == images.data_ptr() else result

    def _padded(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        if down >= height or right >= width:
            raise ShapeError(
                f"Images of {height} x {width} pixels are too small to be padded to multiples of "
                f"{self.multiple}."
            )
        if not (down or right):
            return images
        return nn.functional.pad(images, (0, right, 0, down), mode="reflect")

    def __repr__(self) -> str:
        low, high = self.sigma_range
        return f"NetworkDenoiser({self._network.name}, sigma {low:g} to {high:g})"
