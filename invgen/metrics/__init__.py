"""How good an image is, and how good a generative model.

==================================================  ======================================================
what                                                of
==================================================  ======================================================
`psnr`, `nrmse`, `relative_error`, `ssim`           an image beside the truth
`bits_per_dimension`                                a density: the code length of images of 8 bits
`frechet_distance`, `precision_recall`,             samples beside images that are real
`memorization`
`DigitFeatures`, `digit_features`                   features of digits that these compare
==================================================  ======================================================
"""

from invgen.metrics.bits import BitsPerDimension, bits_per_dimension
from invgen.metrics.copies import Memorization, memorization
from invgen.metrics.digits import DigitFeatures, digit_features
from invgen.metrics.images import nrmse, psnr, relative_error, ssim
from invgen.metrics.samples import PrecisionRecall, frechet_distance, precision_recall

__all__ = [
    "BitsPerDimension",
    "DigitFeatures",
    "Memorization",
    "PrecisionRecall",
    "bits_per_dimension",
    "digit_features",
    "frechet_distance",
    "memorization",
    "nrmse",
    "precision_recall",
    "psnr",
    "relative_error",
    "ssim",
]
