"""The Gaussian density."""

from __future__ import annotations

from typing import Any

import torch

from invgen.core.errors import ShapeError
from invgen.priors.densities.covariances import Covariance
from invgen.priors.densities.mixture import GaussianMixture

__all__ = ["Gaussian"]


class Gaussian(GaussianMixture):
    """A Gaussian density of images, ``N(mean, C)``: the mixture of one component.

    Density, samples, denoiser ``mean + C (C + sigma^2)^-1 (x - mean)`` (Wiener's filter), proximal map and
    posterior are in closed form. A variational solver with it finds the mean of the posterior.

    Parameters
    ----------
    mean : real or complex tensor, shape (*shape)
        Samples have its precision and device.
    covariance : tensor, number, or `invgen.priors.densities.covariances.Covariance`
        Variances of the mean's shape; a matrix (n, n) for n pixels; one variance; `LowRank`, or `Stationary`.
        For complex images that of the real and of the imaginary part, ``E[n n.H] / 2``.

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        Where the arguments do not describe a Gaussian.
    """

    def __init__(self, mean: Any, covariance: Any) -> None:
        if isinstance(covariance, Covariance):
            if covariance.count != 1:
                raise ShapeError(f"A Gaussian has one covariance; got {covariance.count}.")
        elif isinstance(covariance, torch.Tensor) and covariance.ndim:
            covariance = covariance[None]
        super().__init__(torch.as_tensor(mean)[None], covariance)

    def __repr__(self) -> str:
        return f"Gaussian({self.space})"

    def prox(self, x: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
        """``argmin_z value(z) + |z - x|^2 / (2 step)``: the denoiser, mean and mode being the same.

        Parameters
        ----------
        x : tensor, shape (*batch, *shape)
        step : positive number, or tensor that broadcasts to `x` with one for each image
        """
        if isinstance(step, torch.Tensor) and step.ndim:
            step = step.reshape(step.shape[: x.ndim - len(self.space.shape)])
        return self.denoise(x, step**0.5)

    def _conditioned(self, means: torch.Tensor, covariances: Covariance, weights: torch.Tensor) -> Gaussian:
        return Gaussian(means[0], covariances)
