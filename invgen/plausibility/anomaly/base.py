"""What all statistics of anomalies have in common: their images, in bounded memory, and their headers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from invgen.core.errors import DataError, FileError, ParameterError, ShapeError
from invgen.core.text import brief
from invgen.plausibility.inputs import check_range
from invgen.priors.base import require
from invgen.priors.image_format import ImageFormat, format_of

__all__ = ["Side", "Statistic", "check_images", "in_parts"]

#: Which values of a statistic are unusual: large ones, or small ones as well.
Side = Literal["high", "both"]

#: Pixels that a prior sees at once; activations of its network take about a hundred times as many numbers.
_PIXELS = 2**17

#: Values that are out of a prior's range by no more than this part of it are taken for rounding.
_ROUNDING = 1 / 500


@dataclass(frozen=True)
class Statistic:
    """A number of each image that says how unusual it is under a prior: larger is more anomalous.

    A subclass is a frozen dataclass with a `name`, the `capabilities` of priors of which it needs one, and
    ``_values(prior, images)``. One that estimates something from images has ``_fit`` and `is_fitted`, too. A
    value depends on its image alone, not on the others of a call.
    """

    #: As commands and files call it.
    name: ClassVar[str]

    #: The prior has one of these.
    capabilities: ClassVar[tuple[type, ...]]

    @property
    def side(self) -> Side:
        """Which values are unusual; statistics that let the user choose have it as a field."""
        return "high"

    @property
    def group(self) -> int:
        """The number of images that one value is of."""
        return 1

    @property
    def is_fitted(self) -> bool:
        """Whether `values` can be called."""
        return True

    def fitted(self, prior: Any, images: Tensor) -> Self:
        """The same statistic with what it estimates from images, which must then not calibrate it, too.

        Parameters
        ----------
        prior : with one of `capabilities`
        images : tensor, shape (n, *image)

        Raises
        ------
        CapabilityError, ShapeError, DtypeError, DataError, ParameterError
            Where prior and images do not fit the statistic, and where it would take more images.
        """
        self._check(prior, images, "fitted")
        with torch.no_grad():
            return self._fit(prior, images)

    def values(self, prior: Any, images: Tensor) -> Tensor:
        """The statistic of images, or of groups of images where `group` is more than one.

        Parameters
        ----------
        prior : with one of `capabilities`
        images : tensor, shape (n, *image), or (n, group, *image)

        Returns
        -------
        tensor, float64 on the CPU, shape (n,)

        Raises
        ------
        CapabilityError
            Where the prior has none of the capabilities.
        ShapeError, DtypeError, DataError
            For images of another size, type or range than the prior's, and where a value is not a number.
        ParameterError
            Where the statistic has to be fitted before.
        """
        if self.group > 1:
            if images.ndim < 2 or images.shape[1] != self.group:
                raise ShapeError(
                    f"{self.name} is of groups of {self.group} images, (n, {self.group}, *image); got "
                    f"{tuple(images.shape)}."
                )
            flat = images.flatten(0, 1)
        else:
            flat = images
        self._check(prior, flat, "values")
        if not self.is_fitted:
            raise ParameterError(
                f"{self.name} estimates its parameters from images: use the one that fitted(prior, images) "
                "returns."
            )
        with torch.no_grad():
            found = self._values(prior, flat).double().cpu()
        if bool(found.isnan().any()):
            raise DataError(f"{self.name} under {type(prior).__name__} is not a number for some images.")
        return found

    def _check(self, prior: Any, images: Tensor, method: str) -> None:
        who = f"{type(self).__name__}.{method}"
        require(prior, who, *self.capabilities)
        check_images(images, format_of(prior), who)

    def _fit(self, prior: Any, images: Tensor) -> Self:
        return self

    def _values(self, prior: Any, images: Tensor) -> Tensor:
        raise NotImplementedError

    def header(self) -> dict[str, Any]:
        """Its settings and what it has estimated, as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_header(cls, entry: Any) -> Self:
        """The statistic of such an entry.

        Raises
        ------
        FileError
            For anything else.
        """
        try:
            if not isinstance(entry, Mapping):
                raise TypeError("it is no table")
            return cls(**{name: _tuples(value) for name, value in entry.items()})
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:  # a header can state anything
            raise FileError(
                f"The settings of {cls.name} in the prior's file make no sense: {brief(error)}."
            ) from None


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def check_images(images: Any, image_format: ImageFormat, who: str) -> None:
    """Raise unless these are images ``(n, *image)`` of a prior's format, within its range of values.

    Raises
    ------
    ShapeError, DtypeError, DataError
    """
    image_format.check(images, who)
    if image_format.axes and images.ndim != image_format.axes + 1:
        raise ShapeError(
            f"{who} expects images (n, *image) with {image_format.axes} axes each; got {tuple(images.shape)}."
        )
    check_range(images, image_format, who, _ROUNDING)


def in_parts(function: Callable[[Tensor], Tensor], images: Tensor, at_once: int | None = None) -> Tensor:
    """A function of a few images ``(n, *image)`` at a time, whose values are ``(n, ...)``."""
    if not len(images):
        return torch.zeros(0, dtype=torch.float64)
    at_once = at_once or max(1, _PIXELS // max(1, math.prod(images.shape[1:])))
    return torch.cat([function(part).double().cpu() for part in images.split(at_once)])
