"""Noise models: what is random about a measurement, given the noiseless prediction ``A x``.

Each model samples, and gives the negative log-likelihood with its gradient and curvature with respect to
the prediction. Measurements carry any leading batch axes; an `axes` argument names a measurement's own.
"""

from invgen.noise.base import Noise
from invgen.noise.clipped import Clipped
from invgen.noise.counts import Poisson, Transmission
from invgen.noise.gaussian import Gaussian, Unknown

__all__ = ["Clipped", "Gaussian", "Noise", "Poisson", "Transmission", "Unknown"]
