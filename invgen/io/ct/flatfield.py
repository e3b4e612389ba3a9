"""From counts to line integrals, with the noise of each ray propagated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from invgen.core.errors import DataError, ParameterError
from invgen.io.ct.defects import MAX_DEAD
from invgen.io.ct.projections import Projections, require
from invgen.io.ct.quanta import Quanta

__all__ = ["FlatField", "MinusLog", "estimate_gain"]

#: Standard errors beyond which noise is no explanation.
_SIGMAS = 5.0
_ASSUMED = "assumed, for want of three flat fields: the noise of rays is known up to a factor only"
_NAMES = {"clipped": "clipped mean", "median": "median", "mean": "mean"}

#: Standard deviations from the median beyond which a reading is no part of the mean.
_CLIP = 5.0


@dataclass(frozen=True)
class FlatField:
    """Transmission ``T = (I - D) / (F - D)`` from counts I, flat field F and dark field D, with its noise.

    The noise is propagated to first order, with ``var I = gain (I - D) + read``, at least one quantum:
    ``var T = (var I + T^2 var F + (1 - T)^2 var D) / (F - D)^2``, where F and D are averages of several
    frames. The errors of F and D are common to all views, but are treated as independent.

    Flats that were taken before, after or between the views, where that is known (`Projections.times`), are
    combined in groups. Where these differ by more than noise, the flat field of each view is interpolated
    linearly in time between them, and so is its noise; before the first group, and after the last, it is
    theirs. Where they do not, all frames are combined.

    Parameters
    ----------
    method : {"clipped", "median", "mean"}
        How frames are combined. The median ignores zingers, but its noise is a quarter larger than the
        mean's, and that of few quanta lies below their expectation. "clipped" is the mean of what lies within
        five standard deviations of the median.
    gain : float or None
        Counts per detected quantum; None estimates it from the flats, see `estimate_gain`.
    """

    method: Literal["clipped", "median", "mean"] = "clipped"
    gain: float | None = None

    def __call__(self, projections: Projections) -> Projections:
        """Divide."""
        from invgen.io.ct.sweeps import divided

        if self.method not in _NAMES:
            raise ParameterError(
                f'FlatField expects method "clipped", "median" or "mean"; got {self.method!r}.'
            )
        require(projections, "FlatField", "counts")
        if projections.flats is None:
            raise DataError(
                "the scan has no flat fields, so that counts cannot become transmission. "
                'Give flats=... (command line: --flats), or say quantity="transmission" or '
                '"absorption" (command line: --quantity) for data that are divided already.'
            )
        flats, darks = projections.flats.double(), projections.darks
        darks = None if darks is None else darks.double()
        every = self._combined(flats)
        dark = torch.zeros_like(every) if darks is None else self._combined(darks)
        dead, defects = _unusable(projections, flats, every - dark)
        groups = _groups(projections, flats)
        gain = self.gain if self.gain is not None else estimate_gain(flats, darks, groups)
        origin = "from the flats" if self.gain is None else "given"
        # of noise that is not known it cannot be said whether groups differ by more
        if len(groups) > 1 and (gain is None or self._differ(projections, groups, every - dark, gain, darks)):
            flat, reduction, what = self._interpolated(projections, groups)
        else:
            alike = f", whose {len(groups)} groups differ by no more than noise" if len(groups) > 1 else ""
            flat, reduction = every, torch.tensor(self._reduction(len(flats)))
            what = f"the {_NAMES[self.method]} of {len(flats)} flat fields{alike}"
        if gain is None:
            gain, origin = 1.0, _ASSUMED

        dead = dead | (flat - dark <= 0)
        stored = projections.data.float().contiguous()
        ratio, std, counts = (torch.empty_like(stored) for _ in range(3))
        read = _read_variance(darks)
        divided(
            stored.numpy(),
            dark.numpy(),
            flat.reshape(-1, projections.columns).numpy(),
            reduction.double().reshape(-1).numpy(),
            float(gain),
            read,
            0.0 if darks is None else self._reduction(len(darks)) * read,
            *(each.numpy() for each in (ratio, std, counts)),
        )
        span = torch.where(flat > dark, flat - dark, 1.0)
        out = replace(
            projections,
            data=ratio,
            std=std,
            quantity="transmission",
            flats=None,
            darks=None,
            times=None,
            saturation=None,
            quanta=Quanta(
                counts,
                (span / gain).float().expand_as(counts),
                torch.tensor(read / gain**2, dtype=torch.float32).expand_as(counts),
            ),
        ).with_dead(dead)
        less = "no dark fields, taken as zero" if darks is None else f"less that of {len(darks)} dark fields"
        out = out.reported(
            f"divided by {what}, {less}: transmission "
            f"{out.data.min():.3g} to {out.data.max():.3g}; gain {gain:.3g} counts per quantum, {origin}"
        )
        return replace(out, report=(*out.report, *defects))

    def _differ(
        self,
        projections: Projections,
        groups: list[torch.Tensor],
        span: torch.Tensor,
        gain: float,
        darks: torch.Tensor | None,
    ) -> bool:
        """Whether groups of flats differ by more than noise explains: chi-squared over all columns."""
        flats = torch.stack([self._combined(group) for group in groups])
        weights = torch.tensor([1 / self._reduction(len(group)) for group in groups], dtype=torch.float64)
        mean = weights @ flats / weights.sum()
        of_frame = gain * span.clamp(min=gain) + _read_variance(darks)
        excess = weights @ (flats - mean).square() / of_frame
        if projections.dead is not None:
            excess = excess[~projections.dead.all(0)]
        freedom = len(excess) * (len(groups) - 1)
        return float(excess.sum()) > freedom + _SIGMAS * math.sqrt(2 * freedom)

    def _interpolated(
        self, projections: Projections, groups: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, str]:
        """Flat field of each view, its variance relative to that of a frame, and how it was made."""
        assert projections.times is not None, "there are groups"
        weights = _interpolation(projections.times[0], projections.times[1].unique())
        reductions = torch.tensor([self._reduction(len(group)) for group in groups], dtype=torch.float64)
        counts = ", ".join(str(len(group)) for group in groups)
        return (
            weights @ torch.stack([self._combined(group) for group in groups]),
            (weights.square() @ reductions)[:, None],
            f"flat fields interpolated in time between the {_NAMES[self.method]}s of {len(groups)} groups "
            f"({counts})",
        )

    def _reduction(self, frames: int) -> float:
        """Variance of the combination of frames, relative to that of one."""
        return (math.pi / 2 if self.method == "median" and frames > 2 else 1.0) / frames

    def _combined(self, frames: torch.Tensor) -> torch.Tensor:
        if self.method == "clipped":
            return _clipped_mean(frames)
        return frames.mean(0) if self.method == "mean" else frames.quantile(0.5, dim=0)


def _groups(projections: Projections, flats: torch.Tensor) -> list[torch.Tensor]:
    """Flats that were taken in a row, the first first; all of them where times are not known."""
    if projections.times is None:
        return [flats]
    times, member = projections.times[1].unique(return_inverse=True)
    return [flats[member == group] for group in range(len(times))]


def _interpolation(times: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Weights of linear interpolation between values at some times, constant beyond: (times, values)."""
    after = torch.searchsorted(at, times).clamp(1, len(at) - 1)
    share = ((times - at[after - 1]) / (at[after] - at[after - 1])).clamp(0, 1)
    weights = torch.zeros(len(times), len(at), dtype=torch.float64)
    weights.scatter_(1, after[:, None] - 1, 1 - share[:, None])
    return weights.scatter_(1, after[:, None], share[:, None])


def _clipped_mean(frames: torch.Tensor) -> torch.Tensor:
    """Mean over frames of what lies within five standard deviations of the median, shape (columns,).

    A column's standard deviation is the larger of its own, by the median deviation, and the one that its
    brightness has in most columns, and of whole numbers at least one.
    """
    middle = frames.quantile(0.5, dim=0)
    apart = (frames - middle).abs()
    own, root = apart.quantile(0.5, dim=0), middle.abs().sqrt()
    usual = root * (own / root.clamp(min=1e-30)).quantile(0.5)
    least = float((frames == frames.round()).all())
    inside = apart <= _CLIP * (torch.maximum(own, usual) / 0.6745).clamp(min=least)
    return torch.where(inside, frames, 0).sum(0) / inside.sum(0)


def _unusable(
    projections: Projections, flats: torch.Tensor, span: torch.Tensor
) -> tuple[torch.Tensor, list[str]]:
    """Rays that flats or saturation make unusable, and sentences on them.

    Raises
    ------
    DataError
        When there are too many to be defects of single pixels.
    """
    known = torch.zeros(projections.columns, dtype=torch.bool)
    if projections.dead is not None:
        known = projections.dead.all(0)
    middle = flats.quantile(0.5, dim=0)  # one frame may hold a zinger
    if not middle.any():
        raise DataError(
            "the flat fields are zero everywhere: they were taken without beam. Give other flats."
        )
    sentences = []
    dark = (span <= 0) & ~known
    if dark.double().mean() > MAX_DEAD:
        raise DataError(
            f"{int(dark.sum())} of {len(dark)} pixels are no brighter in the flat than in the dark fields: "
            "the two are exchanged, or the flats were taken without beam."
        )
    dead = dark.expand(projections.views, -1)
    if dark.any():
        sentences.append(
            f"{int(dark.sum())} pixels are no brighter in the flat than in the dark fields: taken as dead"
        )
    if projections.saturation is not None:
        clipped = (middle >= projections.saturation) & ~known
        if clipped.double().mean() > MAX_DEAD:
            raise DataError(
                f"{int(clipped.sum())} of {len(clipped)} pixels of the flat fields are saturated, at "
                f"{projections.saturation:g}, the largest value of the detector: the open beam is not "
                "measured. Give flats with a shorter exposure, or data that are divided already."
            )
        rays = (projections.data >= projections.saturation) | clipped
        if rays.any():
            sentences.append(
                f"{int(rays.sum())} rays are saturated, at {projections.saturation:g}: taken as dead"
            )
        dead = dead | rays
    return dead, sentences


def estimate_gain(
    flats: torch.Tensor, darks: torch.Tensor | None, groups: Sequence[torch.Tensor] | None = None
) -> float | None:
    """Estimate the counts per quantum, variance over mean of the flat frames (photon transfer).

    Janesick, Photon Transfer (2007), ch. 4. Each frame is first scaled to the mean of all, so that the beam
    may flicker; the median over columns ignores pixels that are not Poisson, and is corrected for the
    skewness of a chi-squared variable (Wilson and Hilferty 1931).

    Parameters
    ----------
    flats, darks : tensors, shape (k, columns), or None
    groups : sequence of tensors, optional
        The flats in groups between which the beam may have changed.

    Returns
    -------
    float or None
        None for fewer than two frames more than groups, or where the variance does not exceed that of the
        dark frames.
    """
    groups = [flats] if groups is None else groups
    freedom = len(flats) - len(groups)
    if freedom < 2:
        return None
    offset = 0.0 if darks is None else darks.double().mean(0)
    mean = flats.double().mean(0) - offset
    squares = torch.zeros_like(mean)
    for group in groups:
        signal = group.double() - offset
        signal = signal * (mean.mean() / signal.mean(1, keepdim=True))
        squares += (signal - signal.mean(0)).square().sum(0)
    ratio = (_skew_free(squares / freedom, freedom) - _read_variance(darks)) / mean
    gain = float(ratio[torch.isfinite(ratio)].quantile(0.5)) if torch.isfinite(ratio).any() else 0.0
    return gain if gain > 0 else None


def _read_variance(darks: torch.Tensor | None) -> float:
    """Variance of a pixel between dark frames, one robust number for all columns; zero if not known."""
    if darks is None or len(darks) < 3:
        return 0.0
    return float(_skew_free(darks.double().var(0), len(darks) - 1).quantile(0.5))


def _skew_free(variance: torch.Tensor, freedom: int) -> torch.Tensor:
    """Scale sample variances so that their median, instead of their mean, is the variance."""
    return variance / (1 - 2 / (9 * freedom)) ** 3


@dataclass(frozen=True)
class MinusLog:
    """Line integrals ``-log T`` of the transmission, with std ``std T / T``: the weights of least squares.

    A transmission below the floor, or below its own noise where that is known, is raised to it: the
    logarithm of noise is biased, and such a ray then has a std of one or more.

    Parameters
    ----------
    floor : float
        Smallest transmission, positive.
    """

    floor: float = 1e-4

    def __call__(self, projections: Projections) -> Projections:
        """Take the logarithm."""
        from invgen.io.ct.sweeps import raised

        if not self.floor > 0:
            raise ParameterError(f"MinusLog expects a positive floor; got {self.floor}.")
        require(projections, "MinusLog", "transmission")
        data, std = projections.data, projections.std
        if std is None:
            low = int((data < self.floor).sum())
            positive = data.clamp(min=self.floor)
        else:
            data = data.contiguous()
            positive, relative = torch.empty_like(data), torch.empty_like(data)
            low = raised(
                data.numpy(), std.contiguous().numpy(), self.floor, positive.numpy(), relative.numpy()
            )
            std = relative
        lines = positive.log_().neg_()
        out = replace(projections, data=lines, std=std, quantity="absorption")
        return out.reported(
            f"took minus the logarithm: line integrals {lines.min():.3g} to {lines.max():.3g}; "
            f"{low} rays were raised to the floor"
        )
