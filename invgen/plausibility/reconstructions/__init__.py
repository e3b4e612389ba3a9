"""Warnings on reconstructions: whether a scan fits operator, noise and prior."""

from invgen.plausibility.reconstructions.assessment import (
    Assessment,
    assess,
    calibrate,
    gathered,
)
from invgen.plausibility.reconstructions.calibration import Calibration
from invgen.plausibility.reconstructions.coarse import CoarseDensity
from invgen.plausibility.reconstructions.residuals import (
    discrepancy,
    least_squares_bound,
    least_squares_image,
    pivotal_p_value,
    residual_statistics,
)
from invgen.plausibility.reconstructions.typicality import typicality

__all__ = [
    "Assessment",
    "Calibration",
    "CoarseDensity",
    "assess",
    "calibrate",
    "discrepancy",
    "gathered",
    "least_squares_bound",
    "least_squares_image",
    "pivotal_p_value",
    "residual_statistics",
    "typicality",
]
