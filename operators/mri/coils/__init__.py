"""Receiver coils: sensitivities, compression to virtual coils, noise.

In all arrays the coils are the first axis, ``(coils, ...)``.
"""

from invgen.operators.mri.coils.adaptive import adaptive
from invgen.operators.mri.coils.compression import compression_matrix, mix
from invgen.operators.mri.coils.espirit import espirit
from invgen.operators.mri.coils.noise import noise_covariance, whitening_matrix

__all__ = ["adaptive", "compression_matrix", "espirit", "mix", "noise_covariance", "whitening_matrix"]
