"""Cone-beam scans: all detector rows together are the measurement of one volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import grid_sample

from invgen.core.disk import Room, Rows, by_slabs, on_disk
from invgen.core.errors import CapabilityError, DataError, ParameterError
from invgen.core.memory import require_memory
from invgen.io.ct.beam import Beam
from invgen.io.ct.coverage import Coverage, coverage, widened, widest
from invgen.io.ct.geometry import detector_offset
from invgen.io.ct.problems import of_quanta, with_noise
from invgen.io.ct.projections import Projections
from invgen.io.ct.quanta import Quanta

if TYPE_CHECKING:
    from invgen.operators import ConeBeam
    from invgen.problem import Problem


__all__ = ["Panel", "panel", "refuse_slices", "to_volume_operator", "to_volume_problem"]


@dataclass(frozen=True)
class Panel:
    """Line integrals of all detector rows.

    Attributes
    ----------
    data : tensor, shape (views, rows, columns), float32
    std : tensor of the same shape, or None
        Standard deviation of the noise of each ray, infinite for a dead one; None where it is not known.
    row : Projections
        One of the rows, for what all have in common: angles, beam, center, spacing.
    row_spacing : float
        Distance of the rows at the rotation axis.
    row_offset : float
        Height of the middle row above the source's plane, at the rotation axis; not zero where rows were cut.
    reports : tuple of tuple of str
        What the steps have changed in each row.
    quanta : Quanta or None
        What was counted, where that is known and few in the middle row; a dead ray has an open beam of zero.
    """

    data: torch.Tensor
    std: torch.Tensor | None
    row: Projections
    row_spacing: float
    row_offset: float
    reports: tuple[tuple[str, ...], ...]
    quanta: Quanta | None = None

    def rows(self) -> Iterator[Projections]:
        """Each row alone, of a fan as it is in the source's plane."""
        for i in range(self.data.shape[1]):
            yield replace(
                self.row,
                data=self.data[:, i],
                std=None if self.std is None else self.std[:, i],
                quanta=None if self.quanta is None else self.quanta.map(itemgetter((slice(None), i))),
            )

    def leveled(self, tilt: float) -> Panel:
        """The panel as if it had not been rolled against the rotation axis, about that in its middle row.

        Bilinear between its pixels, without the smoothing of their noise in `std` and `quanta`.

        Parameters
        ----------
        tilt : float
            Angle of the axis to the panel's columns in radians, towards higher columns in later rows.
        """
        if not tilt:
            return self
        _, rows, columns = self.data.shape
        width, height, center = self.row.spacing, self.row_spacing, self.row.center
        assert center is not None, "it is selected"
        s = (torch.arange(columns) - center) * width
        z = ((torch.arange(rows) - (rows - 1) / 2) * height + self.row_offset)[:, None]
        column = (s * math.cos(tilt) + z * math.sin(tilt)) / width + center
        row = (z * math.cos(tilt) - s * math.sin(tilt) - self.row_offset) / height + (rows - 1) / 2
        grid = torch.stack([2 * column / (columns - 1) - 1, 2 * row / max(rows - 1, 1) - 1], dim=-1)

        def turned(x: torch.Tensor) -> torch.Tensor:
            return by_slabs(_turned, x)

        def _turned(x: torch.Tensor) -> torch.Tensor:
            places = grid.to(x)[None]
            return grid_sample(x[None], places, padding_mode="border", align_corners=True)[0]

        std = self.std
        if std is not None:
            dead = std.isinf()
            known = turned(torch.where(dead, 1.0, std))  # none of which is left
            std = torch.where(turned(dead.to(known)) > 0, math.inf, known)
        sentence = f"turned the panel by {math.degrees(tilt):.3g} degrees: it is rolled against the axis"
        reports = tuple((*report, sentence) for report in self.reports)
        quanta = None if self.quanta is None else self.quanta.map(turned)
        return replace(self, data=turned(self.data), std=std, quanta=quanta, reports=reports)

    def kept_in(self, room: Room) -> Panel:
        """The panel on disk."""
        return replace(
            self,
            data=on_disk(self.data, room),
            std=None if self.std is None else on_disk(self.std, room),
            quanta=None if self.quanta is None else self.quanta.map(lambda x: on_disk(x, room)),
        )

    def coverage(self) -> Coverage:
        """What the views see of the object, in the row where that is the least."""
        return widest(map(coverage, self.rows()))


def panel(
    read: Callable[[int, int], Projections],
    views: int,
    rows: int,
    pixel_size: float,
    row_size: float,
    room: Room | None = None,
) -> Panel:
    """Gather the rows of a panel; views that any of them has lost are left out of all.

    Where `read` averages columns, the same number of rows is averaged; those left over at the end are cut.

    Parameters
    ----------
    read : callable(row, count)
        Line integrals of the mean of so many rows from this one on, with their `index` among the views and
        their center.
    views, rows : int
        Size of the scan.
    pixel_size, row_size : float
        Distance of the columns, before they are averaged, and of the rows, at the rotation axis.
    room : Room, optional
        Where to keep data that are larger than memory.

    Raises
    ------
    DataError
        When a row cannot be read, which is named, or no view is good in all rows.
    """
    row = _named(read, rows // 2, 1)
    bin = round(row.spacing / pixel_size)
    if bin > rows:
        raise ParameterError(f"{bin} columns are averaged, and there are {rows} rows: choose a smaller bin.")
    kept = torch.ones(views, dtype=torch.bool)
    rays = views * (rows // bin) * row.data.shape[-1]
    if room is None:
        require_memory(
            8 * rays, f"A panel of {views} views of {rows} rows", "average columns by a larger bin"
        )
    few = row.quanta is not None and row.quanta.are_few  # else the memory of three panels is saved
    data, stds, *counted = (Rows(rows // bin, room) for _ in range(5))
    reports, quanta, known = [], few, True
    for first in range(0, rows // bin * bin, bin):
        member = _named(read, first, bin)
        kept &= _seen(member, views)
        quanta = quanta and member.quanta is not None
        if quanta and member.quanta is not None:
            for each, values in zip(counted, member.quanta.arrays, strict=True):
                each.add(_placed(values, member, views))
        data.add(_placed(member.data, member, views))
        known = known and member.std is not None
        if known and member.std is not None:
            stds.add(_placed(member.std, member, views))
        reports.append((member.views, member.report))
    if not kept.any():
        raise DataError("each view is bad in one row of the detector or another: none is left.")

    def seen(rows: Rows) -> torch.Tensor:
        return rows.together() if bool(kept.all()) else rows.together()[kept]

    return Panel(
        seen(data),
        seen(stds) if known else None,
        row.selected(kept[_index(row)]),
        row_size * bin,
        (rows // bin * bin - rows) / 2 * row_size,
        tuple(_completed(report, count - int(kept.sum())) for count, report in reports),
        Quanta(*map(seen, counted)) if quanta else None,
    )


def to_volume_operator(
    panel: Panel, volume_shape: tuple[int, int, int] | None = None, fov: Any = None
) -> ConeBeam:
    """Cone-beam operator of a panel.

    Parameters
    ----------
    panel : Panel
    volume_shape, fov
        As of `Scan.volume_problem`.
    """
    from invgen.operators import ConeBeam

    _, rows, columns = panel.data.shape
    row = panel.row
    beam = refuse_slices(row.beam)
    magnification = beam.magnification
    if volume_shape is None or fov is None:
        found = panel.coverage()
        shape = found.image_shape(row) if volume_shape is None else volume_shape[1:]
        fov = found.fov(row, shape) if fov is None else fov
        if volume_shape is None:
            shape = shape if isinstance(fov, str) else widened(shape, fov, row.spacing)
            volume_shape = (rows, *shape)
    return ConeBeam(
        volume_shape,
        row.angles,
        beam.source_origin,
        beam.source_detector,
        detector_shape=(rows, columns),
        detector_spacing=(panel.row_spacing * magnification, row.spacing * magnification),
        detector_offset=(panel.row_offset * magnification, detector_offset(row)),
        voxel_size=row.spacing,
        fov=fov,
    )


def refuse_slices(beam: Beam | None) -> Beam:
    """Return the beam of a cone, and raise for others: their slices are problems of their own."""
    if beam is None or beam.kind != "cone":
        name = "parallel" if beam is None else beam.kind
        raise CapabilityError(
            f"the scan is of a {name} beam, each slice of which has its own problem: Scan.problem(slice)."
        )
    return beam


def to_volume_problem(panel: Panel, operator: ConeBeam, *, counts: bool = False) -> Problem:
    """Reconstruction problem of a panel, with the noise of each ray; or of the quanta, as `to_problem`."""
    if counts:
        return of_quanta(operator, panel.quanta, None, "scan")
    return with_noise(operator, panel.data, panel.std, "scan")


def _named(read: Callable[[int, int], Projections], row: int, count: int) -> Projections:
    try:
        return read(row, count)
    except DataError as error:
        raise DataError(f"Detector row {row}: {error}") from error


def _index(row: Projections) -> torch.Tensor:
    return torch.arange(row.views) if row.index is None else row.index


def _seen(row: Projections, views: int) -> torch.Tensor:
    """Which of all views a row has, bool (views,)."""
    return torch.zeros(views, dtype=torch.bool).index_fill_(0, _index(row), True)


def _placed(values: torch.Tensor, row: Projections, views: int) -> torch.Tensor:
    """Values (views, columns) of a row at their place among all views; zero in those that it has lost."""
    out = values.new_zeros(views, values.shape[1])
    out[_index(row)] = values
    return out


def _completed(report: tuple[str, ...], lost: int) -> tuple[str, ...]:
    return (*report, f"left out {lost} more frames, which are bad in other rows") if lost else report
