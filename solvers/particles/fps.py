"""Filtering posterior sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.solvers.particles.coordinates import SpectralParticles, conditioned, log_density
from invgen.solvers.particles.crowd import POPULATIONS, Cloud, Crowd, taken

__all__ = ["FPS"]


class Filtered(NamedTuple):
    """Particles as `Cloud`, and the noise of the measurements at this level, along the singular vectors."""

    noisy: Tensor
    log_weights: Tensor
    ancestors: Tensor
    evaluations: Tensor
    path: Tensor


@dataclass(frozen=True, kw_only=True)
class FPS(SpectralParticles):
    """Filtering posterior sampling by sequential Monte Carlo (FPS-SMC), Dou and Song (2024), algorithm 2.

    "Diffusion posterior sampling for linear inverse problem solving: a filtering perspective". The
    measurement is diffused like the image, ``y_t = y + sigma A n``, so that ``y_t = A x_t`` up to the noise
    of the data at every level; a path of it is drawn from the highest level down to the data. A step is drawn
    from that of the sampler times the density of ``y_t`` there, and the particles are drawn anew by how
    probable that was (eq. 13).

    Here in terms of noise that is added (variance exploding); each population has a path of its own. The
    noise of the data is the same at all levels, and counts as if it were independent at each, so that the
    samples vary too little, the less the more levels there are. So does what is not measured: fresh noise in
    that proportion at each level leaves out half of the variance of white images (see `DDRM`). No gradient
    goes through the network.

    Parameters
    ----------
    prior : Denoiser
    iterations, particles, scale, chunk_size, sigma_range
        See `ParticleSampler`.
    c : number above 0, up to 1
        Part of the variance of the noise that is fresh at each level.

    Raises
    ------
    CapabilityError
        For operators without singular value decomposition, and noise of unequal levels.

    Warns
    -----
    SamplingWarning
        See `ParticleSampler`.
    """

    c: float = 0.95

    kind: ClassVar[Any] = Filtered
    remedies: ClassVar[str] = "take more particles, or TwistedSMC, whose weights are those of the posterior"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.c <= 1:
            raise ParameterError(f"FPS needs c above 0, up to 1; got {self.c}.")

    def begun(self, crowd: Crowd, cloud: Cloud, sigma: float, draws: Draws) -> Filtered:
        """Noise that suits the measurement at the highest level."""
        data = crowd.data
        path, n = sigma * self.of_path(crowd, draws), crowd.noise(data.seen, draws)
        x = conditioned(data, cloud.noisy, n, sigma**2, data.seen + path, data.std**2, data.known)
        return Filtered(x, cloud.log_weights, cloud.ancestors, cloud.evaluations, path)

    def of_path(self, crowd: Crowd, draws: Draws) -> Tensor:
        """White noise for the coefficients, the same for all particles of a population."""
        noise = crowd.noise(crowd.data.seen, draws)
        return noise[:POPULATIONS].repeat_interleave(crowd.count // POPULATIONS, 0)

    def moved(
        self, crowd: Crowd, cloud: Filtered, high: float, low: float, draws: Draws
    ) -> tuple[Filtered, Tensor, Tensor]:
        """One step, drawn and weighted by the measurement at the next level."""
        data, x = crowd.data, cloud.noisy
        denoised = self.all_denoised(crowd, x, high)
        cloud = cloud._replace(evaluations=cloud.evaluations + 1)
        if low == 0:
            return cloud._replace(noisy=denoised), denoised, crowd.effective(cloud.log_weights)
        rest, variance = math.sqrt(1 - self.c) * low / high, self.c * low**2
        mean = denoised + rest * (x - denoised)
        path = rest * cloud.path + variance**0.5 * self.of_path(crowd, draws)
        seen = data.seen + path
        gain = log_density(data, data.V.H(mean), seen, variance + data.std**2, data.known)
        cloud = cloud._replace(noisy=mean, log_weights=cloud.log_weights + gain, path=path)
        number = crowd.effective(cloud.log_weights)
        index, _ = crowd.drawn_anew(cloud.log_weights, math.inf, draws)
        # paths differ in how probable they are, not in how much they are worth
        cloud = taken(cloud, index)._replace(log_weights=torch.zeros_like(cloud.log_weights))
        x = cloud.noisy + variance**0.5 * crowd.noise(x[0], draws)
        n = crowd.noise(data.seen, draws)
        x = conditioned(data, x, n, variance, data.seen + cloud.path, data.std**2, data.known)
        return cloud._replace(noisy=x), denoised[index], number
