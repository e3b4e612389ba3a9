"""The noise of receiver coils, from a scan without signal."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.core.covariance import covariance_factor
from invgen.core.errors import DataError, ParameterError
from invgen.operators.mri.coils.data import checked, coil_gram

__all__ = ["noise_covariance", "whitening_matrix"]


def noise_covariance(noise: Any, *, bandwidth_ratio: float = 1.0) -> torch.Tensor:
    """Covariance of the coils' noise, from samples without signal.

    ``E[n n.H] / 2``, that of the real and of the imaginary part, as `noise.Gaussian` takes it:
    ``Gaussian(covariance=noise_covariance(noise), axis=-3)`` for k-space (coils, H, W).

    Parameters
    ----------
    noise : complex tensor, shape (coils, ...)
        Samples of zero mean, in the units of the data. The relative error of the covariance from n samples is
        about ``n ** -0.5``.
    bandwidth_ratio : positive float
        Ratio of the receiver's bandwidth for the data to the noise-equivalent bandwidth of the noise scan, by
        which the variance is multiplied. In an ISMRMRD file: the dwell time of the noise scan, divided by
        that of the data and by ``relativeReceiverNoiseBandwidth``.

    Returns
    -------
    complex128 tensor, shape (coils, coils)
        Hermitian and positive definite.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        For data without coils and a ratio that is not positive.
    DataError
        For NaN, fewer samples than coils, dead coils, and coils that are linearly dependent.

    References
    ----------
    Kellman and McVeigh (2005), Image reconstruction in SNR units: a general method for SNR measurement.
    """
    noise = checked(noise, "noise_covariance", "noise of shape (coils, ...)")
    if not (bandwidth_ratio > 0 and math.isfinite(bandwidth_ratio)):
        raise ParameterError(f"bandwidth_ratio is a positive number; got {bandwidth_ratio!r}.")
    coils, count = len(noise), noise[0].numel()
    if count < coils:
        raise DataError(
            f"{count} noise samples do not determine the covariance of {coils} coils: it takes at least "
            f"{coils}, and 1000 for an error of 3 %."
        )
    result = coil_gram(noise) * (bandwidth_ratio / (2 * count))
    dead = [c for c in range(coils) if not bool(noise[c].any())]
    if dead:
        raise DataError(f"The coils {dead} have no noise at all: remove them, also from the data.")
    std = result.diagonal().real.sqrt()
    smallest = torch.linalg.eigvalsh(result / torch.outer(std, std))[0]
    if float(smallest) < coils * torch.finfo(noise.dtype).eps:
        raise DataError(
            "The noise of one coil is a linear combination of that of others, as after coil compression to "
            "more coils than there were: remove those that repeat others, also from the data."
        )
    return result


def whitening_matrix(covariance: Any) -> tuple[torch.Tensor, float]:
    """Matrix that makes the coils' noise white, and the level of the white noise.

    With ``covariance = L L.H``, by Cholesky, it is ``W = sigma L^-1``, where sigma^2 is the geometric mean of
    the covariance's eigenvalues: then ``det W = 1``, and data keep their units. `mix` applies it to k-space
    and to maps: the problem with noise ``Gaussian(sigma)`` is then equivalent to the one with
    ``Gaussian(covariance=covariance)``.

    Parameters
    ----------
    covariance : Hermitian positive definite tensor, shape (coils, coils)
        Such as from `noise_covariance`.

    Returns
    -------
    W : complex128 tensor, shape (coils, coils)
        Lower triangular.
    sigma : float
        Standard deviation of the real and of the imaginary part of the noise, after W.

    Raises
    ------
    ShapeError, ParameterError
        For a matrix that is not square, or not Hermitian and positive definite.

    References
    ----------
    Pruessmann et al. (2001), Advances in sensitivity encoding with arbitrary k-space trajectories.
    """
    factor = covariance_factor(covariance).to(torch.complex128)
    sigma = factor.diagonal().real.log().mean().exp()
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    return sigma * torch.linalg.solve_triangular(factor, identity, upper=False), float(sigma)
