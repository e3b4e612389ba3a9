"""What images a prior is made for: one object that solvers, commands and files ask."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.core.late import fails
from invgen.core.space import check_finite

__all__ = ["ImageFormat", "format_of"]

#: Precisions that priors take.
_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


@dataclass(frozen=True)
class ImageFormat:
    """The images that a prior is made for. Each entry is None where any will do, or where it is unknown.

    Priors report theirs as ``prior.image_format``; `format_of` asks any object. It also maps images to the
    channels that a network sees, and back: real tensors ``(N, C, H, W)``, of complex images the real channels
    and then the imaginary ones, in units in which `value_range` is -1 to 1.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape of one image, without batch axes.
    channels : int, optional
        C, for images ``(C, H, W)`` of any size. Images without this axis have None.
    field : {"real", "complex"}, optional
    value_range : pair of float, optional
        Least and largest value of the images, the last positive. For complex images it is that of the real
        and of the imaginary part, from minus to plus the second number.
    noise_range : pair of float, optional
        Lowest and highest noise level that the prior denoises, in the unit of the images.
    std : float, optional
        Standard deviation of a pixel over all images, in their unit: the root mean square of their distance
        from the mean. For complex images that of the real and of the imaginary part.
    axes : int
        Number of axes of an image: it follows from `shape` and `channels` where these are given. Zero for
        priors of arrays with any number of axes.
    levels : int, optional
        Number of equidistant values that a pixel can take, the ends of `value_range` among them: 256 for
        images of 8 bits. The densities of such priors are probabilities of images; those of others are
        densities of real numbers.

    Raises
    ------
    ParameterError, ShapeError
        Where the entries are out of range, or contradict each other.
    """

    shape: tuple[int, ...] | None = None
    channels: int | None = None
    field: str | None = None
    value_range: tuple[float, float] | None = None
    noise_range: tuple[float, float] | None = None
    std: float | None = None
    axes: int = 0
    levels: int | None = None

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)
        if self.shape is not None:
            keep("shape", tuple(as_count(n, "each side of image_shape") for n in self.shape))
        if self.channels is not None:
            keep("channels", as_count(self.channels, "channels"))
        if self.field not in (None, "real", "complex"):
            raise ParameterError(f"field is 'real' or 'complex'; got {self.field!r}.")
        if self.value_range is not None:
            low, high = pair = _pair(self.value_range, "value_range")
            if not (-math.inf < low < high < math.inf and high > 0):
                raise ParameterError(f"value_range is a pair of numbers, the last positive; got {pair}.")
            keep("value_range", pair)
        if self.levels is not None:
            keep("levels", as_count(self.levels, "levels", least=2))
            if self.value_range is None or self.field == "complex":
                raise ParameterError("Images of a number of levels are real, and have a value_range.")
        if self.noise_range is not None:
            low, high = pair = _pair(self.noise_range, "noise_range")
            if not 0 <= low <= high < math.inf:
                raise ParameterError(f"noise_range is a pair of noise levels, low to high; got {pair}.")
            keep("noise_range", pair)
        if self.std is not None:
            keep("std", float(self.std))
            if not 0 < self.std < math.inf:
                raise ParameterError(f"The standard deviation of images is positive; got {self.std}.")
        keep("axes", self._number_of_axes())

    @classmethod
    def of_shape(cls, image_shape: tuple[int, ...], **others: Any) -> Self:
        """The format of real images ``(H, W)``, or ``(C, H, W)`` with channels, of one shape.

        Raises
        ------
        ShapeError
        """
        shape = tuple(image_shape)
        if len(shape) not in (2, 3):
            raise ShapeError(f"image_shape is (H, W) or (C, H, W); got {shape}.")
        return cls(shape, shape[0] if len(shape) == 3 else None, field="real", **others)

    def _number_of_axes(self) -> int:
        """The number of axes that shape and channels imply, else the one that is given."""
        axes, shape, channels = as_count(self.axes, "axes", least=0), self.shape, self.channels
        if shape is None and channels is None:
            return axes
        implied = 3 if shape is None else len(shape)
        with_channels = channels is None or (implied == 3 and (shape is None or shape[0] == channels))
        if not with_channels or axes not in (0, implied):
            raise ShapeError(
                f"An image of the shape {shape}, with {channels} channels and {axes} axes: these contradict "
                "each other. Images with channels are (C, H, W)."
            )
        return implied

    def check(self, x: Any, who: str) -> None:
        """Raise unless `x` is a finite batch of such images, with any leading batch axes.

        Parameters
        ----------
        x : tensor
        who : str
            Who asks, for the message: ``"Diffusion.denoise"``.

        Raises
        ------
        DtypeError, ShapeError, DataError
        """
        if not isinstance(x, Tensor):
            raise DtypeError(f"{who} expects a torch.Tensor; got {type(x).__name__}.")
        if x.dtype not in _DTYPES:
            raise DtypeError(f"{who} expects float32, float64, complex64 or complex128; got {x.dtype}.")
        if self.field is not None and x.is_complex() != (self.field == "complex"):
            raise DtypeError(f"{who} expects {self.field} images; got {x.dtype}.")
        if x.ndim < self.axes:
            raise ShapeError(
                f"{who} expects images with {self.axes} axes, after any batch axes; got {tuple(x.shape)}."
            )
        image = tuple(x.shape[x.ndim - self.axes :])
        if self.shape is not None and image != self.shape:
            raise ShapeError(f"{who} expects images of the shape {self.shape}; got {image}.")
        if self.channels is not None and image[0] != self.channels:
            raise ShapeError(f"{who} expects images ({self.channels}, H, W); got {image}.")
        check_finite(x, who)

    def batch_shape(self, x: Tensor) -> torch.Size:
        """Leading axes of `x` that are not an image's own."""
        return x.shape[: x.ndim - self.axes]

    @property
    def unit(self) -> tuple[float, float]:
        """Center and half width of the value range: what zero and one in a network's unit stand for."""
        if self.value_range is None:
            return 0.0, 1.0
        low, high = self.value_range
        return (0.0, high) if self.field == "complex" else ((low + high) / 2, (high - low) / 2)

    @property
    def network_channels(self) -> int:
        """Number of real channels that a network sees."""
        return (self.channels or 1) * (2 if self.field == "complex" else 1)

    def as_channels(self, x: Tensor) -> Tensor:
        """Images ``(*batch, H, W)`` or ``(*batch, C, H, W)`` as real channels ``(N, channels, H, W)``.

        Vectors ``(*batch, D)`` become ``(N, 1, 1, D)``.
        """
        axes = self.axes or 2
        x = x.reshape(-1, *(1,) * (3 - axes), *x.shape[-axes:])
        return torch.cat([x.real, x.imag], dim=1) if x.is_complex() else x

    def as_images(self, channels: Tensor, like: Tensor) -> Tensor:
        """The inverse of `as_channels`, in the shape of `like`, and complex where that is."""
        if like.is_complex():
            channels = torch.complex(*channels.chunk(2, dim=1))
        return channels.reshape(like.shape)

    def to_network(self, x: Tensor) -> Tensor:
        """Images as channels in the unit of a network, -1 to 1."""
        center, half = self.unit
        return (self.as_channels(x) - center) / half

    def from_network(self, channels: Tensor, like: Tensor) -> Tensor:
        """The inverse of `to_network`, in the shape of `like`."""
        center, half = self.unit
        return self.as_images(channels * half + center, like)

    def to_levels(self, x: Tensor) -> Tensor:
        """Images as channels of whole numbers, from zero to ``levels - 1``: the nearest level of each pixel.

        Raises
        ------
        DataError
            Where a pixel is out of the value range by more than half of the distance of two levels; on a GPU
            the nearest level in the range is taken.
        """
        assert self.levels is not None
        found = ((self.to_network(x) + 1) / 2 * (self.levels - 1)).round()
        if fails(~(found < 0) & ~(found > self.levels - 1)):
            low, high = self.value_range or (0.0, 1.0)
            raise DataError(
                f"Images of {self.levels} levels from {low:g} to {high:g} are expected; got values from "
                f"{float(x.min()):g} to {float(x.max()):g}."
            )
        return found.clamp(0, self.levels - 1).long()

    def level_bounds(self, low: Tensor, high: Tensor, who: str) -> tuple[Tensor, Tensor]:
        """The lowest and the highest level of each pixel between two images, as channels of whole numbers.

        Parameters
        ----------
        low, high : real tensor, shape (*batch, *image)
        who : str
            Who asks, for the message.

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where these are no such images, or no level of a pixel lies between them.
        """
        assert self.levels is not None
        for x in (low, high):
            self.check(x, who)
        if low.shape != high.shape:
            raise ShapeError(
                f"{who} expects bounds of one shape; got {tuple(low.shape)} and {tuple(high.shape)}."
            )
        last = self.levels - 1
        # levels are met but for rounding
        least, most = ((self.to_network(x.double()) + 1) / 2 * last for x in (low, high))
        least, most = (least - 1e-3).ceil().clamp(min=0).long(), (most + 1e-3).floor().clamp(max=last).long()
        if bool((least > most).any()):
            raise DataError(
                f"{who} expects one of {self.levels} levels, which are {2 * self.unit[1] / last:.3g} apart, "
                "between the bounds of each pixel; these have none."
            )
        return least, most

    def from_levels(self, channels: Tensor, like: Tensor) -> Tensor:
        """The inverse of `to_levels`, in the shape of `like`."""
        assert self.levels is not None
        return self.from_network(2 * channels.to(like.dtype) / (self.levels - 1) - 1, like)

    def header(self) -> dict[str, Any]:
        """The entries of a file's header, as JSON can hold them; see `from_header`."""
        header: dict[str, Any] = {
            "image_shape": self.shape,
            "channels": self.channels,
            "value_range": self.value_range,
            "field": self.field,
        }
        known = {"noise_range": self.noise_range, "std": self.std, "levels": self.levels}
        return header | {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """The format that a file's header states: of images ``(H, W)``, or ``(C, H, W)`` with channels."""
        channels, shape = header.get("channels"), header.get("image_shape")
        return cls(
            shape=shape,
            channels=channels,
            axes=0 if shape is not None or channels is not None else 2,
            **{name: header.get(name) for name in ("field", "value_range", "noise_range", "std", "levels")},
        )


def _pair(values: Any, name: str) -> tuple[float, float]:
    try:
        low, high = values
        return float(low), float(high)
    except (TypeError, ValueError):
        raise ParameterError(f"{name} is a pair of numbers; got {values!r}.") from None


def format_of(prior: Any) -> ImageFormat:
    """The format of a prior's images: its `image_format`, or an empty one where an object has none.

    Raises
    ------
    DtypeError
        Where `image_format` is something else.
    """
    found = getattr(prior, "image_format", None)
    if found is None:
        return ImageFormat()
    if not isinstance(found, ImageFormat):
        raise DtypeError(
            f"image_format of a prior is an invgen.priors.ImageFormat; {type(prior).__name__} has a "
            f"{type(found).__name__}."
        )
    return found
