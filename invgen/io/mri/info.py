"""What `invgen info` reports of an MRI scan."""

from __future__ import annotations

import warnings
from typing import Any

from invgen.core.errors import InvgenError, InvgenWarning
from invgen.io.mri.raw import RawMRIScan
from invgen.operators.mri.calibration import calibrated

__all__ = ["describe"]


def describe(scan: RawMRIScan) -> dict[str, Any]:
    """Describe a scan as plain data: see `MRIScan.info`."""
    contents = scan.contents
    return {
        "path": str(scan.path),
        "kind": "mri",
        "format": scan.format,
        "dataset": contents.dataset,
        "dtype": str(scan.dtype),
        "coils": scan.coils,
        "slices": scan.slices,
        "repetitions": scan.repetitions,
        "frames": list(scan.frames),
        "trajectory": scan.trajectory,
        "encoded_matrix": list(scan.encoded_shape),
        "matrix": list(scan.image_shape),
        "pixel_size": list(scan.pixel_size),
        "field_of_view": [n * size for n, size in zip(scan.image_shape, scan.pixel_size, strict=True)],
        "unit": scan.unit,
        "oversampling": contents.oversampling,
        "noise_scan": scan.has_noise_scan,
        "calibration_scan": contents.has_calibration,
        "missing": _missing(scan),
        "notes": list(scan.notes),
        **_sampled(scan),
    }


def _missing(scan: RawMRIScan) -> list[str]:
    there = {"noise scan": scan.has_noise_scan, "pixel size": scan.unit != "pixel"}
    return [name for name, found in there.items() if not found]


def _sampled(scan: RawMRIScan) -> dict[str, Any]:
    """Describe the samples of the middle slice; where they cannot be used, say why."""
    found: dict[str, Any] = {
        "grid": None,
        "samples": None,
        "acceleration": None,
        "calibration_region": None,
        "report": [],
        "warnings": list(scan.contents.contradictions),
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InvgenWarning)  # they are in the list
            kspace = scan.kspace(scan.slices // 2)
    except InvgenError as error:
        return found | {"warnings": [*found["warnings"], str(error)]}
    found |= {
        "grid": list(kspace.image_shape),
        "samples": list(kspace.data.shape[1:]),
        "acceleration": kspace.acceleration,
        "report": list(kspace.report),
    }
    if kspace.mask is not None:
        mask = kspace.mask.expand(kspace.image_shape)
        if kspace.calibration is not None:
            mask = (kspace.calibration != 0).any(dim=0)
        found["calibration_region"] = list(calibrated(mask))
    return found
