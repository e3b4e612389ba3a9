"""Neighboring detector rows as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from invgen.core.errors import DataError
from invgen.io.ct.center import CenterEstimate
from invgen.io.ct.projections import Projections, averaged, summed
from invgen.io.ct.quanta import Quanta

__all__ = ["joined"]


def joined(rows: Sequence[Projections]) -> Projections:
    """Average rows of a detector, as if its pixels were as high as all of them together.

    Transmissions are averaged before the logarithm, as a larger pixel would, and line integrals where these
    are what was measured. A dead ray is left out of the mean, quanta are summed, views that one row has lost
    are left out, and the rotation axis is that at the middle of the rows.

    Parameters
    ----------
    rows : sequence of Projections
        Of one quantity and one scan, each with its center.

    Raises
    ------
    DataError
        Where no view is good in all rows.
    """
    if len(rows) == 1:
        return rows[0]
    middle = rows[len(rows) // 2]
    kept = [_index(row) for row in rows]
    common = set(kept[0].tolist()).intersection(*(index.tolist() for index in kept[1:]))
    if not common:
        raise DataError(f"each view is bad in one of {len(rows)} rows that are averaged: none is left.")
    wanted = torch.tensor(sorted(common))
    members = [row.selected(torch.isin(index, wanted)) for row, index in zip(rows, kept, strict=True)]
    out = members[len(rows) // 2]

    stds = [row.std for row in members if row.std is not None]
    dead = None
    if any(row.dead is not None for row in members):
        alive = torch.zeros(out.data.shape, dtype=torch.bool)
        dead = _beside([alive if row.dead is None else row.dead for row in members])
    std = _beside(stds) if len(stds) == len(rows) else None
    data, std, none = averaged(_beside([row.data for row in members]), std, dead, len(rows))
    counted = [row.quanta for row in members if row.quanta is not None]
    quanta = None
    if len(counted) == len(rows):
        quanta = summed(Quanta.joined(counted, _beside), dead, len(rows))
    out = replace(
        out,
        data=data[..., 0],
        std=None if std is None else std[..., 0],
        dead=None if none is None else none[..., 0],
        quanta=None if quanta is None else quanta.map(lambda x: x[..., 0]),
        center=_middle([row.center for row in rows]),
    )
    lost = middle.views - out.views
    if lost:
        out = out.reported(f"left out {lost} more frames, which are bad in other rows")
    return out.reported(f"averaged {len(rows)} rows into one")


def _beside(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Rows along a last axis, each in memory of its own, which takes a fraction of the time."""
    return torch.stack(list(rows)).movedim(0, -1)


def _index(row: Projections) -> torch.Tensor:
    return torch.arange(row.views) if row.index is None else row.index


def _middle(centers: Sequence[float | None]) -> float | None:
    """The column of the axis at the middle of the rows, with the standard error that it has in each."""
    known = [center for center in centers if center is not None]
    if len(known) < len(centers):
        return None
    mean = sum(map(float, known)) / len(known)
    return CenterEstimate(mean, known[0].uncertainty) if isinstance(known[0], CenterEstimate) else mean
