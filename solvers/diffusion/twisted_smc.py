"""Twisted sequential Monte Carlo along a diffusion."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.problem import Problem
from invgen.solvers.data_prox import DataProx
from invgen.solvers.diffusion.base import DiffusionSolver
from invgen.solvers.state import State

__all__ = ["TwistedSMC"]


class Moved(NamedTuple):
    """Particles before and after a step, and its share of the logarithm of their weights."""

    denoised: Tensor
    x: Tensor
    twist: Tensor
    correction: Tensor


@dataclass(frozen=True, kw_only=True)
class TwistedSMC(DiffusionSolver):
    """Twisted diffusion sampler, Wu, Trippe, Naesseth, Blei and Cunningham (2023), algorithm 1.

    While the noise level is annealed, particles are guided by a twisting function, an estimate of
    ``p(y | x_t)``. Their weights correct its error, so that many particles at many levels are samples of the
    posterior whatever the estimate is. Where few of them carry the weight, they are drawn anew (systematic
    resampling).

    With D the denoised image, J its derivative and W the inverse covariance of the noise, the data are taken
    for Gaussian around A D with the covariance ``S = W^-1 + sigma^2 A J A.H``, as ``sigma^2 J`` is that of x0
    given x_t. The logarithm of the twisting function, ``-(y - A D).H S^-1 (y - A D) / 2``, is found by one
    step of conjugate gradients, preconditioned by ``W^-1 + sigma^2 A A.H``, PiGDM's covariance with
    ``r = sigma``. It ends at the likelihood.

    The step to the next level has the mean of Bayes' rule and noise of the deviation
    ``sqrt(1 - low^2 / high^2) (low + (high - low) J)``: that of ancestral sampling where noise prevails,
    J = 0, and that of reverse diffusion where the image does, J = 1. Its variance is right to the second
    order; that of either alone, as in the paper, is a tenth off after a hundred levels.

    Parameters
    ----------
    prior : Denoiser
        One that PyTorch can differentiate.
    iterations : int
        Noise levels.
    particles : int
        Their number, at least that of the samples; each costs as much as a sample of other methods. The
        samples of one call are drawn from the same ones, so that they all follow from its seed together:
        sample i is not that of the seed plus i.
    threshold : number from 0 to 1
        Particles are drawn anew when their effective number is less than this part of them.
    chunk_size : int, optional
        Number of particles that the denoiser sees at a time.
    scale, sigma_range
        See `DiffusionSolver`.

    Raises
    ------
    CapabilityError
        For priors without derivative.
    """

    iterations: int = 100
    particles: int = 64
    threshold: float = 0.5

    memory: ClassVar[int] = 2**18
    together: ClassVar[bool] = True
    counts: ClassVar[dict[str, int]] = {"particles": 2}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold <= 1:
            raise ParameterError(f"TwistedSMC needs a threshold from 0 to 1; got {self.threshold}.")

    def draws(self, problem: Problem, state: State) -> Draws:
        """One stream of random numbers for all particles, from where `state` left it."""
        return Draws(state["draws"][:1], device=state.x.device)

    def prepare(self, problem: Problem) -> Crowd:
        """The particles' data steps."""
        count = max(self.particles, problem.batch_shape[0])
        each = self.chunk_size or max(1, self.memory // max(1, problem.zeros()[0].numel()))
        return Crowd(problem, count, min(count, each))

    def start(self, problem: Problem, crowd: Crowd, state: State, sigma: float, draws: Draws) -> State:
        """Particles of noise around the first image, all of one weight."""
        x = state.x[:1].expand(crowd.count, *state.x.shape[1:])
        x = x + sigma * crowd.noise(x, draws)
        log_weights = x.new_zeros(crowd.count, *problem.batch_shape[1:], dtype=torch.float64)
        return State(x=state.x, noisy=x, log_weights=log_weights, effective=log_weights[:0])

    def step(
        self, problem: Problem, crowd: Crowd, state: State, high: float, low: float, draws: Draws
    ) -> State:
        """Move, weight and draw anew; the images are drawn by their weights."""
        space, samples = problem.operator.domain, problem.batch_shape[0]
        x, log_weights, effective = state["noisy"], state["log_weights"], state["effective"]
        ends = zip(crowd.parts, x.split(crowd.each), crowd.noise(x, draws).split(crowd.each), strict=True)
        moved = [self.moved(*part, xs, noise, high, low) for part, xs, noise in ends]
        denoised, x, twist, correction = map(torch.cat, zip(*moved, strict=True))
        log_weights = log_weights + twist
        seen, effective = (denoised, log_weights), torch.cat([effective, _effective(log_weights)[None]])
        if low == 0:
            log_weights = log_weights + correction - twist - crowd.misfits(x)
            seen, effective = (x, log_weights), torch.cat([effective, _effective(log_weights)[None]])
        else:
            # after the step, not before, so that no derivative need be kept until all weights are known
            drawn = _systematic(log_weights, crowd.count, draws)
            few = _effective(log_weights) < self.threshold * crowd.count
            kept = torch.arange(crowd.count, device=x.device).reshape(-1, *(1,) * few.ndim)
            index = torch.where(few, drawn, kept)
            x = x.take_along_dim(space.per_sample(index), 0)
            gained = (correction - twist).take_along_dim(index, 0)
            log_weights = torch.where(few, 0.0, log_weights) + gained
        images = seen[0].take_along_dim(space.per_sample(_systematic(seen[1], samples, draws)), 0)
        return State(x=images, noisy=x, log_weights=log_weights, effective=effective)

    def moved(
        self, problem: Problem, data_step: DataProx, x: Tensor, noise: Tensor, high: float, low: float
    ) -> Moved:
        """Some of the particles one level on."""
        space = problem.operator.domain
        denoised, pullback = self.denoised_with_pullback(x, high)
        rho = x.real.new_full(problem.batch_shape, high**-2)
        # A.H of the residual, preconditioned, is delta / sigma^2; none of these is a small difference
        delta = data_step.move(denoised, rho)
        pulled, misfit = pullback(delta), problem.misfit(denoised + delta)
        square = misfit + (space.norm(delta) / high) ** 2
        curvature = misfit + space.inner(delta, pulled).real.clamp(min=0) / high**2
        gain = square / curvature.clamp(min=torch.finfo(curvature.dtype).tiny)
        kept = (low / high) ** 2
        shift = math.sqrt(1 - kept) * low / high**2 * space.per_sample(gain) * pulled
        n = noise + shift
        x = kept * x + (1 - kept) * denoised + math.sqrt(1 - kept) * (low * n + (high - low) * pullback(n))
        correction = -space.inner(noise, shift).real - space.norm(shift) ** 2 / 2
        return Moved(denoised, x, (-gain * square / 2).double(), correction.double())

    def diagnostics(self, ends: list[State]) -> dict[str, Any]:
        """The effective number of particles at each level and of the samples, and the cost of each sample."""
        end = ends[0]
        effective, k, particles = end["effective"], end["k"], len(end["noisy"])
        return {
            "network_evaluations": k * particles / len(end.x),
            "particles": particles,
            "effective_particles": effective,
        }


class Crowd:
    """All particles of a problem, some of which are moved at a time.

    Parameters
    ----------
    problem : Problem
        Its first batch axis counts the samples, which all have the same measurement.
    count, each : int
        Number of particles, and of those moved at a time.
    """

    def __init__(self, problem: Problem, count: int, each: int) -> None:
        self.count, self.each = count, each
        alone = problem.element(0)
        problems = [alone.repeated(min(each, count - first)) for first in range(0, count, each)]
        self.parts = [(part, DataProx(part)) for part in problems]
        self._shape = (count, *(1,) * len(alone.batch_shape), *alone.operator.domain.shape)

    def noise(self, like: Tensor, draws: Draws) -> Tensor:
        """White noise for each particle, the same for each batch element."""
        return draws(like.new_empty(1, *self._shape))[0].expand(like.shape)

    def misfits(self, x: Tensor) -> Tensor:
        """Negative log-likelihood of each particle."""
        pairs = zip(self.parts, x.split(self.each), strict=True)
        return torch.cat([part.negative_log_likelihood(xs) for (part, _), xs in pairs])


def _effective(log_weights: Tensor) -> Tensor:
    """One over the sum of squared weights, shape of the batch."""
    return 1 / torch.softmax(log_weights, 0).square().sum(0)


def _systematic(log_weights: Tensor, n: int, draws: Callable[[Tensor], Tensor]) -> Tensor:
    """Indices of n particles by their weights (count, *batch), shape (n, *batch): systematic resampling."""
    uniform = torch.special.ndtr(draws(log_weights.new_empty(1, 1)))[0, 0]
    ends = torch.softmax(log_weights, 0).cumsum(0).movedim(0, -1).contiguous()
    places = (torch.arange(n, device=ends.device) + uniform) / n
    index = torch.searchsorted(ends, places.expand(*ends.shape[:-1], n).contiguous())
    return index.clamp(max=len(log_weights) - 1).movedim(-1, 0)
