"""Whether a generative model repeats the images that it has learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invgen.metrics.features import Features, as_vectors, distances

__all__ = ["Memorization", "memorization"]


@dataclass(frozen=True)
class Memorization:
    """How near samples are to the training images, compared with held-out images.

    Attributes
    ----------
    distances : Tensor, float64, shape (n,)
        Of each sample to the nearest learned image.
    reference : Tensor, float64, shape (m,)
        Of each held-out image to the nearest learned image.
    z : float
        Of the ranks of the samples' distances among both, in standard deviations from their mean under equal
        distributions: far below zero where samples are nearer.
    p_value : float
        Probability of such a z, or a lower one, where both have the same distribution.
    share : float
        Of the samples whose nearest image, of the learned and the held-out ones together, is a learned one.
    expected_share : float
        The same for a model that has seen neither: the learned ones among all images.
    """

    distances: Tensor
    reference: Tensor
    z: float
    p_value: float
    share: float
    expected_share: float

    @property
    def ratio(self) -> float:
        """Median distance of the samples over that of the held-out images."""
        return float(self.distances.median() / self.reference.median())


def memorization(
    samples: Tensor, learned: Tensor, held_out: Tensor, features: Features | None = None
) -> Memorization:
    """Test whether samples are copies of the images that a model has learned from.

    The statistic `z` is Z_U of Meehan, Chaudhuri and Dasgupta (2020), their C_T with one cell: the U of Mann
    and Whitney (1947) of the distances of samples and of held-out images to the nearest learned one. Copies
    are found, and so are images that were disturbed a little.

    A low `z` alone does not prove copies. Smooth images are near to all others, in pixels above all, and
    samples that are smoother than images have a low z without any memory. `share` is free of that: held-out
    images come from the distribution of the learned ones, and whatever the samples are, the nearest of all
    images is a learned one with the probability `expected_share` unless the model knows them. Where images of
    low quality are frequent, z is high, and copies among the rest may stay unseen in it, but not in `share`,
    whose standard error for n samples is at least ``sqrt(expected_share (1 - expected_share) / n)``. It is a
    little above `expected_share` for any model that fits what it has learned from better than what it has
    not. Copies show in both.

    Parameters
    ----------
    samples, learned, held_out : real tensors, shapes (n, ...), (l, ...), (m, ...)
        Images, or features where `features` is None. Held-out images come from the distribution of the
        learned ones, and the model has not seen them.
    features : callable, optional
        Map of images to features, such as `digit_features()`.

    Raises
    ------
    DtypeError, ShapeError, DataError
        Where these are not sets of images that can be compared.
    """
    sets = {"samples": samples, "learned images": learned, "held-out images": held_out}
    own, known, new = as_vectors(sets, features, "memorization")
    near, reference = _nearest(own, known), _nearest(new, known)
    z = _rank_test(near, reference)
    share = float((near < _nearest(own, new)).double().mean())
    p_value = 0.5 * math.erfc(-z / math.sqrt(2))
    return Memorization(near, reference, z, p_value, share, len(known) / (len(known) + len(new)))


def _nearest(images: Tensor, among: Tensor) -> Tensor:
    return torch.cat([d.amin(1) for _, d in distances(images, among)])


def _rank_test(x: Tensor, y: Tensor) -> float:
    """Mann and Whitney's U of two sets of numbers in standard deviations, negative where x is smaller.

    The variance is that with ties (Hollander and Wolfe 1999, section 4.1); zero where all are equal.
    """
    n, m = len(x), len(y)
    # ranks of ties are their mean
    _, places, counts = torch.cat([x, y]).unique(return_inverse=True, return_counts=True)
    counts = counts.double()
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[places]
    u = float(ranks[:n].sum()) - n * (n + 1) / 2
    ties = float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1))
    variance = n * m / 12 * (n + m + 1 - ties)
    return (u - n * m / 2) / math.sqrt(variance) if variance > 0 else 0.0
