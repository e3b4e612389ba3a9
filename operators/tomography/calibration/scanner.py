"""Estimates of the detector's offset and the sense of rotation from a scan's own data."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch

from invgen.core.errors import CapabilityError, DataError, InvgenWarning, ShapeError
from invgen.operators.tomography.calibration.fan import FEWEST, covered, cut_edges, fit_fan
from invgen.operators.tomography.calibration.parallel import fit_offset
from invgen.operators.tomography.calibration.wedge import missing
from invgen.operators.tomography.cone import ConeBeam
from invgen.operators.tomography.divergent import ConeGeometry, FanGeometry
from invgen.operators.tomography.fan import FanBeam
from invgen.operators.tomography.projection import Projection
from invgen.operators.tomography.radon import Radon

__all__ = ["Calibration", "calibrate"]

_SLACK = math.radians(10)  # directions that parallel beams may lack: their neighbors suffice
_ROUNDING = math.radians(0.1)


@dataclass(frozen=True)
class Calibration:
    """Result of `calibrate`.

    Attributes
    ----------
    detector_offset : float
        The offset to build the operator with, in its unit of length, on the detector along its columns: the
        value itself, not a correction of what the operator had.
    uncertainty : float
        Its standard error, in the same unit; infinite where the data do not determine it.
    rotation : {1, -1}
        -1 where the angles turn the other way than stated (or, which is the same but for a mirrored image,
        the detector is read from its other end). Always 1 for parallel beams, whose data are consistent
        either way: with the wrong sense the image is mirrored, which the data cannot reveal.
    operator : Radon, FanBeam or ConeBeam
        With that offset, and the angles negated where `rotation` is -1.
    residual : float
        Remaining inconsistency, relative to the data. For fans and cones the rms difference of the two
        readings of a ray, over their standard deviation times the square root of two; for parallel beams the
        rms of the part of the data that no object explains, over the rms of the data.
    other_rotation : float
        Misfit of the other sense of rotation, at its own best offset, over that of the chosen one: far above
        1 where the sense is certain. 1 for parallel beams.
    """

    detector_offset: float
    uncertainty: float
    rotation: int
    operator: Projection
    residual: float
    other_rotation: float


def calibrate(operator: Any, sinogram: torch.Tensor) -> Calibration:
    """Find the detector's offset, and for fans and cones the sense of rotation, from the data themselves.

    A line that is measured twice, from its two ends, must give the same value: of parallel beams
    ``p(t + pi, -s) = p(t, s)``, of fans ``p(t + pi - 2 g, -g) = p(t, g)`` with the angle g between a ray and
    the central one (Parker 1982, doi:10.1118/1.595078; Kak and Slaney 1988, sec. 3.4). A wrong offset
    violates that.

    Fans: the sum of the squared differences of such pairs is minimized over offsets up to a fifth of the
    detector to either side (further, where the operator states more; on a full turn, next to an edge that the
    object passes), for both senses of rotation. Views may
    be spaced unevenly, cover more than a turn, or as little as 180 degrees and the fan; each ray is compared
    where there are views close to it. Cones are calibrated in the central plane, where their rays are a fan.
    Parallel beams: by the fit of `invgen.operators.tomography.calibration.wedge`, half-acquisitions as fans.

    Distances and tilts are taken as the operator states them.

    Parameters
    ----------
    operator : Radon, FanBeam or ConeBeam
        The geometry as far as it is known. Its image shape has no influence, and its `detector_offset` only
        where it is large: the search reaches that far.
    sinogram : tensor, shape of `operator.range`
        Line integrals, up to a factor; no batch axes.

    Returns
    -------
    Calibration

    Raises
    ------
    DataError
        Where the angles cover too little: 180 degrees are needed for parallel beams, and the angle of the fan
        besides for the others; where a fan has fewer than 32 columns; or where no row of a panel is
        near the central plane.
    CapabilityError
        For another operator.
    ShapeError, DtypeError
        For another sinogram.

    Warns
    -----
    InvgenWarning
        When the data do not determine the offset clearly, or the sense of rotation: data of an object that
        is rotationally symmetric about the axis, and those of a distant source, are consistent with both
        senses. The stated one is then kept.
    """
    if not isinstance(operator, Radon | FanBeam | ConeBeam):
        given = getattr(operator, "name", type(operator).__name__)
        raise CapabilityError(f"calibrate expects a Radon, FanBeam or ConeBeam operator; got {given}.")
    operator.range.check(sinogram, "calibrate")
    if sinogram.ndim > len(operator.range.shape):
        raise ShapeError(
            f"calibrate expects one sinogram {operator.range.shape}; got {tuple(sinogram.shape)}. "
            "Give one of the batch, or their mean."
        )
    data = sinogram.detach().to("cpu", torch.float64)
    if isinstance(operator, Radon):
        return _parallel(operator, data)
    if isinstance(operator, ConeBeam):
        return _divergent(operator, operator.geometry.fan, _central_row(data, operator.geometry))
    return _divergent(operator, operator.geometry, data)


def _parallel(operator: Radon, data: torch.Tensor) -> Calibration:
    g = operator.geometry
    if (gap := missing(g.angles)) > _SLACK:
        raise DataError(
            f"The angles cover {180 - math.degrees(gap):.0f} degrees; the detector offset of parallel beams "
            "is found from 180. Measure it with another scan, or state it: detector_offset=..."
        )
    fit = fit_offset(data, g, any(cut_edges(data)))
    offset = -fit.center * g.detector_spacing if math.isfinite(fit.uncertainty) else g.detector_offset
    if fit.doubt:
        _doubt(offset, fit.doubt)
    return Calibration(
        detector_offset=offset,
        uncertainty=fit.uncertainty * g.detector_spacing,
        rotation=1,
        operator=_corrected(operator, offset, 1),
        residual=fit.residual,
        other_rotation=1.0,
    )


def _divergent(operator: FanBeam | ConeBeam, fan: FanGeometry, data: torch.Tensor) -> Calibration:
    if fan.detector_count < FEWEST:
        raise DataError(
            f"A detector of {fan.detector_count} columns is too coarse to find its offset from the data; "
            f"{FEWEST} are enough."
        )
    first, last = fan.edges()
    needed, there = math.pi + last - first, covered(fan.angles)
    if there < needed - _ROUNDING:
        raise DataError(
            f"The angles cover {math.degrees(there):.1f} degrees; the detector offset of this fan is found "
            f"from rays measured twice, over {math.degrees(needed):.1f}: 180 and its own "
            f"{math.degrees(last - first):.1f}. Measure it with another scan, or state it: "
            "detector_offset=..."
        )
    fit = fit_fan(data, fan.angles, fan)
    found = math.isfinite(fit.uncertainty)
    offset = fit.offset * fan.detector_spacing if found else fan.detector_offset
    if fit.doubt:
        _doubt(offset, fit.doubt)
    elif not fit.sense_found:
        warnings.warn(
            "The data do not determine the sense of rotation: the misfit of the other one is "
            f"{fit.ratio:.3g} times that of the one stated, which is kept. Reasons are an object that is "
            "rotationally symmetric about the axis, a distant source, or much noise on few rays.",
            InvgenWarning,
            stacklevel=3,
        )
    return Calibration(
        detector_offset=offset,
        uncertainty=fit.uncertainty * fan.detector_spacing,
        rotation=fit.rotation,
        operator=_corrected(operator, offset, fit.rotation),
        residual=fit.residual,
        other_rotation=fit.ratio,
    )


def _central_row(data: torch.Tensor, geometry: ConeGeometry) -> torch.Tensor:
    """The row at height zero, between its neighbors: there the rays stay in one plane."""
    place = (geometry.row_count - 1) / 2 - geometry.row_offset / geometry.row_spacing
    if not -1 <= place <= geometry.row_count:
        nearest = float(geometry.rows().abs().min())
        raise DataError(
            f"The rows of the panel are {nearest:.6g} or more from the source's plane, more than their "
            f"spacing of {geometry.row_spacing:.6g}: only there are a cone's rays those of a fan, from which "
            "the offset is found. Give the panel's rows around that plane, or check the row offset."
        )
    row = min(max(math.floor(place), 0), max(geometry.row_count - 2, 0))
    weight = min(max(place - row, 0.0), 1.0)
    return torch.lerp(data[:, row], data[:, min(row + 1, geometry.row_count - 1)], weight)


def _corrected(operator: Radon | FanBeam | ConeBeam, offset: float, rotation: int) -> Projection:
    """The operator with another offset and sense of rotation; a default field of view is chosen anew."""
    plane = operator.geometry.fan if isinstance(operator, ConeBeam) else operator.geometry
    fov = None if operator.fov == plane.default_fov else operator.fov
    return operator.rebuilt(operator.angles * rotation, offset, fov)


def _doubt(offset: float, why: str) -> None:
    warnings.warn(
        f"The detector offset was not found with certainty: {why}; {offset:.6g} is the best guess. Compare "
        "images made with it and without.",
        InvgenWarning,
        stacklevel=4,
    )
