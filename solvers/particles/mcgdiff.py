"""Monte Carlo guided diffusion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors.image_format import format_of
from invgen.solvers.particles.coordinates import SpectralParticles, conditioned, log_density
from invgen.solvers.particles.crowd import Cloud, Crowd, taken

__all__ = ["MCGDiff"]


@dataclass(frozen=True, kw_only=True)
class MCGDiff(SpectralParticles):
    """Monte Carlo guided diffusion, Cardoso, Janati El Idrissi, Le Corff and Moulines (2024), algorithm 1.

    "Monte Carlo guided denoising diffusion models for Bayesian linear inverse problems". Along a singular
    vector a measurement with noise of the level tau is an image with noise of that level. While the noise of
    the particles is of a higher level sigma, they are led to it by the potential ``N(y; x_i, sigma^2 - tau^2
    + kappa (1 + tau^2))``: each step is drawn from that of ancestral sampling times the potential of the next
    level, weighted by how probable the latter was over the potential of this one They are drawn anew in every
    step. Below that level a coefficient goes its own way, and in the end the weights are those of the
    likelihood.

    As in the authors' code, in terms of noise that is added (variance exploding). When a coefficient leaves
    its level tau, the weight loses the potential, which is as narrow as kappa says: that costs effective
    particles, the more the more measurements there are. No gradient goes through the network.

    Parameters
    ----------
    prior : Denoiser
    iterations, particles, scale, chunk_size, sigma_range
        See `ParticleSampler`.
    kappa : positive number
        Relative variance of the potentials, where the paper's images have the variance one.

    Raises
    ------
    CapabilityError
        For operators without singular value decomposition, and noise of unequal levels.

    Warns
    -----
    SamplingWarning
        See `ParticleSampler`.
    """

    kappa: float = 1e-4

    remedies: ClassVar[str] = "take more particles, or TwistedSMC, whose weights vary less"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.kappa > 0:
            raise ParameterError(f"MCGDiff needs a positive kappa; got {self.kappa}.")

    def moved(
        self, crowd: Crowd, cloud: Cloud, high: float, low: float, draws: Draws
    ) -> tuple[Cloud, Tensor, Tensor]:
        """One step of ancestral sampling, led by the potential of the next level."""
        data, x, kept = crowd.data, cloud.noisy, (low / high) ** 2
        denoised = self.all_denoised(crowd, x, high)
        mean, variance = kept * x + (1 - kept) * denoised, (1 - kept) * low**2
        before, after = (data.known & (data.std <= level) for level in (high, low))
        slack = self.kappa * ((format_of(self.prior).std or 1.0) ** 2 + data.std**2)
        here, there = (level**2 - data.std**2 + slack for level in (high, low))
        gain = -log_density(data, data.V.H(x), data.seen, here, before)
        cloud = cloud._replace(evaluations=cloud.evaluations + 1)
        if low == 0:
            gain = gain - self.misfits(crowd, mean)
            weights = cloud.log_weights + gain
            return cloud._replace(noisy=mean, log_weights=weights), mean, crowd.effective(weights)
        gain = gain + log_density(data, data.V.H(mean), data.seen, variance + there, after)
        cloud = cloud._replace(noisy=mean, log_weights=cloud.log_weights + gain)
        number = crowd.effective(cloud.log_weights)
        if bool(after.any()):
            index, weights = crowd.drawn_anew(cloud.log_weights, math.inf, draws)
            cloud = taken(cloud, index)._replace(log_weights=weights)
            denoised = denoised[index]
        x = cloud.noisy + variance**0.5 * crowd.noise(x[0], draws)
        n = crowd.noise(data.seen, draws)
        x = conditioned(data, x, n, variance, data.seen, there, after)
        return cloud._replace(noisy=x), denoised, number

    def misfits(self, crowd: Crowd, x: Tensor) -> Tensor:
        """Negative log-likelihood of each particle."""
        problem = crowd.problem.repeated(len(x))
        return problem.negative_log_likelihood(x).double()
