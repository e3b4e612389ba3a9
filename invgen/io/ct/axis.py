"""The rotation axis of fan and cone beams."""

from __future__ import annotations

import warnings
from dataclasses import replace

from invgen.core.errors import DataError, InvgenWarning
from invgen.io.ct.center import CenterEstimate
from invgen.io.ct.problems import to_operator
from invgen.io.ct.projections import Projections

__all__ = ["LimitedAngles", "axis_of_beam"]


class LimitedAngles(DataError):
    """The views cover too little of a turn to determine the rotation axis."""


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
