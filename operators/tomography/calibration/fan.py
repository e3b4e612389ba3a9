"""The detector's offset and the sense of rotation of a fan, from the rays that are measured twice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from invgen.operators.tomography.calibration.agreement import settled
from invgen.operators.tomography.calibration.twice import Twice
from invgen.operators.tomography.geometry import PlanarGeometry

__all__ = ["FEWEST", "FanFit", "covered", "cut_edges", "fit_fan"]

_COARSE = 128  # columns
_FINER = 512  # columns, where the axis may be next to an edge
_STEP = math.radians(10)  # views further apart leave a gap between them
_SEARCH = 0.2  # of the detector, to either side
_FARTHEST = 0.35  # of the detector
_MARGIN = 12  # bins, and coarse ones, that the search keeps to either side
_EDGE = 0.05  # of the largest line integral: what exceeds it at an edge is object, not background
FEWEST = 32  # bins
_FINE = 0.02  # bins
_SYSTEMATIC = 2e-3  # bins; what interpolation leaves
_FAR = 6  # half coarse bins


@dataclass(frozen=True)
class FanFit:
    """The best fit, lengths in bins, and what is uncertain about it."""

    offset: float
    uncertainty: float
    rotation: int
    residual: float
    ratio: float  # misfit of the other sense of rotation over that of this one
    sense_found: bool
    doubt: str | None


def covered(angles: torch.Tensor) -> float:
    """Angle that the views cover of a turn: all but the largest gap, one step of which is between views."""
    t = (angles % (2 * math.pi)).sort().values
    gaps = torch.cat([t, t[:1] + 2 * math.pi]).diff()
    typical = min(float(gaps[gaps > 1e-9].median()), _STEP)
    return 2 * math.pi - max(0.0, float(gaps.max()) - typical)


def cut_edges(data: torch.Tensor) -> tuple[bool, bool]:
    """Whether the object passes the first and the last bin, in half of the views or more."""
    width, limit = max(1, data.shape[1] // 100), _EDGE * float(data.amax(1).median())
    first, last = (float(edge.mean(1).median()) > limit for edge in (data[:, :width], data[:, -width:]))
    return first, last


def fit_fan(data: torch.Tensor, angles: torch.Tensor, geometry: PlanarGeometry) -> FanFit:
    """Find the offset and the sense of rotation by which the rays measured twice differ least.

    On a full turn the axis may be next to an edge of the detector, as of half-fans and half-acquisitions: the
    object then passes that edge, and the search reaches there. What is compared are the columns about the
    axis, by which Vo et al. (2021) find it too. A second fit takes what stands still on the detector as an
    unknown, see `settled`.

    Parameters
    ----------
    data : tensor, float64 (views, detector)
    angles : tensor, float64 (views,)
    geometry : FanGeometry or ParallelBeam
        Distances and detector; the search reaches at least as far as its offset. Parallel beams are alike
        for both senses of rotation.
    """
    count, spacing = geometry.detector_count, geometry.detector_spacing
    stated = abs(geometry.detector_offset) / spacing
    cut = cut_edges(data) if geometry.turns_fully else (False, False)
    width = max(1, count // (_FINER if any(cut) else _COARSE))
    usual = min(max(_SEARCH * count, stated + 0.05 * count), _FARTHEST * count, count / 2 - _MARGIN)
    farthest = max(usual, count / 2 - _MARGIN * width)
    # a detector that is displaced towards its last bin has the axis next to its first one
    reach = (farthest if cut[1] else usual, farthest if cut[0] else usual)
    senses = [Twice.of(data, sense * angles, geometry) for sense in (1, -1)]
    without_still = [replace(rays, still=True) for rays in senses]
    precise, robust = (_fitted(each, geometry, reach, width) for each in (senses, without_still))
    return settled(precise, robust)


def _fitted(senses: list[Twice], geometry: PlanarGeometry, reach: tuple[float, float], width: int) -> FanFit:
    """The best fit of either sense of rotation; see `_search`."""
    found = [_search(rays, geometry, reach, width) for rays in senses]
    positions = senses[0].positions(max(abs(offset) for offset, _ in found))
    forward, backward = (
        rays.agreement(offset, positions) for rays, (offset, _) in zip(senses, found, strict=True)
    )
    reverse = backward.clearly_better_than(forward)
    best, rays, (offset, other) = (
        (backward, senses[1], found[1]) if reverse else (forward, senses[0], found[0])
    )
    worse = forward if reverse else backward
    doubt = None
    if not best.uncertainty < 0.5:
        doubt = "its standard error is more than half a bin"
    else:
        positions = rays.positions(max(abs(offset), abs(other)))
        here, there = (rays.agreement(place, positions) for place in (offset, other))
        if not here.clearly_better_than(there):
            doubt = "another place fits nearly as well"
    return FanFit(
        offset=offset,
        uncertainty=math.hypot(best.uncertainty, _SYSTEMATIC),
        rotation=-1 if reverse else 1,
        residual=math.sqrt(best.misfit / best.power) if best.power > 0 else 0.0,
        ratio=worse.misfit / best.misfit if best.misfit > 0 else 1.0,
        sense_found=reverse or forward.clearly_better_than(backward),
        doubt=doubt,
    )


def _search(
    rays: Twice, geometry: PlanarGeometry, reach: tuple[float, float], width: int
) -> tuple[float, float]:
    """The best offset in bins, and the best of the offsets that are clearly different.

    From the first of `reach` below zero to the second above it, at first in bins of `width` bins.
    """
    coarse = rays.coarser(width, geometry)
    places = torch.arange(-reach[0] / width, reach[1] / width + 0.5, 0.5).tolist()
    misfits = [coarse.relative_misfit(place, coarse.positions(abs(place))) for place in places]
    best = min(range(len(places)), key=misfits.__getitem__)
    far = [i for i in range(len(places)) if abs(i - best) > _FAR]
    other = min(far, key=misfits.__getitem__) if far else best

    start = offset = places[best] * width
    step = width / 2
    # the same for all offsets, so that noise contributes equally
    positions = rays.positions(abs(start) + width + 1)
    least = rays.misfit(offset, positions)
    while True:
        below, above = (rays.misfit(offset + side * step, positions) for side in (-1, 1))
        side = -1 if below < above else 1
        if min(below, above) < least and abs(offset + side * step - start) <= width:
            offset, least = offset + side * step, min(below, above)
        elif step > _FINE:
            step /= 2
        else:
            break
    curvature = below - 2 * least + above
    if curvature > 0:
        offset += step * min(max((below - above) / (2 * curvature), -1.0), 1.0)
    return offset, places[other] * width
