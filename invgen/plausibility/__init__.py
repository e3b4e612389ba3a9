"""How plausible data are under a prior: tests of anomalies, purification, compression, classification.

And whether a measurement fits the prior that it is reconstructed with.
"""

from invgen.plausibility.anomaly import AnomalyDetector
from invgen.plausibility.attacks import FGSM, PGD
from invgen.plausibility.classification import (
    BayesClassifier,
    DenoisingClassifier,
    expected_calibration_error,
    reliability,
)
from invgen.plausibility.compression import compress, decompress
from invgen.plausibility.p_values import (
    binomial_interval,
    false_discoveries,
    least_count,
    permutation_p_value,
)
from invgen.plausibility.purification import (
    AdaptivePurification,
    AscentPurification,
    DenoisingPurification,
    DiffusionPurification,
    GreedyPurification,
)
from invgen.plausibility.reconstructions import Assessment, Calibration, assess, calibrate, pivotal_p_value

__all__ = [
    "FGSM",
    "PGD",
    "AdaptivePurification",
    "AnomalyDetector",
    "AscentPurification",
    "Assessment",
    "BayesClassifier",
    "Calibration",
    "DenoisingClassifier",
    "DenoisingPurification",
    "DiffusionPurification",
    "GreedyPurification",
    "assess",
    "binomial_interval",
    "calibrate",
    "compress",
    "decompress",
    "expected_calibration_error",
    "false_discoveries",
    "least_count",
    "permutation_p_value",
    "pivotal_p_value",
    "reliability",
]
