"""Twisted sequential Monte Carlo along a diffusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.noise import Gaussian
from invgen.problem import Problem
from invgen.solvers.base import State
from invgen.solvers.data_prox import DataProx
from invgen.solvers.diffusion.base import DiffusionSolver

__all__ = ["TwistedSMC"]


class Step(NamedTuple):
    """Particles before and after a step, and what their weights owe to it."""

    denoised: Tensor
    x: Tensor
    twist: Tensor
    correction: Tensor


@dataclass(frozen=True)
class TwistedSMC(DiffusionSolver):
    """Twisted diffusion sampler, Wu, Trippe, Naesseth, Blei and Cunningham (2023), algorithm 1.

    Particles come down the noise levels guided by a twisting function, an estimate of ``p(y | x_t)``; what it
    gets wrong their weights make good, so that many particles are samples of the posterior whatever it is, as
    the levels become many, too. Where few of them carry the weight, they are drawn anew (systematic
    resampling).

    With D the denoised image, J its derivative and W the inverse covariance of the noise, the data are taken
    for normal around A D with the covariance ``S = W^-1 + sigma^2 A J A.H``, as ``sigma^2 J`` is that of x0
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
        How many there are, or as many as samples, if that is more; each costs as much as a sample of other
        methods. The samples of one call are drawn from the same ones, so that they all follow from its seed
        together: sample i is not that of the seed plus i.
    threshold : number from 0 to 1
        Particles are drawn anew when their effective number is less than this part of them.
    chunk_size : int, optional
        How many particles the denoiser sees at a time.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.particles, int) and self.particles >= 2 and 0 <= self.threshold <= 1):
            raise ParameterError(
                "TwistedSMC needs two or more particles and a threshold from 0 to 1; got "
                f"{self.particles} and {self.threshold}."
            )

    def walk(self, problem: Problem, state: State) -> Iterator[State]:
        """Move, weigh and draw anew; of each level yield images drawn by their weights."""
        levels, space, samples = self.levels(), problem.operator.domain, problem.batch_shape[0]
        draws = Draws(state.get("draws", range(1))[:1])
        count, alone = max(self.particles, samples), _alone(problem)
        each = min(count, self.chunk_size or max(1, self.memory // max(1, state.x[0].numel())))
        problems = [alone.repeated(min(each, count - first)) for first in range(0, count, each)]
        crowd = [(part, DataProx(part)) for part in problems]
        shape = (count, *(1,) * len(alone.batch_shape), *space.shape)

        def normal(like: Tensor) -> Tensor:
            """The same for each batch element."""
            return draws(like.new_empty(1, *shape))[0].expand(like.shape)

        x, log_weights = state.get("noisy", None), state.get("log_weights", None)
        if x is None:
            x = state.x[:1].expand(count, *state.x.shape[1:])
            x = x + levels[0] * normal(x)
            log_weights = x.new_zeros(count, *alone.batch_shape, dtype=torch.float64)
        effective = state.get("effective", log_weights[:0])
        for k in range(state.get("k", 0), self.iterations):
            high, low = levels[k], levels[k + 1]
            ends = zip(crowd, x.split(each), normal(x).split(each), strict=True)
            steps = [self.step_of(*part, xs, noise, high, low) for part, xs, noise in ends]
            denoised, x, twist, correction = map(torch.cat, zip(*steps, strict=True))
            log_weights = log_weights + twist
            seen, effective = (denoised, log_weights), torch.cat([effective, _effective(log_weights)[None]])
            if low == 0:
                fits = [p.negative_log_likelihood(xs) for p, xs in zip(problems, x.split(each), strict=True)]
                log_weights = log_weights + correction - twist - torch.cat(fits)
                seen, effective = (x, log_weights), torch.cat([effective, _effective(log_weights)[None]])
            else:
                # after the step, not before, so that no derivative need be kept until all weights are known
                drawn = _systematic(log_weights, count, draws)
                few = _effective(log_weights) < self.threshold * count
                kept = torch.arange(count, device=x.device).reshape(-1, *(1,) * few.ndim)
                index = torch.where(few, drawn, kept)
                x = x.take_along_dim(space.per_sample(index), 0)
                log_weights = torch.where(few, 0.0, log_weights) + (correction - twist).take_along_dim(
                    index, 0
                )
            images = seen[0].take_along_dim(space.per_sample(_systematic(seen[1], samples, draws)), 0)
            variables = {"noisy": x, "log_weights": log_weights, "effective": effective}
            yield State(images, k=k + 1, draws=draws.state, **variables)

    def step_of(
        self, problem: Problem, data_step: DataProx, x: Tensor, noise: Tensor, high: float, low: float
    ) -> Step:
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
        return Step(denoised, x, (-gain * square / 2).double(), correction.double())

    def diagnosed(self, ends: list[State]) -> dict[str, Any]:
        """The effective number of particles at each level and of the samples, and what each sample cost."""
        end = ends[0]
        effective, k = end.variables["effective"], end.variables["k"]
        particles = len(end.variables["noisy"])
        return {
            "network_evaluations": k * particles / len(end.x),
            "particles": particles,
            "effective_particles": effective,
        }


def _alone(problem: Problem) -> Problem:
    """The problem that is repeated for each sample."""
    y, noise = problem.measurement, problem.noise
    assert isinstance(noise, Gaussian)
    if noise.std is not None and noise.std.value.ndim == y.ndim:  # each with a scale of its own
        noise = Gaussian(noise.std.value[0])
    return Problem(problem.operator, y[0], noise)


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
