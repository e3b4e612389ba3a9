"""Samples beside real images: the distance of their distributions, and what part of one the other covers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import ShapeError
from invgen.metrics.features import Features, as_vectors, distances

__all__ = ["PrecisionRecall", "frechet_distance", "precision_recall"]


def frechet_distance(a: Tensor, b: Tensor, features: Features | None = None) -> float:
    """Squared Fréchet distance of two sets of images, taken as Gaussians in a space of features.

    With means m and covariances C, ``|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))``: Dowson and Landau
    (1982); of the features of networks, Heusel et al. (2017), eq. 6. Its value depends on the
    features and is comparable for the same ones only. The "FID" is the one of Inception-v3; this is not.

    Of finite sets it is too large on average, the more so the fewer images and the more features there are,
    and by an amount that depends on the distributions (Chong and Forsyth 2020). Compare sets of the same
    size, and give the distance of as many real images beside that of samples.

    Parameters
    ----------
    a, b : real tensors, shapes (n, ...) and (m, ...)
        Images, or features where `features` is None; two at least.
    features : callable, optional
        Map of images to features, such as `digit_features()`.

    Returns
    -------
    float
        Zero for sets of the same mean and covariance.

    Raises
    ------
    DtypeError, ShapeError, DataError
        Where these are not two sets of images that can be compared.
    """
    rows = as_vectors({"images a": a, "images b": b}, features, "frechet_distance", least=2)
    (mean, root), (other_mean, other_root) = (_moments(x) for x in rows)
    # the trace of the square root of a product is the sum of the singular values of the product of roots
    cross = torch.linalg.svdvals(root @ other_root).sum()
    spread = root.square().sum() + other_root.square().sum() - 2 * cross
    return float((mean - other_mean).square().sum() + spread.clamp_min(0))


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and square root of the covariance."""
    values, vectors = torch.linalg.eigh(torch.cov(rows.T).reshape(rows.shape[1], rows.shape[1]))
    return rows.mean(0), (vectors * values.clamp_min(0).sqrt()) @ vectors.T


@dataclass(frozen=True)
class PrecisionRecall:
    """Which part of the samples looks real, and which part of the real images is covered by samples."""

    precision: float
    recall: float


def precision_recall(
    real: Tensor, generated: Tensor, k: int = 3, features: Features | None = None
) -> PrecisionRecall:
    """Precision and recall of samples, Kynkäänniemi et al. (2019), eqs. 1 and 2.

    A set of images covers the balls around each of them whose radius is the distance to its k-th nearest
    neighbor within the set. Precision is the fraction of generated images that the real ones cover, recall
    the fraction of real images that the generated ones cover. Both grow with k and fall with the number of
    dimensions: they are comparable for the same features, k and sizes of the sets only. One outlier among
    the images covers much.

    Parameters
    ----------
    real, generated : real tensors, shapes (n, ...) and (m, ...)
        Images, or features where `features` is None; more than k.
    k : int
    features : callable, optional
        Map of images to features, such as `digit_features()`.

    Raises
    ------
    DtypeError, ShapeError, DataError
        Where these are not two sets of images that can be compared.
    ParameterError
        If k is no positive whole number.
    """
    k = as_count(k, "k")
    if min(len(real), len(generated)) <= k:
        raise ShapeError(
            f"precision_recall with k = {k} needs more than {k} images in each set; got {len(real)} and "
            f"{len(generated)}."
        )
    rows = as_vectors({"real images": real, "generated images": generated}, features, "precision_recall")
    return PrecisionRecall(_covered(rows[1], rows[0], k), _covered(rows[0], rows[1], k))


def _covered(images: Tensor, among: Tensor, k: int) -> float:
    """Fraction of the images in one of the balls of the others."""
    # the nearest of all is the image itself
    radius = torch.cat([d.kthvalue(k + 1, dim=1).values for _, d in distances(among, among)])
    inside = torch.cat([(d <= radius).any(1) for _, d in distances(images, among)])
    return float(inside.double().mean())
