"""What `invgen info` reports of a CT scan."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from invgen.core.errors import DataError, InvgenError, InvgenWarning
from invgen.io.ct.axis import axis_of_beam
from invgen.io.ct.center import Center, find_center
from invgen.io.ct.coverage import coverage
from invgen.io.ct.raw import RawScan
from invgen.io.ct.truncation import truncation

__all__ = ["describe"]

_CHEAP = 2**24  # rays of a slice that is still read, to inspect the data themselves


def describe(scan: RawScan) -> dict[str, Any]:
    """Describe a scan as plain data: see `Scan.info`."""
    contents = scan.contents
    return {
        "path": str(scan.path),
        "format": scan.format,
        "dataset": contents.dataset,
        "quantity": scan.quantity,
        "stored": scan.stored,
        "views": scan.views,
        "slices": scan.slices,
        "columns": scan.columns,
        "dtype": str(scan.dtype),
        "angles": _angles(scan.angles) if scan.has_angles else None,
        "geometry": _geometry(scan),
        "pixel_size": scan.pixel_size,
        "unit": scan.unit,
        "flats": len(contents.flats) if contents.flats else 0,
        "darks": len(contents.darks) if contents.darks else 0,
        "missing": _missing(scan),
        "notes": list(scan.notes),
        **_seen(scan),
    }


def _angles(angles: np.ndarray) -> dict[str, Any]:
    degrees = np.rad2deg(angles)
    steps = np.diff(degrees)
    return {
        "unit": "degrees",
        "first": float(degrees[0]),
        "last": float(degrees[-1]),
        "step": float(np.median(steps)) if len(steps) else None,
        "uniform": bool(len(steps) and np.ptp(steps) <= 1e-3 * np.median(steps)),
    }


def _geometry(scan: RawScan) -> dict[str, Any]:
    """Positions of source and detector; lengths on the detector itself, in `unit`."""
    beam, columns = scan.beam, scan.columns
    magnification = 1.0 if beam is None else beam.magnification
    spacing = scan.pixel_size * magnification
    fan = 0.0
    if beam is not None:
        half = columns * spacing / 2 / beam.source_detector
        fan = 2 * (half if beam.curved else math.atan(half))
    return {
        "kind": scan.geometry,
        "source_origin": None if beam is None else beam.source_origin,
        "source_detector": None if beam is None else beam.source_detector,
        "magnification": magnification,
        "detector_spacing": spacing,
        "row_spacing": (scan.contents.row_size or scan.pixel_size) * magnification,
        "curved": beam is not None and beam.curved,
        "unit": scan.unit,
        "detector_columns": columns,
        "detector_rows": scan.slices,
        "fan_angle_degrees": math.degrees(fan),
        "rotation": scan.rotation,
    }


def _missing(scan: RawScan) -> list[str]:
    there = {"angles": scan.has_angles, "pixel size": scan.unit != "pixel"}
    if scan.stored == "counts":
        there |= {"flats": scan.has_flats, "darks": scan.has_darks}
    return [name for name, found in there.items() if not found]


def _seen(scan: RawScan) -> dict[str, Any]:
    """What the views see of the middle slice, and what would prevent or spoil its reconstruction."""
    if not scan.has_angles or scan.views * scan.columns > _CHEAP:
        return {"coverage": None, "warnings": []}
    seen: str | None = None
    doubts: list[str] = []
    try:
        doubts += scan.contradictions
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InvgenWarning)
            projections = scan.preprocess(scan.slices // 2)
            cut = truncation(projections)
            if not cut and not projections.half:
                return {"coverage": "whole", "warnings": doubts}
            find = find_center if scan.beam is None else axis_of_beam
            try:
                seen = coverage(Center(find(projections))(projections)).kind
            except DataError:  # the axis cannot be found
                seen = "region of interest" if cut else None
    except InvgenError as error:
        return {"coverage": None, "warnings": [*doubts, str(error)]}
    cut_off = [str(cut)] if cut and seen == "region of interest" else []
    return {"coverage": seen, "warnings": [*doubts, *cut_off]}
