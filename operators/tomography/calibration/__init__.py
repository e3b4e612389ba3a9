"""Parameters of a scanner, estimated from its own projections."""

from invgen.operators.tomography.calibration.scanner import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]
