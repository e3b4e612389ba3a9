"""Photographs by their patches: the expected patch log-likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from invgen.core.batching import placed
from invgen.core.checks import as_count
from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.core.frozen import Constant
from invgen.core.late import fails
from invgen.core.space import check_finite
from invgen.operators import Space
from invgen.priors.densities.covariances import Dense
from invgen.priors.densities.mixture import GaussianMixture
from invgen.priors.densities.patch_geometry import patches_of, zero_mean_basis
from invgen.priors.densities.patch_training import random_patches, zero_mean_mixture
from invgen.priors.image_format import ImageFormat
from invgen.priors.learned import Contents, Learned
from invgen.problem import Problem

__all__ = ["PatchMixture"]

#: The number and the matrix of a component's log-likelihood.
Factor = tuple[torch.Tensor, torch.Tensor]

#: Variances below this fraction of the noise's are left out of a patch's log-likelihood: 63 of them add less
#: than 0.04 to it.
_NEGLIGIBLE = 1e-3


class PatchMixture(Learned):
    """Expected patch log-likelihood, Zoran and Weiss (2011), eq. 1, under a Gaussian mixture of patches.

    ``value(x) = -1 / p^2 sum log p(P x)`` over all patches of p x p pixels, each pixel being in p^2 of them.
    The mean of a patch is removed and has no density: every mean is equally probable. The remainder has a
    mixture of Gaussians of mean zero, in an orthonormal basis of the patches of mean zero, cosines. Images
    have values in [0, 1]; each channel or slice counts by itself, and of complex images real and imaginary
    part.

    Parameters
    ----------
    covariances : tensor, shape (k, p^2, p^2)
        Of the pixels of a patch, row by row, without its mean.
    weights : non-negative numbers, shape (k,)

    Raises
    ------
    ShapeError, ParameterError
        Where the arguments do not describe a mixture of square patches.
    """

    family = "patches"

    def __init__(self, covariances: Any, weights: Any) -> None:
        super().__init__(ImageFormat(value_range=(0.0, 1.0), axes=2))
        covariances = torch.as_tensor(covariances)
        self.patch = math.isqrt(covariances.shape[-1]) if covariances.ndim == 3 else 0
        if self.patch < 2 or covariances.shape[1:] != (self.patch**2, self.patch**2):
            raise ShapeError(f"covariances are (k, p^2, p^2), p at least 2; got {tuple(covariances.shape)}.")
        basis = zero_mean_basis(self.patch)
        self._basis = Constant(basis)
        k, m = len(covariances), self.patch**2 - 1
        self._within = Dense(basis @ covariances.double() @ basis.mT, Space((m,)))
        if self._within.singular:
            raise ParameterError("Covariances of patches need some variance in each direction but the mean.")
        #: The mixture of the coefficients of patches in the basis.
        self.mixture = GaussianMixture(torch.zeros(k, m, dtype=torch.float64), self._within, weights)
        self._weights = Constant(self.mixture.weights)

    @property
    def components(self) -> int:
        """Number of components."""
        return len(self.mixture.means)

    def covariances(self) -> torch.Tensor:
        """Of the pixels of a patch, float64, shape (k, p^2, p^2)."""
        basis = self._basis.value
        return basis.mT @ self._within.matrices().expand(self.components, -1, -1) @ basis

    def __repr__(self) -> str:
        return f"PatchMixture(patch={self.patch}, components={self.components})"

    def resolve(self, problem: Problem) -> PatchMixture:
        """The prior itself: a density has no weight to be found."""
        return self

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the log-likelihood of all patches, over p^2; images are the last two axes, others batch."""
        self._check(x, "value")
        if x.is_complex():
            return self.value(x.real) + self.value(x.imag)
        flat = x.reshape(-1, *x.shape[-2:])
        total = [-self._log_likelihood(image) / self.patch**2 for image in flat]
        return torch.stack(total).reshape(x.shape[:-2]) if total else x.new_zeros(x.shape[:-2])

    def restore(self, x: torch.Tensor, sigma: float | torch.Tensor, stride: int = 1) -> torch.Tensor:
        """Average of the patches of `x`, each restored: the z-step of the paper, sec. 3.2.

        Each patch is filtered by the Wiener filter of its most probable component under noise.

        Parameters
        ----------
        x : tensor, shape (*batch, H, W)
        sigma : positive number, or tensor that broadcasts to the batch
            Standard deviation of the noise in `x`.
        stride : int
            Distance of the patches in each direction, in pixels; the last patches are always taken.

        Raises
        ------
        ShapeError, DtypeError, DataError, ParameterError
        """
        self._check(x, "restore")
        if x.is_complex():
            return torch.complex(self.restore(x.real, sigma, stride), self.restore(x.imag, sigma, stride))
        sigmas = placed(sigma, x)
        if fails((sigmas > 0) & torch.isfinite(sigmas)):
            raise ParameterError(f"sigma must be positive; got {sigma}.")
        stride = as_count(stride, "stride, in pixels up to a patch's,", most=self.patch)
        variances = sigmas.square().expand(x.shape[:-2]).reshape(-1)
        # one by one: a batch equals its elements to the bit
        restored = [
            self._restored(image, variance, stride)
            for image, variance in zip(x.reshape(-1, *x.shape[-2:]), variances, strict=True)
        ]
        return torch.stack(restored).reshape(x.shape) if restored else x

    def _check(self, x: torch.Tensor, who: str) -> None:
        who, p = f"PatchMixture.{who}", self.patch
        if not isinstance(x, torch.Tensor) or not (x.is_floating_point() or x.is_complex()):
            raise DtypeError(f"{who} expects images as a floating-point tensor; got {type(x).__name__}.")
        if x.ndim < 2 or min(x.shape[-2:]) < p:
            raise ShapeError(f"{who} expects images of at least {p} x {p}; got {tuple(x.shape)}.")
        check_finite(x, who)

    def _log_likelihood(self, image: torch.Tensor) -> torch.Tensor:
        """Sum over all patches."""
        factors = self._clean_factors(image)
        total = image.new_zeros(())
        for _, _, patches in patches_of(image, self.patch, 1):
            c = patches @ self._basis.like(image).mT
            logs = torch.stack([constant - (c @ G).square().sum(-1) for constant, G in factors], -1)
            total = total + torch.logsumexp(logs, -1).sum()
        return total

    def _restored(self, image: torch.Tensor, variance: torch.Tensor, stride: int) -> torch.Tensor:
        p, basis = self.patch, self._basis.like(image)
        factors, filters = self._noisy_factors(image, variance), self._filters(image, variance)
        total, count = torch.zeros_like(image), torch.zeros_like(image)
        for rows, columns, patches in patches_of(image, p, stride):
            c = patches @ basis.mT
            z = _filtered(c, self._most_probable(c, factors), filters)
            mean = patches.mean(-1, keepdim=True)
            restored = (z @ basis + mean).reshape(len(rows), len(columns), p, p)
            for i in range(p):
                for j in range(p):  # at one position in the patch no two patches overlap
                    at = (rows + i)[:, None], columns + j
                    total[at] += restored[:, :, i, j]
                    count[at] += 1
        return total / count

    def _eigen(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Variances (k, m) and their directions (k, m, m)."""
        C = self._within
        shape = (self.components, -1)
        return C.eigenvalues.like(like).expand(*shape), C.vectors.like(like).expand(*shape, -1)

    def _most_probable(self, c: torch.Tensor, factors: list[Factor]) -> torch.Tensor:
        best = c.new_full((len(c),), -math.inf)
        which = torch.zeros(len(c), dtype=torch.long, device=c.device)
        for k, (constant, G) in enumerate(factors):
            log = constant + (c @ G).square().sum(-1)
            which = torch.where(log > best, k, which)
            best = torch.maximum(log, best)
        return which

    def _clean_factors(self, like: torch.Tensor) -> list[Factor]:
        """Numbers a and matrices G with ``log w N(c; 0, C) = a - |G.T c|^2``."""
        values, vectors = self._eigen(like)
        constants = torch.log(self._weights.like(like)) - torch.log(2 * math.pi * values).sum(-1) / 2
        return list(zip(constants, vectors * (values * 2).rsqrt()[:, None], strict=True))

    def _noisy_factors(self, like: torch.Tensor, s: torch.Tensor) -> list[Factor]:
        """Numbers a and matrices G with ``log w N(c; 0, C + s) = a + |G.T c|^2``, up to what all share.

        ``1 / (l + s) = 1 / s - l / (s (l + s))``: the first term is the same for all, and directions of
        variances l far below s drop out of the second, which saves most of the work.
        """
        values, vectors = self._eigen(like)
        constants = torch.log(self._weights.like(like)) - torch.log(values + s).sum(-1) / 2
        G = vectors * (values / (2 * s * (values + s))).sqrt()[:, None]
        counted = values > _NEGLIGIBLE * s
        if like.is_cuda:  # the host would wait to learn how many they are
            return list(zip(constants, torch.where(counted[:, None], G, 0), strict=True))
        return [(a, factor[:, kept]) for a, factor, kept in zip(constants, G, counted, strict=True)]

    def _filters(self, like: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """``C (C + s)^-1`` of each component, symmetric, shape (k, m, m)."""
        values, vectors = self._eigen(like)
        return (vectors * (values / (values + s))[:, None]) @ vectors.mT

    def _parameters(self) -> dict[str, Any]:
        return {"patch": self.patch}

    def _tensors(self) -> dict[str, torch.Tensor]:
        # the Cholesky factors of the covariances, for which float16 is enough
        m = self.patch**2 - 1
        L = torch.linalg.cholesky(self._within.matrices()).expand(self.components, m, m)
        rows, columns = torch.tril_indices(m, m)
        return {"factors": L[:, rows, columns], "weights": self.mixture.weights}

    @classmethod
    def _built(cls, contents: Contents) -> PatchMixture:
        patch = as_count(contents.header["patch"], "patch", least=2, most=64)
        factors, m = contents.tensors["factors"].double(), patch**2 - 1
        if factors.shape[1:] != (m * (m + 1) // 2,):
            raise ShapeError(
                f"Factors of the shape {tuple(factors.shape)} are not of {patch} x {patch} patches."
            )
        L = factors.new_zeros(len(factors), m, m)
        rows, columns = torch.tril_indices(m, m)
        L[:, rows, columns] = factors
        basis = zero_mean_basis(patch)
        return cls(basis.mT @ (L @ L.mT) @ basis, contents.tensors["weights"].double())

    @classmethod
    def fit(
        cls,
        images: Sequence[torch.Tensor],
        patch: int = 8,
        components: int = 100,
        *,
        patches: int = 200_000,
        iterations: int = 30,
        seed: int = 0,
    ) -> PatchMixture:
        """Fit a mixture to random patches of photographs, by expectation-maximization.

        Parameters
        ----------
        images : sequence of real tensors, each of the shape (H, W), in [0, 1]
        patch : int
            Size p of the patches.
        components : int
        patches : int
            Number of patches, drawn from each image in proportion to its size.
        iterations, seed : int

        Raises
        ------
        ShapeError, DtypeError, DataError, ParameterError
            Where the images or the numbers do not fit.
        """
        patch, patches = as_count(patch, "patch", least=2), as_count(patches, "patches")
        basis = zero_mean_basis(patch)
        coefficients = random_patches(images, patch, patches, seed) @ basis.float().mT
        covariances, weights = zero_mean_mixture(coefficients, components, iterations, seed)
        return cls(basis.mT @ covariances.double() @ basis, weights)


def _filtered(c: torch.Tensor, which: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Coefficients (n, m) of patches, each by the filter of its component."""
    z = torch.zeros_like(c)
    if c.is_cuda:  # all filters on all patches take less time than to learn on the host which there are
        for k, symmetric in enumerate(filters):
            z = torch.where((which == k)[:, None], c @ symmetric, z)
        return z
    for k in which.unique().tolist():
        chosen = which == k
        z[chosen] = c[chosen] @ filters[k]
    return z
