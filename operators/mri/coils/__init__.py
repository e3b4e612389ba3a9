"""Receiver coils: their sensitivities, fewer virtual ones, and their noise.

Everything here takes and gives coils first, ``(coils, ...)``.
"""

from invgen.operators.mri.coils.adaptive import adaptive
from invgen.operators.mri.coils.compression import compression_matrix, mix
from invgen.operators.mri.coils.espirit import espirit
from invgen.operators.mri.coils.noise import noise_covariance, whitening_matrix

__all__ = ["adaptive", "compression_matrix", "espirit", "mix", "noise_covariance", "whitening_matrix"]
