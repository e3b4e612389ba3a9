"""How plausible data are under a prior: tests of anomalies, purification, compression, classification.

And whether a measurement fits the prior that it is reconstructed with.
"""

from invgen.plausibility.anomaly import AnomalyDetector
from invgen.plausibility.compression import compress, decompress
from invgen.plausibility.p_values import (
    binomial_interval,
    false_discoveries,
    least_count,
    permutation_p_value,
)

__all__ = [
    "AnomalyDetector",
    "binomial_interval",
    "compress",
    "decompress",
    "false_discoveries",
    "least_count",
    "permutation_p_value",
]
