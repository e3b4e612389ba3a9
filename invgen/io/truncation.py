"""Whether the detector saw the whole object."""

from __future__ import annotations

from dataclasses import dataclass

from invgen.io.projections import Projections, require

_LEVEL = 0.05  # of the largest line integrals: more than this at an edge is object, not background


@dataclass(frozen=True)
class Truncation:
    """Fraction of the views whose line integrals do not fall to the background at the detector's edges."""

    left: float
    right: float

    def __bool__(self) -> bool:
        return max(self.left, self.right) > 0.01

    def __str__(self) -> str:
        return (
            "the object is wider than the detector: line integrals do not fall to zero at the left edge in "
            f"{self.left:.0%} and at the right edge in {self.right:.0%} of the views. "
            "Values of the image are off by a slow variation, most near the edge of the field of view"
        )


def truncation(projections: Projections) -> Truncation:
    """Detect truncated views: the mean over the outermost 1 % of the columns, against the largest values.

    Parameters
    ----------
    projections : Projections
        Line integrals.

    Returns
    -------
    Truncation
        True where more than 1 % of the views are truncated; as text it says so.
    """
    require(projections, "truncation", "absorption")
    data = projections.data.double()
    width = max(2, projections.columns // 100)
    limit = _LEVEL * float(data.amax(1).quantile(0.5))
    if limit <= 0:
        return Truncation(0.0, 0.0)
    left, right = data[:, :width].mean(1) > limit, data[:, -width:].mean(1) > limit
    return Truncation(float(left.double().mean()), float(right.double().mean()))
