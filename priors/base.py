"""What a prior can do, as protocols: solvers ask for a capability, not for a class."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch

from invgen.convex.protocols import Composite, Prior, Proximable, Weight, has_closed_form
from invgen.core.batching import leading
from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.core.space import check_finite

__all__ = [
    "Composite",
    "Denoiser",
    "Denoising",
    "Density",
    "Patchwise",
    "Prior",
    "Proximable",
    "Sampler",
    "Weight",
    "has_closed_form",
    "require",
]


@runtime_checkable
class Denoiser(Protocol):
    """A prior that takes white noise out of images."""

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Posterior mean of x0, given ``x = x0 + sigma n`` with standard normal n.

        Parameters
        ----------
        x : real or complex tensor, shape (*batch, *image)
        sigma : positive number, or tensor of the batch's shape
            In units of the image; for complex images that of the real and of the imaginary part.
        """


@runtime_checkable
class Density(Protocol):
    """A prior that knows how probable an image is."""

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Logarithm of the density, shape of the batch; for complex images that of both parts together."""


@runtime_checkable
class Sampler(Protocol):
    """A prior that draws images."""

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n images, shape (n, *image); the same seed gives the same ones."""


@runtime_checkable
class Patchwise(Prior, Protocol):
    """A prior that knows the square patches of images, those in [0, 1]."""

    @property
    def patch(self) -> int:
        """Pixels along each side of a patch."""

    def restore(self, x: torch.Tensor, sigma: float | torch.Tensor, stride: int = 1) -> torch.Tensor:
        """Average of the patches of `x`, each without its noise of the standard deviation `sigma`."""


class Denoising:
    """Base of the denoisers: what they are given is checked once, and their score follows.

    A subclass gives ``_denoise(x, sigma)``, sigma being a tensor that broadcasts to x, of its precision and
    with as many axes.

    Attributes
    ----------
    value_range : pair of numbers, optional
        What the images lie in that the denoiser was made for; None where any unit will do.
    """

    value_range: tuple[float, float] | None = None

    @property
    def _image_axes(self) -> int:
        """How many of the last axes make an image."""
        return 2

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Posterior mean of x0, or an estimate of it, given ``x = x0 + sigma n`` with standard normal n.

        Parameters
        ----------
        x : real or complex tensor, shape (*batch, *image)
        sigma : positive number, or tensor of the batch's shape
            In units of the image; for complex images that of the real and of the imaginary part.

        Raises
        ------
        DtypeError, DataError
            Where x is no tensor of floating-point numbers, or holds NaN or infinities.
        ParameterError, ShapeError
            Where sigma is not positive and finite, or no batch's shape.
        """
        _check_image(x, self._image_axes, f"{type(self).__name__}.denoise")
        level = self._spread(sigma, x)
        return self._denoise(x, level) if x.numel() else x.clone()

    def score(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Gradient of the logarithm of the density of ``x0 + sigma n``, at x.

        Tweedie's formula, ``(denoise(x, sigma) - x) / sigma^2``: Robbins (1956); Efron (2011), eq. 1.4.
        """
        denoised = self.denoise(x, sigma)
        return (denoised - x) / self._spread(sigma, x).square()

    def _spread(self, sigma: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The noise level, to multiply a batch of images."""
        # a number in double precision, whatever PyTorch's default
        level = sigma if isinstance(sigma, torch.Tensor) else torch.as_tensor(sigma, dtype=torch.float64)
        batch = x.shape[: x.ndim - self._image_axes]
        if level.is_complex() or not bool(((level > 0) & torch.isfinite(level)).all()):
            raise ParameterError(f"sigma is a positive number, or one for each batch element; got {sigma}.")
        if level.shape != batch[: level.ndim]:
            raise ShapeError(
                f"sigma of each batch element has the batch's shape {tuple(batch)}; got {tuple(level.shape)}."
            )
        return leading(level, x)


def _check_image(x: torch.Tensor, axes: int, who: str) -> None:
    if not isinstance(x, torch.Tensor):
        raise DtypeError(f"{who} expects a torch.Tensor; got {type(x).__name__}.")
    if x.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        raise DtypeError(f"{who} expects float32, float64, complex64 or complex128; got {x.dtype}.")
    if x.ndim < axes:
        raise ShapeError(
            f"{who} expects images with {axes} axes, after any batch axes; got {tuple(x.shape)}."
        )
    check_finite(x, who)


def require(prior: Any, who: str, *capabilities: type) -> None:
    """Raise unless `prior` has at least one of the capabilities."""
    if any(isinstance(prior, capability) for capability in capabilities):
        return
    methods = {"value", "prox", "terms", "with_weight", "resolve", "denoise", "patch", "restore"}
    wanted = " or ".join(f"{c.__name__} ({', '.join(sorted(methods & set(dir(c))))})" for c in capabilities)
    has = ", ".join(sorted(methods & set(dir(prior)))) or "none of these"
    help = (
        " Wrap it: priors.ProxDenoiser(...)." if Denoiser in capabilities and isinstance(prior, Prior) else ""
    )
    raise CapabilityError(f"{who} needs a prior that is {wanted}; {type(prior).__name__} has {has}.{help}")
