"""The rotation axis of fan and cone beams."""

from __future__ import annotations

import warnings
from dataclasses import replace

from invgen.errors import InvgenWarning
from invgen.io.center import CenterEstimate
from invgen.io.problems import to_operator
from invgen.io.projections import Projections


def axis_of_beam(projections: Projections) -> CenterEstimate:
    """Find the detector column of the rotation axis from rays that are measured twice.

    Parameters
    ----------
    projections : Projections
        Line integrals of a fan, or of the row of a cone that is nearest to the source's plane.

    Raises
    ------
    DataError
        When the angles cover less than 180 degrees and the fan.

    Warns
    -----
    InvgenWarning
        When the data do not tell the axis clearly, or the views turn the other way than is stated.
    """
    from invgen.operators import calibrate

    middle = (projections.columns - 1) / 2
    beam = projections.beam
    if beam is not None:
        projections = replace(projections, center=middle, beam=replace(beam, kind="fan"))
    operator = to_operator(projections, image_shape=(1, 1))  # the image plays no role
    found = calibrate(operator, projections.data)
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
