"""The center of rotation, from the consistency of a sinogram with its own mirror image."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Literal

from invgen.core.errors import DataError, InvgenWarning, ParameterError
from invgen.io.ct.geometry import rays_of
from invgen.io.ct.projections import Projections, require
from invgen.io.ct.truncation import truncation
from invgen.operators.tomography.calibration.parallel import fit_offset
from invgen.operators.tomography.calibration.wedge import missing
from invgen.operators.tomography.geometry import parallel_beam

__all__ = ["Center", "CenterEstimate", "find_center"]

_MAX_GAP = math.radians(10)


class CenterEstimate(float):
    """A detector column, with its `uncertainty`: one standard error, from the curvature of the likelihood."""

    uncertainty: float

    def __new__(cls, value: float, uncertainty: float) -> CenterEstimate:
        """Make the float, and attach its standard error."""
        self = super().__new__(cls, value)
        self.uncertainty = uncertainty
        return self

    def __reduce__(self) -> tuple[type[CenterEstimate], tuple[float, float]]:
        return CenterEstimate, (float(self), self.uncertainty)


@dataclass(frozen=True)
class Center:
    """State the center of rotation, or find it in the projections: see `find_center`.

    Nothing is resampled: the center enters as the position of the detector, by `detector_offset`.

    Parameters
    ----------
    value : float or "auto"
        Detector column, counted from 0, to which the rotation axis projects.
    """

    value: float | Literal["auto"] = "auto"

    def __call__(self, projections: Projections) -> Projections:
        """Set the center."""
        value = find_center(projections) if self.value == "auto" else self.value
        if isinstance(value, str):
            raise ParameterError(f'Center expects a detector column or "auto"; got {value!r}.')
        if not -0.5 <= value <= projections.columns - 0.5:
            raise ParameterError(
                f"the centre of rotation {value:g} is outside of the detector, "
                f"columns 0 to {projections.columns - 1}."
            )
        how = (
            f"found, standard error {value.uncertainty:.2g}" if isinstance(value, CenterEstimate) else "given"
        )
        out = replace(projections, center=float(value))
        return out.reported(
            f"centre of rotation at column {float(value):.2f} of {projections.columns} ({how})"
        )


def find_center(projections: Projections) -> CenterEstimate:
    """Find the center of rotation by maximum likelihood, to a fraction of a column.

    Seen from behind, a projection is mirrored: the center is where views over 180 degrees and their mirror
    images best fit one sinogram of an object; see `invgen.operators.tomography.calibration.wedge`. Truncated
    views, whose cut edges would pull the center to the middle of the detector, are first filtered; those of
    a full turn, as of a half-acquisition, are compared where they overlap.

    Parameters
    ----------
    projections : Projections
        Line integrals; the angles cover 180 degrees or more.

    Returns
    -------
    CenterEstimate
        Detector column, counted from 0.

    Raises
    ------
    DataError
        When the angles cover less than 180 degrees.

    Warns
    -----
    InvgenWarning
        When the estimate is uncertain.
    """
    require(projections, "find_center", "absorption")
    angles = projections.angles.double()
    if (gap := missing(angles)) > _MAX_GAP:
        raise DataError(
            f"the angles cover {180 - math.degrees(gap):.0f} of the 180 degrees that the search of "
            "the centre of rotation needs. Say where it is: center=... in detector columns "
            "(command line: --center VALUE)."
        )
    middle = (projections.columns - 1) / 2
    geometry = parallel_beam((1, 1), **rays_of(replace(projections, center=middle)))
    fit = fit_offset(projections.data.double(), geometry, projections.half or bool(truncation(projections)))
    center = middle + fit.center
    if fit.doubt:
        warnings.warn(
            f"the centre of rotation was not found with certainty: {fit.doubt}; column {center:.2f} is the "
            "best guess. Look at the image, and give center=... (command line: --center VALUE) if it shows "
            "arcs.",
            InvgenWarning,
            stacklevel=2,
        )
    return CenterEstimate(center, fit.uncertainty)
