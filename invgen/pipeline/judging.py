"""Whether slices fit operator, noise and prior: what is kept of each, and the warning on all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invgen.plausibility import false_discoveries

if TYPE_CHECKING:
    from invgen.plausibility import Assessment

__all__ = ["Judged", "Plausibility", "judged"]

#: Part of the slices said not to fit that is expected to fit.
LEVEL = 0.05

#: The largest number of slices, and of statistics, that a warning lists.
_LISTED, _NAMED = 8, 3


@dataclass(frozen=True)
class Judged:
    """How plausible slices are that were reconstructed together.

    Attributes
    ----------
    p_values : dict of str to float
        See `invgen.plausibility.Assessment`; the same for all slices of a volume.
    map : tensor, shape (slices, H, W), or None
    deviations : dict of str to float
    calibration : str or None
    remark : str
    """

    p_values: dict[str, float]
    map: Tensor | None
    deviations: dict[str, float]
    calibration: str | None
    remark: str

    @property
    def deciding(self) -> float | None:
        """The p-value to decide by; None where there is none."""
        return self.p_values.get("scan", self.p_values.get("bound"))

    @property
    def report(self) -> tuple[str, ...]:
        """A sentence for the report on a slice."""
        found = ", ".join(f"{name} {p:.3g}" for name, p in self.p_values.items())
        return (f"plausibility, p-values: {found}",) if found else ()


def judged(found: Assessment, arranged: Callable[[Tensor], Tensor]) -> Judged:
    """What is kept of an assessment; `arranged` makes slices of the map, as of images.

    Where the problem was a batch, such as of coils apart, the p-value of the whole is that of Bonferroni.
    """
    p_values = {name: min(1.0, float(p.min()) * p.numel()) for name, p in found.p_values.items()}
    far = {name: float(z.flatten()[z.abs().argmax()]) for name, z in found.deviations.items()}
    shown = None if found.map is None else arranged(found.map).float().cpu()
    return Judged(p_values, shown, far, found.calibration, found.remark)


@dataclass(frozen=True)
class Plausibility:
    """How plausible all slices are.

    Attributes
    ----------
    p_values : dict of str to tensor, float64, shape (slices,)
        "scan", by which to decide, "residual", "typicality" and "bound", see
        `invgen.plausibility.Assessment`; NaN where there is none.
    misfits : bool tensor, shape (slices,)
        Slices that do not fit, of which 5 % are expected to fit: Benjamini and Hochberg (1995).
    maps : tensor, shape (slices, H, W), or None
        Where no file was written.
    warning : str
        What a user should know; empty where all slices fit, and where there was no calibration.
    remark : str
        Why there was no calibration, and what least squares say; empty where there was one.
    """

    p_values: dict[str, Tensor]
    misfits: Tensor
    maps: Tensor | None
    warning: str
    remark: str

    @classmethod
    def of(cls, each: Sequence[Judged], rows: range, maps: Tensor | None) -> Plausibility:
        """From what is known of each slice."""
        names = dict.fromkeys(name for one in each for name in one.p_values)
        p_values = {
            name: torch.tensor([one.p_values.get(name, torch.nan) for one in each], dtype=torch.float64)
            for name in names
        }
        decided = [i for i, one in enumerate(each) if one.deciding is not None]
        misfits = torch.zeros(len(each), dtype=torch.bool)
        p = torch.tensor([each[i].deciding for i in decided], dtype=torch.float64)
        misfits[decided] = false_discoveries(p, LEVEL)
        warning = _warning(each, misfits.nonzero().flatten().tolist(), rows)
        reason = next((one.remark for one in each if one.remark), "")
        if not reason:
            return cls(p_values, misfits, maps, warning, "")
        # pixels that are too coarse contradict the data as well: no warning without a calibration
        remark = f"Whether the scan fits is judged by its residual alone: {reason}. {warning}".strip()
        return cls(p_values, misfits, maps, "", remark)


def _warning(each: Sequence[Judged], misfits: list[int], rows: range) -> str:
    """A sentence on the slices that do not fit, the least plausible first."""
    if not misfits:
        return ""
    misfits = sorted(misfits, key=lambda i: each[i].deciding or 0.0)
    worst = each[misfits[0]]
    listed = ", ".join(str(rows[i]) for i in misfits[:_LISTED]) + (", ..." if len(misfits) > _LISTED else "")
    text = (
        f"{len(misfits)} of {len(each)} slices do not fit operator, noise and prior: {listed} (p = "
        f"{worst.deciding:.2g} of the first; {LEVEL:.0%} of such are expected to be false alarms)."
    )
    if worst.deviations:
        farthest = sorted(worst.deviations.items(), key=lambda item: -abs(item[1]))[:_NAMED]
        unusual = ", ".join(f"{name} {z:+.1f}" for name, z in farthest)
        return f"{text} Most unusual, in standard deviations of scans that fit: {unusual}."
    return f"{text} Least squares contradict the operator, its pixels or the noise level."
