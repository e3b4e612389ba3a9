"""What a problem of certification is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

from invgen.noise import Gaussian as Noise
from invgen.operators import LinearOperator

__all__ = ["Setting"]


class Setting(NamedTuple):
    """What images are like, how they are measured, and how strong the noise is.

    The prior has samples, a denoiser and a format of its images, as `invgen.priors.GaussianMixture` has.
    """

    prior: Any
    operator: LinearOperator
    noise: Noise
