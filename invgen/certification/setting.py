"""What a problem of certification is made of."""

from __future__ import annotations

from typing import NamedTuple

from invgen.noise import Gaussian as Noise
from invgen.operators import LinearOperator
from invgen.priors import GaussianMixture

__all__ = ["Setting"]


class Setting(NamedTuple):
    """What images are like, how they are measured, and how strong the noise is."""

    prior: GaussianMixture
    operator: LinearOperator
    noise: Noise
