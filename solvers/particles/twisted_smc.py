"""Twisted sequential Monte Carlo along a diffusion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.particles.base import ParticleSampler
from invgen.solvers.particles.crowd import Cloud, Crowd, taken
from invgen.solvers.particles.moves import metropolis_adjusted
from invgen.solvers.particles.step import Twisted, given, step, variance_seen, width
from invgen.solvers.particles.twist import DataStep
from invgen.solvers.particles.weights import effective_number
from invgen.solvers.sampling.metropolis import require_noisy_density

__all__ = ["TwistedSMC"]

#: The distance of two levels is halved so often at most, on a logarithmic scale.
_HALVINGS = 6


@dataclass(frozen=True, kw_only=True)
class TwistedSMC(ParticleSampler):
    """Twisted diffusion sampler, after Wu, Trippe, Naesseth, Blei and Cunningham (2023), algorithm 1.

    While the noise level is annealed, particles are guided by a twisting function, an estimate of
    ``p(y | x_t)``. Their weights correct its error, so that many particles at many levels are samples of the
    posterior whatever the estimate is. Where few of them carry the weight, they are drawn anew.

    With D the denoised image, J its derivative and W the inverse covariance of the noise, the data are taken
    for Gaussian around A D with the covariance ``S = W^-1 + sigma^2 A J A.H``, as ``sigma^2 J`` is that of x0
    given x_t. The logarithm of the twisting function, ``-(y - A D).H S^-1 (y - A D) / 2``, is found by a few
    steps of conjugate gradients. It ends at the likelihood.

    The step to the next level has the mean of Bayes' rule and noise of the deviation
    ``sqrt(1 - low^2 / high^2) (low + (high - low) J)``: that of ancestral sampling where noise prevails,
    J = 0, and that of reverse diffusion where the image does, J = 1. Its variance is right to the second
    order; that of either alone, as in the paper, is a tenth off after a hundred levels. In three respects
    more than in the paper the particles are led to where the posterior is, so that small noise does not leave
    all weight to a few of them:

    - What the data determine varies less in a step. The noise is drawn with the covariance that it has given
      the data, for a prior that is white with a variance that the derivative J shows (`variance_seen`), and
      weighted by the ratio of the two densities.
    - The last step, from the lowest noise level, is a draw of ``N(x; D, sigma^2)`` times the likelihood,
      which meets the data however small their noise is. (The denoised image itself is off by some of the
      level sigma, and a likelihood may be far narrower.)
    - Where a step would leave less than the part `kept` of the effective number of particles, in either
      population (Del Moral, Doucet and Jasra 2012), a level halfway is put between, on a logarithmic scale,
      and so on. Each attempt costs an evaluation for each particle.

    Where the operator's singular values are known and the noise is of one level, ``log_evidence`` is in the
    statistics: the logarithm of an estimate of the mean of ``exp(-negative_log_likelihood)`` over all images
    of the prior. It is unbiased but for the finite distance of the levels.

    Parameters
    ----------
    prior : Denoiser
        One that PyTorch can differentiate.
    iterations, particles, scale, chunk_size, sigma_range
        See `ParticleSampler`.
    threshold : number from 0 to 1
        Particles of a population are drawn anew when their effective number is less than this part of them.
    kept : number from 0 to 1
        See above; with 0 no levels are put between.
    cg_steps : int
        Of the twisting function, each with a product of J; one is exact for a single measurement.
    moves : int
        Metropolis-adjusted Langevin steps at each level, each of which costs an evaluation for each particle:
        for priors whose density of noisy images is known, such as a `GaussianMixture`. They make particles
        that were drawn anew differ, and leave less of the error of the steps between levels.

    Raises
    ------
    CapabilityError
        For priors without derivative, and with moves for those without the density of noisy images.

    Warns
    -----
    SamplingWarning
        See `ParticleSampler`.
    """

    threshold: float = 0.5
    kept: float = 0.5
    cg_steps: int = 3
    moves: int = 0

    counts: ClassVar[dict[str, int]] = {"particles": 2, "cg_steps": 1, "moves": 0}
    kind: ClassVar[Any] = Twisted
    remedies: ClassVar[str] = "take more particles, or more noise levels (iterations)"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("threshold", "kept"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"TwistedSMC needs {name} from 0 to 1; got {getattr(self, name)}.")
        if self.moves:
            require_noisy_density(self.prior, self.name, "moves")

    def data_step(self, problem: Problem) -> DataStep:
        """The residual's likelihood, and its slope."""
        return DataStep(problem)

    def begun(self, crowd: Crowd, cloud: Cloud, sigma: float, draws: Draws) -> Twisted:
        """With what the first step takes."""
        v = (format_of(self.prior).std or 1.0) ** 2
        return self.seen(crowd, cloud, sigma, self.levels()[1], v, draws)

    def seen(self, crowd: Crowd, cloud: Cloud, sigma: float, low: float, v: float, draws: Draws) -> Twisted:
        """Particles at the level sigma, with the noise of a step to about the level `low`.

        `v` is the variance that the prior is taken to have.
        """
        white, other = (crowd.noise(cloud.noisy[0], draws) for _ in range(2))
        e = crowd.problem.likelihood.color(crowd.noise(crowd.problem.measurement, draws))
        parts = crowd.parts(cloud.noisy, white, other, e)
        found = [self.twisted(*part, sigma=sigma, low=low, v=v) for part in parts]
        denoised, twist, *others = map(torch.cat, zip(*found, strict=True))
        weights, evaluations = cloud.log_weights + twist, cloud.evaluations + 1
        others.append(torch.full_like(weights, v))
        return Twisted(cloud.noisy, weights, cloud.ancestors, evaluations, denoised, twist, *others)

    def twisted(
        self,
        data: DataStep,
        x: Tensor,
        white: Tensor,
        other: Tensor,
        e: Tensor,
        *,
        sigma: float,
        low: float,
        v: float,
    ) -> tuple[Tensor, ...]:
        """What some of the particles need for a step: of `Twisted`, `denoised` to `surplus`."""
        denoised, pullback = self.denoised_with_pullback(x, sigma)
        above, below = given(sigma, v), given(low, v)
        value, guide = data.twist(denoised, pullback, sigma, above, self.cg_steps)
        moves = (above / sigma**2 * width(sigma, low, v)) ** 2  # variance of the next denoised image
        noise, surplus = data.noise(white, other, e, below, below + moves)
        return denoised, value.double(), guide, pullback(guide), noise, pullback(noise), surplus.double()

    def moved(
        self, crowd: Crowd, cloud: Twisted, high: float, low: float, draws: Draws
    ) -> tuple[Twisted, Tensor, Tensor]:
        """To the next level, through as many between as it takes."""
        if low == 0:
            return self.ended(crowd, cloud, high, draws)
        goal, least = low, crowd.effective(cloud.log_weights)
        shortest = (high / low) ** (2.0**-_HALVINGS) * (1 + 1e-6)
        while True:
            index, weights = crowd.drawn_anew(cloud.log_weights, self.threshold, draws)
            drawn, before = taken(cloud, index), effective_number(crowd.populations(weights))
            # v is for the next noise: did the step with this noise depend on it, weights would be biased
            variances = torch.stack([drawn.variance[0], variance_seen(crowd.space, drawn, high)])
            (own, v), evaluations = variances.tolist(), drawn.evaluations
            while True:
                x, gain = step(crowd.space, drawn, high, low, own)
                there = Cloud(x, weights + gain - drawn.twist, drawn.ancestors, evaluations)
                cloud = self.seen(crowd, there, low, low**2 / high, v, draws)
                evaluations = cloud.evaluations
                after = effective_number(crowd.populations(cloud.log_weights))
                if high / low <= shortest or float((after / before).min()) >= self.kept:
                    break
                low = math.sqrt(high * low)
            least = torch.minimum(least, crowd.effective(cloud.log_weights))
            if low == goal:
                cloud = self.mixed(crowd, cloud, high, low, v, draws)
                return cloud, cloud.denoised, least
            # then twice as far, on a logarithmic scale
            high, low = low, max(goal, low * (low / high) ** 2)

    def mixed(
        self, crowd: Crowd, cloud: Twisted, high: float, sigma: float, v: float, draws: Draws
    ) -> Twisted:
        """The particles after their moves at a level."""

        def there(x: Tensor, evaluations: Tensor) -> Twisted:
            cloud_there = Cloud(x, torch.zeros_like(cloud.log_weights), cloud.ancestors, evaluations)
            return self.seen(crowd, cloud_there, sigma, sigma**2 / high, v, draws)

        for _ in range(self.moves):
            cloud = metropolis_adjusted(
                crowd, cloud, there, lambda x: self.prior.log_prob(x, sigma).double(), sigma, draws
            )
        return cloud

    def ended(
        self, crowd: Crowd, cloud: Twisted, sigma: float, draws: Draws
    ) -> tuple[Twisted, Tensor, Tensor]:
        """Draws of ``N(x; D, sigma^2)`` times the likelihood, weighted by its mean."""
        centre = cloud.denoised + sigma * crowd.noise(cloud.noisy[0], draws)
        e = crowd.problem.likelihood.color(crowd.noise(crowd.problem.measurement, draws))
        ends = [
            (c + data.toward(c, sigma**2, e), data.misfit(denoised, sigma**2))
            for data, c, e, denoised in crowd.parts(centre, e, cloud.denoised)
        ]
        x, misfit = map(torch.cat, zip(*ends, strict=True))
        gain = crowd.data.log_determinant(0.0, sigma**2) - misfit.double() / 2 - cloud.twist
        weights = cloud.log_weights + gain
        return cloud._replace(noisy=x, log_weights=weights), x, crowd.effective(weights)

    def knows_evidence(self, problem: Problem) -> bool:
        """Where determinants are known."""
        return problem.linear_operator.svd is not None and problem.uniform_weight is not None
