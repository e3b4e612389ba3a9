"""Sequential Monte Carlo: many weighted particles, which go down the noise levels together."""

from invgen.solvers.particles.base import ParticleSampler
from invgen.solvers.particles.fps import FPS
from invgen.solvers.particles.mcgdiff import MCGDiff
from invgen.solvers.particles.twisted_smc import TwistedSMC

__all__ = ["FPS", "MCGDiff", "ParticleSampler", "TwistedSMC"]
