"""How plausible data are under a prior: tests of anomalies, purification, compression, classification.

And whether a measurement fits the prior that it is reconstructed with.
"""

from invgen.plausibility.p_values import (
    binomial_interval,
    false_discoveries,
    least_count,
    permutation_p_value,
)
from invgen.plausibility.reconstructions import (
    Assessment,
    Calibration,
    assess,
    calibrate,
    pivotal_p_value,
)

__all__ = [
    "Assessment",
    "Calibration",
    "assess",
    "binomial_interval",
    "calibrate",
    "false_discoveries",
    "least_count",
    "permutation_p_value",
    "pivotal_p_value",
]
