"""What a prior can do, as protocols: solvers ask for a capability, not for a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from invgen.convex.protocols import Composite, Prior, Proximable, Weight, has_closed_form
from invgen.core.batching import leading
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.core.late import fails
from invgen.priors.image_format import ImageFormat

__all__ = [
    "Approximate",
    "Composite",
    "Denoiser",
    "Denoising",
    "Density",
    "Energy",
    "Generator",
    "Patchwise",
    "Prior",
    "Proximable",
    "Sampler",
    "Sequential",
    "Staged",
    "Tunable",
    "Weight",
    "energy_gradient",
    "has_closed_form",
    "log_prob_kind",
    "require",
    "with_density",
]


@runtime_checkable
class Denoiser(Protocol):
    """A prior that removes white Gaussian noise from images."""

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Posterior mean of x0, given ``x = x0 + sigma n`` with white Gaussian n of unit variance.

        Parameters
        ----------
        x : real or complex tensor, shape (*batch, *image)
        sigma : positive number, or tensor of the batch's shape
            In units of the image; for complex images that of the real and of the imaginary part.
        """


@runtime_checkable
class Density(Protocol):
    """A prior with a normalized density of images."""

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Logarithm of the density, shape of the batch; for complex images that of both parts together."""


@runtime_checkable
class Approximate(Density, Protocol):
    """A density whose `log_prob` may not be the logarithm itself; that of one without this attribute is."""

    @property
    def log_prob_kind(self) -> Literal["exact", "lower bound", "estimate"]:
        """What `log_prob` is: exact, a lower bound as that of a variational autoencoder, or an estimate."""


def log_prob_kind(prior: Density) -> Literal["exact", "lower bound", "estimate"]:
    """What `log_prob` of a density is, by its attribute of this name: exact where there is none."""
    return prior.log_prob_kind if isinstance(prior, Approximate) else "exact"


@runtime_checkable
class Sequential(Density, Protocol):
    """A probability of images of levels, pixel by pixel, each given those before it."""

    def most_probable(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """Images of which each pixel is the most probable level from low to high, given those before it."""


@runtime_checkable
class Energy(Protocol):
    """A prior with a density of images that is known up to its normalization.

    The gradient is that of PyTorch, unless the prior has a method ``energy_gradient(x)``; the function
    `energy_gradient` takes the one or the other.
    """

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the logarithm of the density, up to a constant, shape of the batch."""


@runtime_checkable
class Sampler(Protocol):
    """A prior that draws images."""

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n images, shape (n, *image); the same seed gives the same images."""


@runtime_checkable
class Generator(Protocol):
    """A prior whose images are the values of a map of latent variables."""

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latent variables of one image."""

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Images ``(*batch, *image)`` of latent variables ``(*batch, *latent_shape)``, differentiable."""

    def latent_log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """Logarithm of the density of the latent variables, shape of the batch."""


@runtime_checkable
class Staged(Generator, Protocol):
    """A generator that is a chain of maps."""

    def stages(self, like: torch.Tensor) -> Sequence[Callable[[torch.Tensor], torch.Tensor]]:
        """Successive maps of batches ``(N, ...)``, of latent variables, of features, and to images.

        In the precision of the tensor `like`, and on its device.
        """


@runtime_checkable
class Tunable(Generator, Protocol):
    """A generator whose weights can be replaced."""

    def weights(self, like: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """The weights by name, in the precision of the tensor `like` and on its device."""

    def decode_with(self, weights: Mapping[str, torch.Tensor], z: torch.Tensor) -> torch.Tensor:
        """`decode` with other weights, differentiable with respect to them, too."""


@runtime_checkable
class Patchwise(Prior, Protocol):
    """A prior of the square patches of images, with values in [0, 1]."""

    @property
    def patch(self) -> int:
        """Pixels along each side of a patch."""

    def restore(self, x: torch.Tensor, sigma: float | torch.Tensor, stride: int = 1) -> torch.Tensor:
        """Average of the patches of `x`, each without its noise of the standard deviation `sigma`."""


@runtime_checkable
class _WithGradient(Energy, Protocol):
    def energy_gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Gradient of the energy, of the shape of x."""


#: All capabilities, whose methods `require` looks for.
_CAPABILITIES = (
    *(Prior, Proximable, Composite, Denoiser, Density, Energy, Sampler, Generator, Staged, Tunable),
    *(Sequential, Patchwise),
)


#: The priors of this package that are a `Density`.
_DENSITIES = (
    *("Gaussian", "GaussianMixture", "KernelDensity", "TangentKernelDensity"),
    *("Histogram", "NearestNeighbors", "NeuralCDF"),
    *("Diffusion", "Flow", "VectorFlow", "Autoregressive", "ContextTable", "VAE", "VQVAE"),
    "HierarchicalVAE",
)


def with_density() -> str:
    """Which priors have a density, as a sentence for messages."""
    return f"Priors with a density (log_prob): {', '.join(_DENSITIES)}."


def energy_gradient(prior: Energy, x: torch.Tensor) -> torch.Tensor:
    """Gradient of ``prior.energy`` at each image of a batch: its own method's, else that of PyTorch.

    Parameters
    ----------
    prior : Energy
    x : tensor, shape (*batch, *image)

    Returns
    -------
    tensor, shape (*batch, *image)
        For complex images with respect to the real part, and i times that of the imaginary part.

    Raises
    ------
    CapabilityError
        Where the prior has no such method, and its energy no derivative in PyTorch.
    """
    if isinstance(prior, _WithGradient):
        return prior.energy_gradient(x)
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        total = prior.energy(at).sum()
    if not total.requires_grad:
        raise CapabilityError(
            f"The energy of {type(prior).__name__} has no derivative in PyTorch: give it a method "
            "energy_gradient(x)."
        )
    return torch.autograd.grad(total, at)[0]


class Denoising:
    """Base of the denoisers: arguments are checked once, and the score follows from the denoiser.

    A subclass gives ``_denoise(x, sigma)``, where sigma is a tensor that broadcasts to x, of its precision
    and number of axes, and its `image_format`.
    """

    @property
    def image_format(self) -> ImageFormat:
        """The images that it is made for: by default ``(H, W)`` of any unit, real or complex."""
        return ImageFormat(axes=2)

    @property
    def _images(self) -> ImageFormat:
        """The format as far as `denoise` needs it."""
        return self.image_format

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def _check_level(self, level: torch.Tensor) -> None:
        """Raise where a noise level, as it was given, is none that the denoiser takes."""

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Posterior mean of x0, or an estimate of it, given ``x = x0 + sigma n`` with white Gaussian n.

        Parameters
        ----------
        x : real or complex tensor, shape (*batch, *image)
        sigma : positive number, or tensor of the batch's shape
            In units of the image; for complex images that of the real and of the imaginary part.

        Raises
        ------
        DtypeError, ShapeError, DataError
            Where x is not a tensor of such images, or holds NaN or infinities.
        ParameterError, ShapeError
            Where sigma is not positive and finite, or does not have the batch's shape.
        """
        self._images.check(x, f"{type(self).__name__}.denoise")
        level = self._level(sigma, x)
        return self._denoise(x, level) if x.numel() else x.clone()

    def score(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Gradient of the logarithm of the density of ``x0 + sigma n``, at x.

        Tweedie's formula, ``(denoise(x, sigma) - x) / sigma^2``: Robbins (1956); Efron (2011), eq. 1.4.
        """
        denoised = self.denoise(x, sigma)
        return (denoised - x) / self._level(sigma, x).square()

    def _level(self, sigma: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The noise level, shaped to multiply a batch of images."""
        # a number in double precision, whatever PyTorch's default
        level = sigma if isinstance(sigma, torch.Tensor) else torch.as_tensor(sigma, dtype=torch.float64)
        batch = self._images.batch_shape(x)
        if level.is_complex() or fails((level > 0) & torch.isfinite(level)):
            raise ParameterError(f"sigma is a positive number, or one for each batch element; got {sigma}.")
        self._check_level(level)
        if level.shape != batch[: level.ndim]:
            raise ShapeError(
                f"sigma of each batch element has the batch's shape {tuple(batch)}; got {tuple(level.shape)}."
            )
        return leading(level, x)


def require(prior: Any, who: str, *capabilities: type) -> None:
    """Raise unless `prior` has at least one of the capabilities."""
    if any(isinstance(prior, capability) for capability in capabilities):
        return
    wanted = " or ".join(f"{c.__name__} ({', '.join(sorted(_members(c)))})" for c in capabilities)
    methods = set().union(*map(_members, _CAPABILITIES))
    has = ", ".join(sorted(methods & set(dir(prior)))) or "none of these"
    help = ""
    if Denoiser in capabilities and isinstance(prior, Prior):
        help = " Wrap it: priors.ProxDenoiser(...)."
    elif Density in capabilities:
        help = f" {with_density()}"
    raise CapabilityError(f"{who} needs a prior that is {wanted}; {type(prior).__name__} has {has}.{help}")


def _members(protocol: type) -> set[str]:
    """The methods and attributes that make a protocol."""
    return {name for name in dir(protocol) if not name.startswith("_")}
