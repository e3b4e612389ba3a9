"""Networks as denoisers."""

from __future__ import annotations

import math

import torch
from torch import nn

from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Frozen
from invgen.priors.base import Denoising
from invgen.priors.nets.following import Following, in_parts

__all__ = ["NetworkDenoiser"]

_NOISE = ("argument", "channel", "none")


class NetworkDenoiser(Denoising, Frozen):
    """Any network that takes white noise out of images.

    The network is copied, set to evaluation and follows the images' device and precision; it is called with
    tensors ``(N, C, H, W)`` and without a graph for its parameters, so that derivatives with respect to the
    image, where they are wanted, cost no more than that. Complex images are two real ones.

    Parameters
    ----------
    module : torch.nn.Module
    sigma_range : pair of numbers
        Noise levels that it was trained for, in units of `value_range`; others are refused.
    noise : {"argument", "channel", "none"}
        How it is told the level: ``module(x, sigma)`` with sigma of the shape ``(N,)``; as one more channel
        that holds it everywhere, as DRUNet expects (Zhang et al. 2021, sec. III-A); or not at all, being
        blind or trained for one.
    value_range : pair of numbers
        What its images lie in. Plug-and-play solvers scale problems into it and the result back.
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
        gives another shape than it takes.
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
        if not -math.inf < value_range[0] < value_range[1] < math.inf or not value_range[1] > 0:
            raise ParameterError(
                f"value_range is a pair of numbers, the last one positive; got {value_range}."
            )
        for name, number in (("channels", 1 if channels is None else channels), ("multiple", multiple)):
            if not (isinstance(number, int) and number >= 1):
                raise ParameterError(f"{name} is a positive number; got {number!r}.")
        self.sigma_range, self.noise = (float(low), float(high)), noise
        self.value_range: tuple[float, float] = (float(value_range[0]), float(value_range[1]))
        self.channels, self.multiple = channels, multiple
        self._network = Following(module)

    @property
    def noise_range(self) -> tuple[float, float]:
        """Noise levels that samplers come down from and to, in the unit of the images."""
        low, high = self.sigma_range
        return max(low, 1e-3 * high), high

    @property
    def _image_axes(self) -> int:
        return 2 if self.channels is None else 3

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if x.is_complex():
            # one call for both parts: the network sees them as a batch
            return torch.complex(*self._denoise(torch.stack([x.real, x.imag]), sigma[None]))
        low, high = self.sigma_range
        # a level at the end of the range, in single precision, may be beyond it by rounding
        slack = 1e-6 * high
        if bool(((sigma < low - slack) | (sigma > high + slack)).any()):
            raise ParameterError(
                f"The network was trained for sigma from {low:g} to {high:g}, with images from "
                f"{self.value_range[0]:g} to {self.value_range[1]:g}; got sigma from {float(sigma.min()):g} "
                f"to {float(sigma.max()):g}. Scale images and sigma alike, or take another network."
            )
        channels = 1 if self.channels is None else self.channels
        if self.channels is not None and x.shape[-3] != channels:
            raise ShapeError(f"The network takes images ({channels}, H, W); got {tuple(x.shape)}.")
        images = x.reshape(-1, channels, *x.shape[-2:])
        axes = self._image_axes
        levels = sigma.expand(*x.shape[:-axes], *(1,) * axes).reshape(-1)
        return in_parts(self._call, images, levels).reshape(x.shape)

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
                f"The network makes {shape} of images {tuple(padded.shape)}, not the same shape."
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
