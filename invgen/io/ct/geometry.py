"""Where the rays of projections are, from the rotation axis that is known of them."""

from __future__ import annotations

from typing import Any

from invgen.core.errors import ParameterError
from invgen.io.ct.projections import Projections
from invgen.operators.tomography.divergent import FanGeometry, fan_geometry
from invgen.operators.tomography.geometry import ParallelBeam, parallel_beam

__all__ = ["detector_offset", "planar_geometry", "rays_of"]


def planar_geometry(projections: Projections) -> ParallelBeam | FanGeometry:
    """Rays of a detector row whose center is known, of a cone as in the source's plane; without an image."""
    make = parallel_beam if projections.beam is None else fan_geometry
    return make((1, 1), **rays_of(projections))


def rays_of(projections: Projections) -> dict[str, Any]:
    """What operators and geometries are made with, but the image.

    An axis at column c is a detector displaced by ``(n - 1) / 2 - c`` columns: nothing is resampled.
    """
    rays: dict[str, Any] = {
        "angles": projections.angles,
        "detector_count": projections.columns,
        "detector_spacing": projections.spacing,
        "detector_offset": detector_offset(projections),
        "pixel_size": projections.spacing,
    }
    beam = projections.beam
    if beam is None:
        return rays
    return rays | {
        "source_origin": beam.source_origin,
        "source_detector": beam.source_detector,
        "detector_spacing": projections.spacing * beam.magnification,
        "curved": beam.curved,
    }


def detector_offset(projections: Projections) -> float:
    """Displacement of the detector, on the detector itself, for the rotation axis of the projections."""
    if projections.center is None:
        raise ParameterError(
            "the centre of rotation is not known: put Center() or Center(value) among the steps."
        )
    spacing = projections.spacing * (1 if projections.beam is None else projections.beam.magnification)
    return ((projections.columns - 1) / 2 - projections.center) * spacing
