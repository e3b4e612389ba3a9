"""What the measures of samples share: images as vectors, and their distances."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from invgen.core.errors import DataError, DtypeError, ShapeError

__all__ = ["Features", "as_vectors", "distances"]

#: A map of images ``(n, ...)`` to features ``(n, ...)``.
Features = Callable[[Tensor], Tensor]

#: Distances that are computed at once.
_BLOCK = 2**23


def as_vectors(
    images: dict[str, Tensor], features: Features | None, who: str, least: int = 1
) -> list[Tensor]:
    """The features of several sets of images, or their pixels, as rows in double precision.

    Parameters
    ----------
    images : dict of str to tensor, shape (n, ...)
        By what they are, for the message.
    features : callable, optional
    who : str
        Who asks, for the message.
    least : int
        Smallest number of images in each set.

    Raises
    ------
    DtypeError, ShapeError, DataError
        Where these are not sets of images that can be compared.
    """
    rows = []
    for name, x in images.items():
        if not isinstance(x, Tensor) or x.is_complex():
            found = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise DtypeError(f"{who} compares real tensors; got {found} for {name}.")
        if x.ndim < 2 or len(x) < least:
            raise ShapeError(f"{who} needs at least {least} {name}, (n, ...); got {tuple(x.shape)}.")
        vectors = (x if features is None else features(x)).detach().flatten(1).double()
        if not bool(vectors.isfinite().all()):
            raise DataError(f"{who}: there are NaN or infinities in {name}.")
        rows.append(vectors)
    if len({x.shape[1] for x in rows}) > 1:
        given = ", ".join(f"{name} {tuple(x.shape)}" for name, x in images.items())
        raise ShapeError(f"{who} compares images of one shape, each set (n, ...); got {given}.")
    return rows


def distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances of rows of `a` to all rows of `b`, block by block, and which rows these are."""
    each = max(1, _BLOCK // len(b))
    center = b.mean(0)  # rounding grows with the distance from the origin
    for first in range(0, len(a), each):
        rows = slice(first, first + each)
        yield rows, torch.cdist(a[rows] - center, b - center)
