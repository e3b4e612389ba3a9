"""What projections tell of the scanner that made them."""

from invgen.operators.tomography.calibration.scanner import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]
