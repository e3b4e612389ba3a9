"""Classification by priors of the images of each class, and whether its probabilities are frequencies.

=============================  =======================================================================
`BayesClassifier`              Bayes' rule, with a density of each class
`DenoisingClassifier`          the same, with a denoiser of each class: a conditional diffusion model
`expected_calibration_error`   how far confidence is from accuracy
`reliability`                  the same, confidence by confidence
=============================  =======================================================================
"""

from invgen.plausibility.classification.bayes import BayesClassifier
from invgen.plausibility.classification.calibration import (
    Reliability,
    expected_calibration_error,
    fitted_temperature,
    reliability,
)
from invgen.plausibility.classification.denoising import DenoisingClassifier

__all__ = [
    "BayesClassifier",
    "DenoisingClassifier",
    "Reliability",
    "expected_calibration_error",
    "fitted_temperature",
    "reliability",
]
