"""The projections of one slice, and the steps that only choose or average them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from invgen.core.checks import as_count, is_count, nonfinite
from invgen.core.errors import DataError, ParameterError
from invgen.io.ct.beam import Beam
from invgen.io.ct.quanta import Quanta

__all__ = [
    "Bin",
    "Projections",
    "Quantity",
    "SelectViews",
    "Step",
    "averaged",
    "interpolated",
    "require",
    "require_finite",
    "summed",
]

Quantity = Literal["counts", "transmission", "absorption"]


@dataclass(frozen=True)
class Projections:
    """Projections of one slice.

    Attributes
    ----------
    data : tensor, shape (views, columns), float32
        What `quantity` says: counts, transmission ``I / I0``, or line integrals ``-log(I / I0)``.
    angles : tensor, shape (views,), float64
        Radians, counterclockwise, in the order of the views.
    quantity : {"counts", "transmission", "absorption"}
        What the data are.
    flats, darks : tensor, shape (k, columns), or None
        Frames without the object, and without the beam; only for counts.
    times : (tensor, tensor), shapes (views,) and (k,), or None
        When views and flats were recorded, float64, in any unit; flats that were taken in a row have one time
        in common. None where that is not known.
    std : tensor, shape (views, columns), or None
        Standard deviation of the noise of each ray, infinite for a dead one; None where it is not known.
    dead : bool tensor, shape (views, columns), or None
        Rays that carry no measurement: their data are interpolated, their std is infinite once it is known.
    center : float or None
        Detector column, counted from 0, to which the rotation axis projects.
    spacing : float
        Spacing of the columns at the rotation axis: that on the detector, over the beam's magnification.
    beam : Beam or None
        None is a parallel beam.
    image_shape : (int, int) or None
        Of the image, in pixels as wide as `spacing`, where the file states it.
    half : bool
        Whether the file states a half-acquisition: the axis is next to an edge of the detector.
    index : tensor, shape (views,), int64, or None
        Which views of the scan these are.
    saturation : float or None
        The count at which the detector clips.
    quanta : Quanta or None
        What was counted, where that is known and has not been changed by a step.
    report : tuple of str
        What the steps have changed, in sentences.
    assumptions : tuple of str
        Those of them that another user might not want, which are shown where the first slice is prepared.
    """

    data: torch.Tensor
    angles: torch.Tensor
    quantity: Quantity
    flats: torch.Tensor | None = None
    darks: torch.Tensor | None = None
    times: tuple[torch.Tensor, torch.Tensor] | None = None
    std: torch.Tensor | None = None
    dead: torch.Tensor | None = None
    center: float | None = None
    spacing: float = 1.0
    beam: Beam | None = None
    image_shape: tuple[int, int] | None = None
    half: bool = False
    index: torch.Tensor | None = None
    saturation: float | None = None
    quanta: Quanta | None = None
    report: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def views(self) -> int:
        """Number of views."""
        return self.data.shape[0]

    @property
    def columns(self) -> int:
        """Number of detector columns."""
        return self.data.shape[1]

    def reported(self, sentence: str) -> Projections:
        """Return the same projections with a sentence added to the report."""
        return replace(self, report=(*self.report, sentence))

    def assumed(self, sentence: str) -> Projections:
        """Return the same projections with a sentence added to the report and to the assumptions."""
        return replace(self.reported(sentence), assumptions=(*self.assumptions, sentence))

    def selected(self, keep: torch.Tensor | slice) -> Projections:
        """Return some of the views, by a boolean mask or a slice."""
        return replace(
            self,
            data=self.data[keep],
            angles=self.angles[keep],
            times=None if self.times is None else (self.times[0][keep], self.times[1]),
            index=None if self.index is None else self.index[keep],
            std=None if self.std is None else self.std[keep],
            dead=None if self.dead is None else self.dead[keep],
            quanta=None if self.quanta is None else self.quanta.map(lambda x: x[keep]),
        )

    def with_dead(self, dead: torch.Tensor) -> Projections:
        """Return the same projections with more dead rays: data interpolated, std infinite.

        `dead` is a boolean tensor, shape (views, columns).
        """
        dead = dead if self.dead is None else dead | self.dead
        if not dead.any():
            return self
        std = None if self.std is None else torch.where(dead, math.inf, self.std)
        return replace(self, data=interpolated(self.data, dead), std=std, dead=dead)


Step = Callable[[Projections], Projections]


def interpolated(data: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
    """Fill the dead entries of each row linearly from the living; a row without any is left at zero."""
    out, masks = data.numpy().copy(), dead.numpy()
    columns = np.arange(data.shape[1])
    for row, mask in zip(out, masks, strict=True):
        if mask.all():
            row[:] = 0
        elif mask.any():
            row[mask] = np.interp(columns[mask], columns[~mask], row[~mask])
    return torch.from_numpy(out)


def require(projections: Projections, step: str, *quantities: Quantity) -> None:
    """Refuse projections that a step cannot work on: another quantity, or values that are not finite.

    Raises
    ------
    ParameterError
        When the steps are in an order that makes no sense.
    DataError
        On NaN or infinity.
    """
    if projections.quantity not in quantities:
        raise ParameterError(
            f"{step} works on {' or '.join(quantities)}; the projections are {projections.quantity}. "
            "The usual order is DropBadFrames, DeadPixels, FlatField, Air, Zingers, Bin, MinusLog, and "
            "filters of stripes."
        )
    require_finite(projections.data, "projections", "view")
    for name, frames in (("flat fields", projections.flats), ("dark fields", projections.darks)):
        if frames is not None:
            require_finite(frames, name, "frame")


def require_finite(data: torch.Tensor, what: str, row: Literal["view", "frame"]) -> None:
    """Raise a DataError that counts the NaN and infinities and says where they are."""
    if found := nonfinite(data, (row, "column"), torch.arange(len(data))):
        raise DataError(f"the {what} hold {found}. {_REMEDIES[row]}")


_REMEDIES = {
    "view": "Views are counted from 0 by increasing angle, columns from 0. Repair them in the file, where a "
    "frame that is NaN throughout is left out; or choose a range of views without them: views=... (command "
    "line: --views).",
    "frame": "Give others: flats=... or darks=... (command line: --flats, --darks).",
}


@dataclass(frozen=True)
class SelectViews:
    """Keep the views of a slice, as in ``SelectViews(slice(None, None, 4))`` for every fourth."""

    views: slice

    def __call__(self, projections: Projections) -> Projections:
        """Select."""
        if not (self.views.step is None or is_count(self.views.step)):
            raise ParameterError(
                f"the step of the views should be 1 or more; got {self.views.step}. "
                "Views are counted by increasing angle, and stay in that order."
            )
        out = projections.selected(self.views)
        if out.views == 0:
            first, last, step = self.views.start, self.views.stop, self.views.step
            text = ":".join("" if part is None else str(part) for part in (first, last, step))
            raise ParameterError(
                f"the range {text} selects none of the {projections.views} views, which are counted from 0."
            )
        return out.reported(f"kept {out.views} of {projections.views} views")


@dataclass(frozen=True)
class Bin:
    """Average `n` neighboring columns: the transmission before the logarithm, line integrals after it.

    Columns left over at the right edge are cut. The rotation axis at column ``c`` moves to
    ``(c - (n - 1) / 2) / n``, the spacing grows `n` times, and the noise of a mean of m living rays is
    ``sqrt(sum std^2) / m``; a bin without any is dead.
    """

    n: int

    def __call__(self, projections: Projections) -> Projections:
        """Average."""
        n = as_count(self.n, "the number of columns that Bin averages", most=projections.columns)
        if n == 1:
            return projections
        require(projections, "Bin", "transmission", "absorption")
        bins = projections.columns // n
        cut = projections.columns - bins * n

        data, std, dead = averaged(projections.data, projections.std, projections.dead, n)
        shape = projections.image_shape
        out = replace(
            projections,
            data=data,
            std=std,
            dead=dead,
            quanta=None if projections.quanta is None else summed(projections.quanta, projections.dead, n),
            image_shape=None if shape is None else (-(-shape[0] // n), -(-shape[1] // n)),
            center=None if projections.center is None else (projections.center - (n - 1) / 2) / n,
            spacing=projections.spacing * n,
        )
        left = f"; {cut} columns at the right edge were cut" if cut else ""
        return out.reported(f"averaged {n} columns into one: {bins} columns of {out.spacing:g}{left}")


def summed(quanta: Quanta, dead: torch.Tensor | None, n: int) -> Quanta:
    """Quanta of groups of `n` neighbors along the last axis, without those of dead rays."""

    def total(x: torch.Tensor) -> torch.Tensor:
        x = x if dead is None else torch.where(dead, 0, x)
        return x[..., : x.shape[-1] // n * n].unflatten(-1, (-1, n)).sum(-1)

    return quanta.map(total)


def averaged(
    data: torch.Tensor, std: torch.Tensor | None, dead: torch.Tensor | None, n: int
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Average groups of `n` neighbors along the last axis; those left over at its end are cut.

    Returns
    -------
    data, std, dead : tensors
        Means over the living entries of each group, their std, and which groups have none.
    """

    def grouped(x: torch.Tensor) -> torch.Tensor:
        return x[..., : x.shape[-1] // n * n].unflatten(-1, (-1, n))

    data = grouped(data)
    alive = torch.ones_like(data) if dead is None else 1 - grouped(dead).to(data.dtype)
    count = alive.sum(-1)
    if std is not None:
        variance = torch.where(alive > 0, grouped(std), 0.0).square().sum(-1)
        std = torch.where(count > 0, variance.sqrt() / count.clamp(min=1), math.inf)
    mean = torch.where(count > 0, (data * alive).sum(-1) / count.clamp(min=1), data.mean(-1))
    return mean, std, None if dead is None else count == 0
