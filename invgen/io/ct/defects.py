"""Steps that repair the errors of a detector: bad frames, pixels and single rays."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invgen.core.errors import DataError
from invgen.io.ct.projections import Projections, require, require_finite

__all__ = ["MAX_DEAD", "DeadPixels", "DropBadFrames", "Zingers", "median_filter", "mirrored"]

MAX_DEAD = 0.05
"""Largest fraction of dead columns that is repaired; a larger one has another cause than dead pixels."""

#: Values that a running median copies at once.
_AT_ONCE = 2**24


@dataclass(frozen=True)
class DropBadFrames:
    """Leave out frames without an image: not finite throughout, constant, or far from the intensity around.

    A frame of which only a part is NaN or infinite is an error, for the user to repair or leave out.

    Parameters
    ----------
    tolerance : float
        A frame of counts or transmission is bad when its mean is further than this fraction from the median
        of the means of the seven views around it (a lost beam, a shutter that did not open).
    """

    tolerance: float = 0.5

    def __call__(self, projections: Projections) -> Projections:
        """Leave out the bad frames."""
        mean, lost, constant = _of_frames(projections.data)
        cone = projections.beam is not None and projections.beam.kind == "cone"
        if projections.quantity == "absorption" and (cone or (constant | lost).all()):
            constant = torch.zeros_like(constant)  # air: of a slice, or where a cone passes the object by
        bad = lost | constant
        odd = torch.zeros_like(bad)
        if projections.quantity != "absorption" and (~bad).sum() >= 3:
            around = median_filter(mean[~bad, None], 7, 0)[:, 0]
            odd[~bad] = (mean[~bad] - around).abs() > self.tolerance * around.abs()
            bad = bad | odd
        if bad.sum() > len(bad) // 2:
            raise DataError(
                f"{int(bad.sum())} of {len(bad)} frames have no image ({int(lost.sum())} not finite, "
                f"{int(constant.sum())} constant, {int(odd.sum())} of odd intensity): this is no scan, "
                "or the order of the axes is not the one given."
            )
        if not bad.any():
            return projections
        which = ", ".join(str(i) for i in torch.nonzero(bad).reshape(-1).tolist()[:8])
        return projections.selected(~bad).reported(
            f"left out {int(bad.sum())} of {len(bad)} frames ({int(lost.sum())} not finite, "
            f"{int(constant.sum())} constant, {int(odd.sum())} of odd intensity), first views {which}"
        )


def _of_frames(data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean of each frame, which of them are not finite throughout, and which are constant.

    Raises
    ------
    DataError
        Where a part of a frame is not finite.
    """
    from invgen.io.ct.sweeps import looked_at

    mean = torch.empty(len(data), dtype=torch.float64)
    some, every, constant = (torch.empty(len(data), dtype=torch.bool) for _ in range(3))
    looked_at(*(each.contiguous().numpy() for each in (data, mean, some, every, constant)))
    if bool((some & ~every).any()):
        require_finite(data.masked_fill(~some[:, None], 0), "projections", "view")
    return mean, ~some, some & constant


@dataclass(frozen=True)
class DeadPixels:
    """Mark columns that do not respond to the beam, and fill them from their neighbors.

    A column is dead when its flat field, less the dark field, is not positive, when all its frames of any
    kind are the same, or when its response differs by more than the factor `ratio` from the median around it.

    Parameters
    ----------
    ratio : float
        Largest factor between the response of a column and the median of the eleven columns around it.
    """

    ratio: float = 2.0

    def __call__(self, projections: Projections) -> Projections:
        """Mark and fill the dead columns."""
        require(projections, "DeadPixels", "counts")
        if projections.flats is None:
            return projections
        response = projections.flats.double().median(0).values
        stuck = torch.zeros_like(response, dtype=torch.bool)
        if projections.darks is not None:
            response = response - projections.darks.double().median(0).values
            every = torch.cat([projections.data, projections.flats, projections.darks])
            stuck = (every == every[:1]).all(0)
        around = median_filter(response[None], 11, 1)[0]
        odd = (response < around / self.ratio) | (response > around * self.ratio)
        dead = (response <= 0) | stuck | odd
        if not dead.any():
            return projections
        if dead.double().mean() > MAX_DEAD:
            raise DataError(
                f"{int(dead.sum())} of {len(dead)} columns do not respond to the beam as their neighbors do "
                f"({int((response <= 0).sum())} are no brighter in the flat than in the dark fields): "
                "the flat fields are not of this scan, or were taken without beam."
            )
        which = ", ".join(map(str, torch.nonzero(dead).reshape(-1).tolist()[:8]))
        out = projections.with_dead(dead.expand(projections.views, -1))
        return out.reported(
            f"{int(dead.sum())} dead columns, beginning with {which}, were filled from their neighbors"
        )


@dataclass(frozen=True)
class Zingers:
    """Mark single rays that are too bright (direct hits on the camera), and fill them from their neighbors.

    A ray is a zinger when it exceeds both the median of five views and that of five columns around it.

    Parameters
    ----------
    threshold : float
        Least excess, in transmission (1 is the open beam). An excess of less than eight standard deviations
        is left as it is: the noise explains it.
    """

    threshold: float = 0.2

    def __call__(self, projections: Projections) -> Projections:
        """Mark and fill the zingers."""
        from invgen.io.ct.sweeps import too_bright

        require(projections, "Zingers", "transmission")
        data = projections.data
        if projections.views < 3:
            return projections
        limit = torch.full_like(data, self.threshold)
        if projections.std is not None:
            limit = torch.maximum(limit, 8 * projections.std)
        zingers = torch.empty(data.shape, dtype=torch.bool)
        too_bright(*(each.contiguous().numpy() for each in (data, limit)), zingers.numpy())
        count = int(zingers.sum())
        if count == 0:
            return projections
        return projections.with_dead(zingers).reported(
            f"{count} zingers ({count / data.numel():.2g} of the rays) were filled from their neighbors"
        )


def median_filter(data: torch.Tensor, size: int, axis: int) -> torch.Tensor:
    """Take the running median of odd `size` along an axis of a matrix, mirrored at its ends."""
    if axis == 0:
        return median_filter(data.T, size, 1).T
    index = mirrored(data.shape[1], size // 2)
    rows = data.split(max(1, _AT_ONCE // index.numel()))
    return torch.cat([part[:, index].median(2).values for part in rows])


def mirrored(length: int, half: int) -> torch.Tensor:
    """Indices of the windows around each entry of an axis, mirrored at its ends: (length, 2 half + 1)."""
    index = (torch.arange(length)[:, None] + torch.arange(-half, half + 1)).abs()
    return (length - 1 - (length - 1 - index).abs()).clamp(0, length - 1)
