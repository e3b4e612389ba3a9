"""Expectation-maximization for mixtures of Gaussians of mean zero.

scikit-learn's fits the means, too, in double precision on the CPU; this one runs on the device of the images,
in single precision, several times as fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from invgen.core.checks import as_count
from invgen.core.errors import DataError, DtypeError, ShapeError
from invgen.core.space import check_finite

__all__ = ["random_patches", "zero_mean_mixture"]

#: Variance of rounding to 8 bits, in images from 0 to 1: variances below are not in photographs.
_FLOOR = 1 / 255**2 / 12

#: Rows that are worked on at a time.
_BLOCK = 2**13

#: Responsibilities below are set to zero.
_UNLIKELY = 1e-3


def random_patches(images: Sequence[torch.Tensor], p: int, count: int, seed: int) -> torch.Tensor:
    """Random p x p patches, from each image in proportion to its size, float32, shape (count, p^2)."""
    for image in images:
        if not image.is_floating_point():
            raise DtypeError(f"Photographs are real, from 0 to 1; got {image.dtype}.")
        if image.ndim != 2 or min(image.shape) < p:
            raise ShapeError(f"Photographs are (H, W), at least {p} x {p}; got {tuple(image.shape)}.")
        check_finite(image, "PatchMixture.fit")
    if not images:
        raise DataError("There are no photographs: there is nothing to learn.")
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([float((image.shape[0] - p + 1) * (image.shape[1] - p + 1)) for image in images])
    counts = torch.multinomial(sizes, count, replacement=True, generator=generator).bincount(
        minlength=len(sizes)
    )
    drawn = []
    for image, n in zip(images, counts.tolist(), strict=True):
        windows = image.float().unfold(0, p, 1).unfold(1, p, 1)
        rows = torch.randint(windows.shape[0], (n,), generator=generator).to(image.device)
        columns = torch.randint(windows.shape[1], (n,), generator=generator).to(image.device)
        drawn.append(windows[rows, columns].reshape(n, p * p))
    return torch.cat(drawn)


@torch.no_grad()
def zero_mean_mixture(
    rows: torch.Tensor, components: int, iterations: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit k Gaussians of mean zero to vectors (n, m): covariances (k, m, m) and weights (k,).

    Dempster, Laird and Rubin (1977). Each component starts from one random vector: nine tenths of its
    variance lie along it, the rest in all directions alike, so that contrasts and orientations are separate
    from the beginning.
    """
    n, m = rows.shape
    components = as_count(components, "components, which are no more than the patches,", most=n)
    iterations = as_count(iterations, "iterations")
    generator = torch.Generator().manual_seed(seed)
    energy = rows.square().sum(1)
    varied = torch.nonzero(energy > m * _FLOOR)[:, 0]
    if not len(varied):
        raise DataError("The photographs are constant: there is nothing to learn.")
    first = varied[torch.randint(len(varied), (components,), generator=generator).to(rows.device)]
    seeds = rows[first]
    eye = torch.eye(m, dtype=rows.dtype, device=rows.device)
    covariances = 0.9 * seeds[:, :, None] * seeds[:, None] + (0.1 / m) * energy[first, None, None] * eye
    weights = torch.full((components,), 1 / components, dtype=rows.dtype, device=rows.device)
    for _ in range(iterations):
        sums, moments = torch.zeros_like(weights), torch.zeros_like(covariances)
        constants, factors = _log_factors(covariances + _FLOOR * eye, weights)
        for block in rows.split(_BLOCK):
            logs = torch.stack(
                [a - (block @ G).square().sum(1) for a, G in zip(constants, factors, strict=True)], 1
            )
            r = torch.softmax(logs, 1)
            r = torch.where(r > _UNLIKELY, r, 0)
            r = r / r.sum(1, keepdim=True)
            sums += r.sum(0)
            for k in range(components):
                own = r[:, k] > 0
                some = block[own]
                moments[k] += (some * r[own, k, None]).mT @ some
        # components of few patches are regularized by the average of all, scaled to their own energy
        common = moments.sum(0) / n
        scale = moments.diagonal(dim1=1, dim2=2).sum(1) / sums.clamp(min=1e-6) / common.trace()
        prior = m * scale[:, None, None] * common
        covariances = (moments + prior) / (sums + m)[:, None, None]
        weights = sums / n
    return covariances + _FLOOR * eye, weights


def _log_factors(covariances: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers a and matrices G with ``log w N(c; 0, C) = a - |G.T c|^2``."""
    values, vectors = torch.linalg.eigh(covariances.double())
    constants = torch.log(weights.double().clamp(min=1e-12)) - torch.log(2 * math.pi * values).sum(1) / 2
    return constants.to(weights), (vectors * (2 * values).rsqrt()[:, None]).to(covariances)
