"""Twisted sequential Monte Carlo along a diffusion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.core.space import Space
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.particles.base import ParticleSampler
from invgen.solvers.particles.crowd import Cloud, Crowd, taken
from invgen.solvers.particles.twist import DataStep
from invgen.solvers.particles.weights import conditional_part

__all__ = ["TwistedSMC"]

#: The distance of two levels is halved so often at most.
_HALVINGS = 6


class Twisted(NamedTuple):
    """Particles at a noise level, as `Cloud`, and what their next step takes, whatever its length.

    Attributes
    ----------
    noisy, log_weights, ancestors, evaluations
        The weights with the twisting function of this level.
    denoised : tensor, shape (count, *image)
        D.
    twist : tensor, shape (count,)
        Logarithm of the twisting function.
    guide, guide_through : tensor, shape (count, *image)
        ``sigma^2`` times its slope, and J times that.
    noise, noise_through : tensor, shape (count, *image)
        Noise of the next step, and J times it.
    surplus : tensor, shape (count,)
        Logarithm of the density of white noise there over that which it is of.
    response : tensor, shape (count,)
        See `Twist`.
    """

    noisy: Tensor
    log_weights: Tensor
    ancestors: Tensor
    evaluations: Tensor
    denoised: Tensor
    twist: Tensor
    guide: Tensor
    guide_through: Tensor
    noise: Tensor
    noise_through: Tensor
    surplus: Tensor
    response: Tensor


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
      the data, for a prior that is white with the variance that the mean response of the particles shows, and
      weighted by the ratio of the two densities.
    - The last step, from the lowest noise level, is a draw of ``N(x; D, sigma^2)`` times the likelihood,
      which meets the data however small their noise is. (The denoised image itself is off by some of the
      level sigma, and a likelihood may be far narrower.)
    - Where a step would leave a conditional effective number of less than the part `kept` of the particles,
      in either population, a level halfway is put between, on a logarithmic scale, and so on (bisection, as
      by Zhou, Johansen and Aston 2016). Each attempt costs an evaluation for each particle.

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

    Raises
    ------
    CapabilityError
        For priors without derivative.

    Warns
    -----
    SamplingWarning
        See `ParticleSampler`.
    """

    threshold: float = 0.5
    kept: float = 0.5
    cg_steps: int = 3

    counts: ClassVar[dict[str, int]] = {"particles": 2, "cg_steps": 1}
    kind: ClassVar[type] = Twisted
    remedies: ClassVar[str] = "take more particles, or more noise levels (iterations)"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("threshold", "kept"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"TwistedSMC needs {name} from 0 to 1; got {getattr(self, name)}.")

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
        found = [self.twisted(*part, sigma, low, v) for part in parts]
        denoised, twist, *others = map(torch.cat, zip(*found, strict=True))
        weights, evaluations = cloud.log_weights + twist, cloud.evaluations + 1
        return Twisted(cloud.noisy, weights, cloud.ancestors, evaluations, denoised, twist, *others)

    def twisted(
        self,
        data: DataStep,
        x: Tensor,
        white: Tensor,
        other: Tensor,
        e: Tensor,
        sigma: float,
        low: float,
        v: float,
    ) -> tuple[Tensor, ...]:
        """What some of the particles need for a step: the fields of `Twisted` from `denoised` on."""
        denoised, pullback = self.denoised_with_pullback(x, sigma)
        given, below = _given(sigma, v), _given(low, v)
        value, guide, response = data.twist(denoised, pullback, sigma, given, self.cg_steps)
        moves = (given / sigma**2 * _width(sigma, low, v)) ** 2  # variance of the next denoised image
        noise, surplus = data.noise(white, other, e, below, below + moves)
        through, surplus = pullback(noise), surplus.double()
        return denoised, value.double(), guide, pullback(guide), noise, through, surplus, response

    def moved(
        self, crowd: Crowd, cloud: Twisted, high: float, low: float, draws: Draws
    ) -> tuple[Twisted, Tensor, Tensor]:
        """To the next level, through as many between as it takes."""
        if low == 0:
            return self.ended(crowd, cloud, high, draws)
        goal, least = low, crowd.effective(cloud.log_weights)
        while True:
            index, weights = crowd.drawn_anew(cloud.log_weights, self.threshold, draws)
            drawn = taken(cloud, index)
            response = float(drawn.response.mean().clamp(1e-9, 1 - 1e-6))
            v, evaluations = high**2 * response / (1 - response), drawn.evaluations
            for halved in range(_HALVINGS + 1):
                x, gain = _step(crowd.space, drawn, high, low, v)
                gain = gain - drawn.twist
                there = Cloud(x, weights + gain, drawn.ancestors, evaluations)
                cloud = self.seen(crowd, there, low, low**2 / high, v, draws)
                gain, evaluations = gain + cloud.twist, cloud.evaluations
                part = conditional_part(crowd.populations(weights), crowd.populations(gain)).min()
                if halved == _HALVINGS or float(part) >= self.kept:
                    break
                low = math.sqrt(high * low)
            least = torch.minimum(least, crowd.effective(cloud.log_weights))
            if low == goal:
                return cloud, cloud.denoised, least
            # then twice as far, on a logarithmic scale
            high, low = low, max(goal, low * (low / high) ** 2)

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


def _given(sigma: float, v: float) -> float:
    """Variance of x0 given x_t, of a white prior of the variance v."""
    return sigma**2 / (1 + sigma**2 / v)


def _width(high: float, low: float, v: float) -> float:
    """Deviation of the noise of a step, of that prior."""
    return math.sqrt(1 - (low / high) ** 2) * (low + (high - low) * _given(high, v) / high**2)


def _step(space: Space, cloud: Twisted, high: float, low: float, v: float) -> tuple[Tensor, Tensor]:
    """The particles at another level, and the logarithm of its density over that of what was drawn."""
    kept, fresh = (low / high) ** 2, math.sqrt(1 - (low / high) ** 2)
    length = _width(high, low, v) / high**2
    shift = length * cloud.guide
    noise, through = cloud.noise + shift, cloud.noise_through + length * cloud.guide_through
    x = kept * cloud.noisy + (1 - kept) * cloud.denoised + fresh * (low * noise + (high - low) * through)
    correction = -space.inner(cloud.noise, shift).real - space.norm(shift) ** 2 / 2
    return x, correction.double() + cloud.surplus
