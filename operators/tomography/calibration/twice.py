"""The rays that a fan measures twice, once from either end, and by how much they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from invgen.operators.tomography.geometry import PlanarGeometry

__all__ = ["Agreement", "Twice"]

_TURN = 2 * math.pi
_SAME = 1e-5  # radians: 0 and 360 degrees are one view, in single precision too
_MAX_GAP = 3.0  # typical gaps between views that are interpolated across
_MOST = 1 << 21  # pairs of rays: more do not improve the estimate
_BLUR = 1.2  # bins
_TAPS = 6  # bins to either side, where the kernel has fallen to 4e-6
_CHANGE = 0.25  # bins
_PATCH = (4, 16)  # lines, positions: neighbors share readings
_CLEAR = 4.0  # standard errors
_EXACT = 1e-6  # of the signal's power: what differs by less is the same but for interpolation


@dataclass(frozen=True, eq=False)
class Twice:
    """Views in the order of their angles, and where in them each line is measured, from its two ends.

    The ray of view t and fan angle g is the line of angle ``t - g`` and distance ``R sin g`` from the axis.
    Seen from its other end it has the angle ``t - g + pi`` and the fan angle ``-g``: the views that measure
    the line of angle a are ``a + g`` and ``a + pi - g``. Lines are taken at equal positions to the right and
    to the left of where the axis projects, so that both readings are interpolated alike. Between the bins
    that is by a Gaussian, whose noise gain does not depend on its place between two bins; that of shorter
    kernels does, and noise then favors offsets of half a bin. Between the views it is linear, at places
    that do not move with the offset.

    With `still`, what stands still on the detector is an unknown: it adds the same to all readings of one
    position, which are taken about their mean.
    """

    data: torch.Tensor  # (views, detector)
    views: torch.Tensor  # angles, sorted
    right: tuple[torch.Tensor, ...]  # view before, view after, weight of that; of shape (lines, positions)
    left: tuple[torch.Tensor, ...]
    measured: torch.Tensor  # whether both are there, (lines, positions)
    still: bool = False

    @classmethod
    def of(cls, data: torch.Tensor, angles: torch.Tensor, geometry: PlanarGeometry) -> Twice:
        """Sort the views, and put the mean in place of those of one angle."""
        t = (angles - angles[0] + _SAME) % _TURN
        order = t.argsort()
        t = t[order]
        place = torch.cat([t.new_zeros(1), (t.diff() > _SAME).cumsum(0)]).long()
        size = place.bincount().to(t.dtype)
        t = t.new_zeros(len(size)).index_add_(0, place, t) / size
        data = data.new_zeros(len(size), data.shape[1]).index_add_(0, place, data[order]) / size[:, None]
        return cls._paired(data, t, geometry, geometry.detector_spacing)

    @classmethod
    def _paired(cls, data: torch.Tensor, t: torch.Tensor, geometry: PlanarGeometry, spacing: float) -> Twice:
        half = data.shape[1] // 2
        fan = geometry.fan_angles((torch.arange(half, dtype=t.dtype) + 0.5) * spacing)
        lines = t[:: math.ceil(len(t) * half / _MOST), None]
        *right, there = _between(t, lines + fan)
        *left, back = _between(t, lines + math.pi - fan)
        return cls(data, t, tuple(right), tuple(left), there & back)

    def coarser(self, width: int, geometry: PlanarGeometry) -> Twice:
        """The same with bins of `width` bins, an even number of them about the detector's middle."""
        n = self.data.shape[1]
        centers = (torch.arange(2 * (n // (2 * width))) + 0.5 - n // (2 * width)) * width
        distance = torch.arange(n)[:, None] - (n - 1) / 2 - centers
        kernel = torch.exp(-0.5 * (distance / width) ** 2).to(self.data.dtype)
        data = self.data @ (kernel / kernel.sum(0))
        paired = self._paired(data, self.views, geometry, width * geometry.detector_spacing)
        return replace(paired, still=self.still)

    def positions(self, reach: float) -> int:
        """Number of positions to either side that stay on the detector for all offsets up to `reach`."""
        return max(1, math.floor(self.data.shape[1] / 2 - reach - _TAPS - 1))

    def pairs(self, offset: float, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Both readings of the lines ``(j + 1/2)`` bins from the axis, zero where there are not both.

        With the detector displaced by `offset` bins, the axis is at column ``(n - 1) / 2 - offset``.
        """
        first = self.data.shape[1] / 2 - positions - offset
        start = math.floor(first)
        taps = torch.arange(1 - _TAPS, _TAPS + 1, dtype=self.data.dtype)
        weights = torch.exp(-0.5 * ((taps - (first - start)) / _BLUR) ** 2)
        weights /= weights.sum()
        strip = self.data.new_zeros(len(self.data), 2 * positions)
        for tap, weight in zip(taps.long().tolist(), weights.tolist(), strict=True):
            strip.add_(self.data[:, start + tap : start + tap + 2 * positions], alpha=weight)
        there = self.measured[:, :positions]
        left, right = strip[:, :positions].flip(1), strip[:, positions:]
        return _read(right, self.right, there), _read(left, self.left, there)

    def moving(self, side: torch.Tensor) -> torch.Tensor:
        """Readings less what stands still, where that is an unknown."""
        if not self.still:
            return side
        there = self.measured[:, : side.shape[1]]
        return (side - side.sum(0) / there.sum(0).clamp(min=1)).mul_(there)

    def misfit(self, offset: float, positions: int) -> float:
        """Sum of the squared differences."""
        right, left = self.pairs(offset, positions)
        return float(self.moving(right - left).square().sum())

    def relative_misfit(self, offset: float, positions: int) -> float:
        """The same, over the power of the readings: what remains comparable as their number changes."""
        right, left = (self.moving(side) for side in self.pairs(offset, positions))
        power = _power(right, left, self.measured[:, :positions])
        return float((right - left).square().sum()) / power if power > 0 else math.inf

    def agreement(self, offset: float, positions: int) -> Agreement:
        """The differences at an offset, and how they change with it."""
        below, here, above = (
            self.moving(right - left)
            for right, left in (self.pairs(offset + step, positions) for step in (-_CHANGE, 0.0, _CHANGE))
        )
        squares = [float(difference.square().sum()) for difference in (below, here, above)]
        return Agreement(
            difference=here,
            change=(above - below) / (2 * _CHANGE),
            curvature=(squares[0] - 2 * squares[1] + squares[2]) / (2 * _CHANGE**2),
            power=_power(*self.pairs(offset, positions), self.measured[:, :positions]),
        )


@dataclass(frozen=True, eq=False)
class Agreement:
    """Differences of the rays measured twice, at one offset."""

    difference: torch.Tensor  # (lines, positions)
    change: torch.Tensor  # of the difference, per bin
    curvature: float  # half the second derivative of the misfit, to which noise adds nothing
    power: float  # of the readings about their mean

    @property
    def misfit(self) -> float:
        """Sum of the squared differences."""
        return float(self.difference.square().sum())

    @property
    def uncertainty(self) -> float:
        """Standard error of the offset in bins: the scatter of the misfit's slope over its curvature.

        The scatter is that between patches of rays (Liang and Zeger 1986): neighbors share readings and
        errors, and are one observation.
        """
        scatter = _scatter(_patches(self.difference * self.change))
        return scatter / self.curvature if self.curvature > 0 else math.inf

    def clearly_better_than(self, other: Agreement) -> bool:
        """Whether its squares are smaller: by half, or by more than the scatter between patches of rays."""
        gain = _patches(other.difference.square() - self.difference.square())
        enough = min(_CLEAR * _scatter(gain), other.misfit / 2)
        return float(gain.sum()) > max(enough, _EXACT * self.power)


def _between(t: torch.Tensor, angles: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Neighbors of angles in the sorted views t around the circle; False where there is a gap."""
    angles = angles % _TURN
    after = torch.searchsorted(t, angles)
    before = (after - 1) % len(t)
    after %= len(t)
    gaps = (t - t.roll(1)) % _TURN  # before each view
    gap = gaps[after]
    weight = ((angles - t[before]) % _TURN) / gap
    # just short of a view, rounding can make the distance from the one before a whole turn
    there = (gap <= _MAX_GAP * gaps.median() + _SAME) & (weight < 1.5)
    return before, after, weight.clamp(max=1), there


def _read(side: torch.Tensor, places: tuple[torch.Tensor, ...], there: torch.Tensor) -> torch.Tensor:
    """Values of one side, (views, positions), between the views at these places."""
    before, after, weight = (part[:, : side.shape[1]] for part in places)
    return torch.lerp(side.gather(0, before), side.gather(0, after), weight).mul_(there)


def _power(right: torch.Tensor, left: torch.Tensor, measured: torch.Tensor) -> float:
    total, count = float(right.sum() + left.sum()), 2 * int(measured.sum())
    return float(right.square().sum() + left.square().sum()) - total**2 / max(count, 1)


def _patches(values: torch.Tensor) -> torch.Tensor:
    """Sums over patches of rays."""
    lines, positions = (-n % m for n, m in zip(values.shape, _PATCH, strict=True))
    values = torch.nn.functional.pad(values, (0, positions, 0, lines))
    return values.unflatten(0, (-1, _PATCH[0])).unflatten(2, (-1, _PATCH[1])).sum((1, 3)).flatten()


def _scatter(sums: torch.Tensor) -> float:
    """Standard error of a sum of independent numbers, from these."""
    return math.sqrt(float((sums - sums.mean()).square().sum()))
