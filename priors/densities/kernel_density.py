"""Densities from data: a kernel around each image."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.core.checks import as_count
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.operators import Space
from invgen.priors.densities.covariances import Diagonal
from invgen.priors.densities.mixture import GaussianMixture

__all__ = ["KernelDensity"]

#: Number of bandwidths that cross-validation tries, around Silverman's, and the factor between them.
_TRIED, _FINER = 33, 2**0.25

#: Images that distances are taken of at a time.
_BLOCK = 512


class KernelDensity(GaussianMixture):
    """A Gaussian kernel around each of n images, Parzen (1962): the mixture over the data.

    Its denoiser is the posterior mean for images that are one of the data with noise.

    Parameters
    ----------
    data : real or complex tensor, shape (n, *shape)
    bandwidth : positive number, "silverman", "cross-validation", or "neighbors"
        Standard deviation of the kernels. Silverman's rule (1986, eq. 4.14) is best for Gaussian data.
        "cross-validation" takes the one that maximizes the likelihood of each image under the kernels of the
        others (Habbema, Hermans and van den Broek 1974). "neighbors" gives each image its own:
        its distance to the k-th nearest other one over the square root of the number of dimensions, so that
        kernels are wide where the data are rare (Breiman, Meisel and Purcell 1977).
    neighbors : int
        The k of "neighbors".

    Raises
    ------
    ShapeError, DtypeError, DataError, ParameterError
        Where there are too few images; for "cross-validation" and "neighbors", where images are the same.
    """

    def __init__(self, data: torch.Tensor, bandwidth: float | str = "silverman", neighbors: int = 5) -> None:
        data, neighbors = torch.as_tensor(data), as_count(neighbors, "neighbors")
        if isinstance(bandwidth, str) and bandwidth not in _RULES:
            raise ParameterError(
                f"bandwidth is a positive number or one of {sorted(_RULES)}; got {bandwidth!r}."
            )
        if not isinstance(bandwidth, str) and not 0 < bandwidth < math.inf:
            raise ParameterError(f"bandwidth must be positive and finite; got {bandwidth}.")
        if data.ndim < 1 or len(data) < (neighbors + 1 if bandwidth == "neighbors" else 2):
            raise ShapeError(
                f"A density of kernels needs at least two images, or one more than neighbors; got the shape "
                f"{tuple(data.shape)}."
            )
        rows = data.detach().flatten(1)
        rows = (torch.cat([rows.real, rows.imag], 1) if rows.is_complex() else rows).double()
        widths = (
            _RULES[bandwidth](rows, neighbors)
            if isinstance(bandwidth, str)
            else torch.tensor([bandwidth], dtype=torch.float64)
        )
        if not bool(((widths > 0) & torch.isfinite(widths)).all()):
            raise DataError(f"The rule {bandwidth!r} finds no bandwidth: images are the same, or not finite.")
        space = Space(tuple(data.shape[1:]), "complex" if data.is_complex() else "real")
        variances = widths.square().reshape(-1, *(1,) * len(space.shape))
        super().__init__(data, Diagonal(variances, space))
        #: Standard deviation of the kernels, one for all or one for each, float64.
        self.bandwidth = widths


def _silverman(rows: torch.Tensor, _: Any) -> torch.Tensor:
    """``sd (4 / ((d + 2) n))^(1 / (d + 4))``, sd being the root mean square over the dimensions."""
    n, d = rows.shape
    return (rows.var(0).mean().sqrt() * (4 / ((d + 2) * n)) ** (1 / (d + 4))).reshape(1)


def _cross_validated(rows: torch.Tensor, _: Any) -> torch.Tensor:
    """The most likely of 33 bandwidths, a factor of sixteen to either side of Silverman's."""
    d = rows.shape[1]
    steps = torch.arange(_TRIED, dtype=rows.dtype, device=rows.device) - _TRIED // 2
    widths = _silverman(rows, _) * _FINER**steps
    total = torch.zeros_like(widths)
    for own, squares in _distances(rows):
        squares[torch.arange(len(own)), own] = torch.inf
        for i, h in enumerate(widths):
            total[i] += torch.logsumexp(-squares / (2 * h**2), 1).sum() - len(own) * d * torch.log(h)
    return widths[total.argmax()].reshape(1)


def _to_neighbors(rows: torch.Tensor, k: int) -> torch.Tensor:
    """Distance to the k-th nearest other image, over the root of the number of dimensions."""
    # the nearest of all is the image itself
    nearest = [squares.kthvalue(k + 1, dim=1).values for _, squares in _distances(rows)]
    return (torch.cat(nearest) / rows.shape[1]).sqrt()


def _distances(rows: torch.Tensor) -> Any:
    """Squared distances of blocks of images to all images, with the indices of the former."""
    for own in torch.arange(len(rows), device=rows.device).split(_BLOCK):
        # not by products of matrices: the distance of equal images would then be rounding, and not zero
        yield own, torch.cdist(rows[own], rows, compute_mode="donot_use_mm_for_euclid_dist").square()


_RULES = {"silverman": _silverman, "cross-validation": _cross_validated, "neighbors": _to_neighbors}
