"""The rotation axis: in a row of fan and cone beams, and as a line over the rows of a detector."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from invgen.core.errors import DataError, InvgenWarning
from invgen.io.ct.center import CenterEstimate
from invgen.io.ct.problems import to_operator
from invgen.io.ct.projections import Projections

__all__ = ["Axis", "LimitedAngles", "axis_of_beam", "line_of"]

_SYSTEMATIC = 0.05  # columns; to that a center is found without noise
_SURE = 5.0  # standard errors


class LimitedAngles(DataError):
    """The views cover too little of a turn to determine the rotation axis."""


@dataclass(frozen=True)
class Axis:
    """The straight line on the detector to which the rotation axis projects.

    Attributes
    ----------
    center : float
        Detector column in the middle of the rows; an estimate has its `uncertainty`.
    tilt : float
        Angle to the detector's columns in radians, towards higher columns in later rows.
    remark : str
        How it came about, where it is not found.
    """

    center: float
    tilt: float = 0.0
    remark: str = ""


def line_of(found: Mapping[int, CenterEstimate], rows: int) -> tuple[CenterEstimate, float] | None:
    """Straight line through the centers of several rows; None where it is not clearly tilted.

    Weighted least squares; where the centers scatter more than their standard errors say, these grow.

    Parameters
    ----------
    found : dict from int to CenterEstimate
        Centers of rows.
    rows : int
        Of the detector.

    Returns
    -------
    center : CenterEstimate
        In the middle of the rows.
    slope : float
        Columns by which it moves from a row to the next.
    """
    if len(found) < 3:
        return None
    place = np.array(list(found)) - (rows - 1) / 2
    centers = np.array([float(center) for center in found.values()])
    errors = np.hypot([center.uncertainty for center in found.values()], _SYSTEMATIC)
    design = np.stack([np.ones_like(place), place], axis=1) / errors[:, None]
    solution, residual, _, _ = np.linalg.lstsq(design, centers / errors, rcond=None)
    covariance = np.linalg.inv(design.T @ design) * max(1.0, float(residual.sum()) / (len(place) - 2))
    center, slope = solution.tolist()
    if abs(slope) < _SURE * math.sqrt(covariance[1, 1]):
        return None
    return CenterEstimate(center, math.sqrt(covariance[0, 0])), slope


def axis_of_beam(projections: Projections) -> CenterEstimate:
    """Find the detector column of the rotation axis from rays that are measured twice, from both ends.

    Parameters
    ----------
    projections : Projections
        Line integrals of a fan, or of the row of a cone that is nearest to the source's plane.

    Raises
    ------
    LimitedAngles
        When the angles cover less than 180 degrees and the fan.

    Warns
    -----
    InvgenWarning
        When the estimate is uncertain, or the views turn the other way than is stated.
    """
    from invgen.operators import calibrate

    middle = (projections.columns - 1) / 2
    beam = projections.beam
    if beam is not None:
        projections = replace(projections, center=middle, beam=replace(beam, kind="fan"))
    operator = to_operator(projections, image_shape=(1, 1))  # the image plays no role
    try:
        found = calibrate(operator, projections.data)
    except DataError as error:
        raise LimitedAngles(
            "the angles cover too little of a turn to find the rotation axis, for which it takes 180 degrees "
            "and the angle of the fan. Say where it is: center=... in detector columns (command line: "
            "--center VALUE)."
        ) from error
    if found.rotation < 0:
        warnings.warn(
            "the views turn the other way than is stated: rays that are measured twice, from their two ends, "
            "agree if the angles are negated. Say so in reading the scan, rotation=... (command line: "
            "--rotation clockwise, or counterclockwise where that was said); as it is, the image is blurred.",
            InvgenWarning,
            stacklevel=4,
        )
    spacing = operator.geometry.detector_spacing
    return CenterEstimate(middle - found.detector_offset / spacing, found.uncertainty / spacing)
