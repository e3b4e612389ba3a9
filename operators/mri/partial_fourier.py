"""Partial Fourier sampling: axes of k-space that are sampled further on one side of the origin."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Extent", "extents", "partial_axes"]


@dataclass(frozen=True)
class Extent:
    """How far k-space is sampled along an axis.

    Attributes
    ----------
    axis : int
        Counted from the end.
    size : int
        Entries of the axis; the origin is the entry ``size // 2``.
    start, stop : int
        All samples are at entries from `start` to `stop`, exclusive.
    gap : int
        Largest distance between neighboring samples.
    """

    axis: int
    size: int
    start: int
    stop: int
    gap: int

    @property
    def below(self) -> int:
        """Number of entries before the origin."""
        return self.size // 2 - self.start

    @property
    def above(self) -> int:
        """Number of entries after the origin."""
        return self.stop - 1 - self.size // 2

    @property
    def is_partial(self) -> bool:
        """Whether the sides differ by more than undersampling explains."""
        return abs(self.below - self.above) > self.gap

    @property
    def side(self) -> str:
        """On which side of the origin samples reach further, "positive" or "negative"."""
        return "positive" if self.above > self.below else "negative"

    @property
    def whole(self) -> int:
        """Entries of the symmetric k-space of the same resolution."""
        return 2 * max(self.below, self.above + 1)

    @property
    def fraction(self) -> float:
        """Extent of the samples, relative to that of the symmetric k-space of the same resolution."""
        return (self.stop - self.start) / self.whole

    @property
    def frequencies(self) -> torch.Tensor:
        """Of all entries, in cycles per field of view, positive on the side that reaches further; float64.

        Shaped to broadcast over k-space.
        """
        k = torch.arange(self.size, dtype=torch.float64) - self.size // 2
        return (k if self.side == "positive" else -k).reshape(-1, *(1,) * (-1 - self.axis))

    def __str__(self) -> str:
        return (
            f"partial Fourier along {'zyx'[self.axis]}: {self.stop - self.start} of {self.whole} entries "
            f"({self.fraction:.3g}), further on the {self.side} side"
        )


def extents(sampled: torch.Tensor) -> tuple[Extent, ...]:
    """How far each axis of k-space is sampled.

    Parameters
    ----------
    sampled : bool tensor
        Mask of k-space, not zero everywhere, whose origin is the entry ``N // 2`` of each axis.
    """
    found = []
    for axis in range(-sampled.ndim, 0):
        others = [other for other in range(-sampled.ndim, 0) if other != axis]
        places = (sampled.any(others) if others else sampled).nonzero().flatten()
        gap = int(places.diff().max()) if len(places) > 1 else 1
        found.append(Extent(axis, sampled.shape[axis], int(places[0]), int(places[-1]) + 1, gap))
    return tuple(found)


def partial_axes(sampled: torch.Tensor) -> tuple[Extent, ...]:
    """The extents of the axes that are partial."""
    return tuple(extent for extent in extents(sampled) if extent.is_partial)
