"""The incident beam of each view, seen in the air beside the object."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch

from invgen.core.errors import ParameterError
from invgen.io.ct.projections import Projections, require

__all__ = ["Air"]

#: Standard errors beyond which noise is no explanation.
_SIGMAS = 5.0
#: Transmission of air that no drift of the beam explains, and a standard error of it at an edge that would
#: hide an object there.
_DIMMEST, _BLIND = 0.5, 0.05
#: Fraction of the columns at each edge that are looked at first.
_EDGE = 0.02


@dataclass(frozen=True)
class Air:
    """Divide each view by its transmission in the air beside the object: by its incident beam.

    Flat fields are taken before a scan, or after it, and the beam drifts and flickers in between. What it was
    in each view is the mean over columns that no ray through the object reaches (as by
    ``normalize_bg`` of TomoPy, Gursoy et al. 2014).

    Parameters
    ----------
    columns : "auto", "off", or tuple of (int, int)
        Ranges of columns, from the first up to before the second, before columns are binned. "auto" takes
        columns at both edges of the detector, where these agree with one another in every view, as far as
        noise lets them, are at least half as bright as the flat fields, and are known to 5 %; and divides
        only where the beam varies more than noise does. It does nothing where the noise is not known, or
        where the object reaches an edge: name columns then.

    Raises
    ------
    ParameterError
        For ranges that are empty or outside of the detector, or that are dark in some view.
    """

    columns: Literal["auto", "off"] | tuple[tuple[int, int], ...] = "auto"

    def __call__(self, projections: Projections) -> Projections:
        """Divide."""
        if self.columns == "off":
            return projections
        require(projections, "Air", "transmission")
        if self.columns == "auto":
            air = _both_edges(projections)
            if air is None:
                return projections
        else:
            air = self._given(projections, self.columns)
        beam, error = _mean(projections, air)
        if self.columns == "auto" and not _varies(beam, error):
            return projections
        if bool((beam <= 0).any()):
            raise ParameterError(
                f"the columns of air have no transmission in {int((beam <= 0).sum())} views: choose others, "
                'air=... (command line: --air), or "off".'
            )
        scale = beam[:, None].to(projections.data)
        data, std = projections.data / scale, projections.std
        quanta = projections.quanta
        if quanta is not None:
            quanta = replace(quanta, open=quanta.open * scale)
        if std is not None:
            of_beam = (error / beam)[:, None].to(data)
            std = torch.where(
                std.isfinite(), ((std / scale).square() + (data * of_beam).square()).sqrt(), std
            )
        return replace(projections, data=data, std=std, quanta=quanta).assumed(
            f"each view is divided by its transmission in the air beside the object, columns {_ranges(air)}: "
            f'{float(beam.min()):.3g} to {float(beam.max()):.3g}, the beam varies; air="off" (command line: '
            "--air off) leaves it"
        )

    @staticmethod
    def _given(projections: Projections, ranges: tuple[tuple[int, int], ...]) -> torch.Tensor:
        air = torch.zeros(projections.columns, dtype=torch.bool)
        for first, stop in ranges:
            if not 0 <= int(first) < int(stop) <= projections.columns:
                raise ParameterError(
                    f"columns {first}:{stop} of air are not among the {projections.columns} of the detector."
                )
            air[int(first) : int(stop)] = True
        return air


def _mean(projections: Projections, air: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean transmission of each view in some columns, without dead rays, and its standard error; float64."""
    data = projections.data[:, air].double()
    alive = torch.ones_like(data)
    if projections.dead is not None:
        alive = 1 - projections.dead[:, air].double()
    count = alive.sum(1).clamp(min=1)
    mean = (data * alive).sum(1) / count
    if projections.std is None:  # the columns themselves show it
        spread = ((data - mean[:, None]) * alive).square().sum(1) / (count - 1).clamp(min=1)
        return mean, (spread / count).sqrt()
    variance = (torch.where(alive > 0, projections.std[:, air], 0).double().square()).sum(1)
    return mean, variance.sqrt() / count


def _both_edges(projections: Projections) -> torch.Tensor | None:
    """Columns at either edge that are air in every view; None where an edge has none, or noise is unknown."""
    from invgen.io.ct.sweeps import deviations

    if projections.std is None or projections.views < 3:
        return None
    columns, width = projections.columns, max(2, math.ceil(_EDGE * projections.columns))
    place = torch.arange(columns)
    left, right = place < width, place >= columns - width
    both = left | right
    first, second = (_mean(projections, side) for side in (left, right))
    if min(float(first[0].min()), float(second[0].min())) < _DIMMEST:
        return None
    if max(float(first[1].max()), float(second[1].max())) > _BLIND:
        return None
    apart = (first[0] - second[0]) / (first[1].square() + second[1].square()).sqrt().clamp(min=1e-12)
    if float((apart - apart.mean()).square().mean()) > 1 + _SIGMAS * math.sqrt(2 / projections.views):
        return None
    # the flats' noise is common to all views: a column's mean deviates by less than a ray does
    beam, _ = _mean(projections, both)
    sums = torch.zeros(columns, dtype=torch.float64)
    least = torch.full_like(sums, math.inf)
    rays = (projections.data.contiguous(), projections.std.contiguous())
    deviations(*(each.numpy() for each in (*rays, beam, sums, least)))
    air = ((sums / projections.views).abs() < 1) & (least > -_SIGMAS)
    # an edge that the object reaches differs from the other one, or from column to column
    if not bool(air[both].all()):
        return None
    # from each edge on, as far as the air goes
    return (air.long().cumprod(0) + air.flip(0).long().cumprod(0).flip(0)) > 0


def _varies(beam: torch.Tensor, error: torch.Tensor) -> bool:
    """Whether the incident beam differs from that of the flats by more than noise explains."""
    excess = ((beam - 1) / error.clamp(min=1e-12)).square().mean()
    return float(excess) > 1 + _SIGMAS * math.sqrt(2 / len(beam))


def _ranges(mask: torch.Tensor) -> str:
    """Runs of true entries, as first to last."""
    places = torch.nonzero(mask).reshape(-1)
    breaks = torch.nonzero(places.diff() > 1).reshape(-1)
    firsts = [int(places[0]), *places[breaks + 1].tolist()]
    lasts = [*places[breaks].tolist(), int(places[-1])]
    return ", ".join(f"{a} to {b}" for a, b in zip(firsts, lasts, strict=True))
