"""Preconditioned Langevin dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from invgen.core.draws import Draws
from invgen.core.errors import ParameterError
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.diffusion.base import DiffusionSolver
from invgen.solvers.langevin.adjusted import AdjustedStep
from invgen.solvers.langevin.levels import denser_levels
from invgen.solvers.sampling.likelihood_step import GaussianStep
from invgen.solvers.sampling.metropolis import adapted, metropolis, require_noisy_density
from invgen.solvers.sampling.prior_step import prior_draw
from invgen.solvers.sampling.unbiased_step import UnbiasedStep
from invgen.solvers.state import State

__all__ = ["PreconditionedLangevin"]

#: What is added of the way that the denoised image went since the level before, and, where steps have no
#: bias, of ``sigma^2 H`` times that way: see the docstring.
_MOMENTUM, _BY_DATA = 0.5, 0.4

#: The last level against the noise of the data in the direction that is measured best, ``1 / sqrt(L)``, and
#: the prior's standard deviation: of steps without bias, and where Metropolis' correction takes the
#: likelihood as it is.
_LAST, _LAST_ADJUSTED = (1 / 2, 1 / 8), (1 / 10, 1 / 10)

#: The first level at most, and that down to which levels fall fast, against the prior's standard deviation:
#: smooth parts vary by several times that of a pixel, and would stay at the rough image.
_FIRST, _COARSE_ABOVE = 100.0, 2.0

#: Levels are equal steps of this power of sigma: with Metropolis' correction.
_POWER_ADJUSTED = -1 / 4


@dataclass(frozen=True, kw_only=True)
class PreconditionedLangevin(DiffusionSolver):
    """Preconditioned Langevin dynamics with the exact likelihood, after Blumenthal et al. (2025).

    "Fast and robust diffusion posterior sampling for MR image reconstruction using the preconditioned
    unadjusted Langevin algorithm". At each noise level the target is ``p_sigma(x) p(y | x)``, the density of
    images with noise of the level sigma times the likelihood of the data as they are. The preconditioner

        M = (A.H W A + sigma^-2)^-1

    is the covariance of what the data and the noise determine, so that a step of Langevin dynamics,

        x + gamma M (A.H W (y - A x) + score(x, sigma)) + noise of the covariance 2 gamma M,

    moves every such direction by the part gamma of its way, however unequal their precisions are. The noise
    comes from perturbed data and a perturbed image, for which the system is solved. No gradient goes through
    the network. Steps here are finite, and differ from these in two respects so that they are exact:

    - The covariance of the noise is ``gamma (2 - gamma) M``, which keeps that of directions that the data or
      noise determine, for any gamma up to one. With ``2 gamma M`` it would be larger by ``gamma / 2``, and
      the network would see more noise than of the level sigma.
    - Where the prior determines, much less of an image changes in a step, and its variance would be too small
      by ``gamma / 2``. There half of the denoised image's last change is added,
      ``D(x, sigma) + (D(x, sigma) - D before) / 2``, as momentum: that makes up for it, and moves the image
      faster. Where the prior has nothing of what is noise, there is no change to add.

    With a Gaussian prior and each direction by itself, let ``j`` be what a step leaves of a deviation. Then
    the stationary variance is that of the target times ``(1 + j / 2) / ((1 - j / 2) (1 + 2 j))`` for gamma
    of one: right for j of zero (data or noise determine) and of one (the prior does, at the end), 0.83 at
    worst between. From the last level an image is drawn given it with noise (`prior_draw`), so that the noise
    of that level is no part of it.

    What each direction keeps is from the level at which it last moved, so that the mean lags, and more so the
    fewer levels there are above the noise of the data. Three things make this less:

    - Steps are those of `UnbiasedStep`, which target a density of noisy images whose images without noise are
      of the posterior, at any level below the noise of the data.
    - So levels need not go far below it. By default, where the standard deviation of the prior's images is
      known, they end at half of the noise of the data in the direction that they see best, and an eighth of
      that deviation, or at the prior's lowest level where that is more. They begin at a hundred times the
      deviation at most, and fall by factors of up to two down to twice of it.
    - There, directions that the data determine have a j of about ``1 - sigma^2 H``, with ``H = A.H W A``. The
      momentum that gives them the right variance solves ``2 m^2 + m = 1 / j``: it is
      ``1/2 + 0.4 sigma^2 H`` to 1 % up to this end.

    Where the next level is lower than ``1 - gamma`` times the last, a step is as much longer as it takes to
    lose the noise of the last.

    What to set: an exact denoiser gains by ``step_size=1``, with which levels are denser as they fall, equal
    steps of ``sigma^(-1/2)``: what the prior determines moves farther where the levels are low. A network
    errs most there, and a chain that moves adds these errors up. So with the default, a half, each level is
    the last one times the same factor; levels that are denser, or longer steps, cost a network 0.2 to 0.5 dB
    each, and intervals that are narrower. Shorter steps give wider ones, and so does a last level above the
    noise of the data (``sigma_range``), at the price of the image: see the suites of CT and MRI.

    On the Gaussian problems of `invgen certify`, by the law of the chain, 200 levels give the mean within
    0.4 % of the posterior's standard deviation on average over the problems (0.9 % at most), and the variance
    within 2 %; with ``step_size=1`` within 0.02 % (0.1 %), and 5 %. Where few pixels of a smooth image are
    seen the mean lags more: by 9 %, and 2.5 % with ``step_size=1``. Posteriors with several modes are not
    weighted rightly, as by all methods that anneal: see `TwistedSMC`.

    For priors whose density of noisy images is known, such as a `GaussianMixture`, Metropolis' correction
    takes the error of steps away: with ``adjusted_steps``, that many proposals follow at each level, which
    keep its target exactly (`AdjustedStep`). That has the likelihood as it is, which leaves noise of the last
    level as if it were of the data, and there is no momentum. What is left is what a level leaves to the
    next, so that many steps at few levels are as exact as they mix; of as many evaluations, more levels
    without correction are nearer (300 of them, of Gaussians and overlapping mixtures: means within 1.4 % of
    the deviation, where 30 levels of 9 steps are within 3.4 %). Each chain adapts the length of its proposals
    until the last level, which keeps it. A `Flow` has no density of noisy images; `LatentHMC` samples its
    posterior with Metropolis' correction.

    Parameters
    ----------
    prior : Denoiser
    iterations : int
        Noise levels, and evaluations of the network but for one more at the end.
    step_size : number above 0, up to 1
        gamma. Short steps average the network's estimates over more of the noise, which images gain by: half
        a decibel in CT from 30 views, of one half over one. Long ones mix faster. All are stable.
    adjusted_steps : int
        Metropolis-adjusted steps at each level, each with an evaluation of the prior's denoiser and density,
        and two solutions of the system; the first are of the length `step_size`. The statistics report how
        many were accepted ("acceptance"), and the mean length in the end ("step_size").
    scale, chunk_size, sigma_range
        See `DiffusionSolver`, and above for the levels by default.

    Raises
    ------
    CapabilityError
        With `adjusted_steps`, for priors without the density of noisy images.
    """

    iterations: int = 100
    step_size: float = 0.5
    adjusted_steps: int = 0

    counts: ClassVar[dict[str, int]] = {"adjusted_steps": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.step_size <= 1:
            raise ParameterError(f"step_size is a number above 0, up to 1; got {self.step_size}.")
        if self.adjusted_steps:
            require_noisy_density(self.prior, self.name, "adjusted_steps")

    def schedule(self, problem: Problem) -> list[Tensor]:
        """The levels of each problem of a batch, of its shape; the last one twice, for its own step."""
        (low, high), std = self.ends(), format_of(self.prior).std
        last = problem.zeros().real.new_full(problem.batch_shape, low)
        if std is not None and self.sigma_range is None:
            of_data, of_prior = _LAST_ADJUSTED if self.adjusted_steps else _LAST
            own = (problem.lipschitz() / of_data**2 + (of_prior * std) ** -2).rsqrt()
            high = high if self.adjusted_steps else min(high, _FIRST * std)
            last = torch.maximum(last, own).clamp(max=high / 2)
        coarse_above = high if std is None or self.adjusted_steps else _COARSE_ABOVE * std
        falling = denser_levels(self.iterations, last, high, self.power, coarse_above)
        return [*falling, falling[-1]]

    @property
    def power(self) -> float:
        """Of sigma, of which levels are equal steps: see the docstring."""
        return _POWER_ADJUSTED if self.adjusted_steps else min(0.0, 1 / 2 - self.step_size)

    def prepare(self, problem: Problem) -> GaussianStep | UnbiasedStep:
        """The draw around an image, given the data."""
        return GaussianStep(problem, exact=True) if self.adjusted_steps else UnbiasedStep(problem)

    def step(
        self,
        problem: Problem,
        data_step: Any,
        state: State,
        high: Tensor,
        low: Tensor,
        draws: Draws,
    ) -> State:
        """One step, after which images have noise of the level `low`; the last level's own is taken away."""
        last = low is high
        if self.adjusted_steps:
            state = self.adjusted(problem, data_step, state, high, low, draws)
        elif not last:
            x = state["noisy"]
            x0 = self.denoised(x, high)
            way = x0 - state.get("denoised", lambda: x0)
            # a little less than half, so that the variance of what the prior determines follows the level
            centre = x0 + problem.operator.domain.per_sample(_MOMENTUM * (low / high).sqrt()) * way
            centre = centre + _BY_DATA * data_step.determined(way, low)
            x = self.moved(problem, data_step, x, centre, high, low, draws)
            state = State(x=x, noisy=x, denoised=x0)
        if not last:
            return state
        x, known = state["noisy"], state["denoised"] if self.adjusted_steps else None
        mean, away = prior_draw(self.denoised, x, low, draws(x), problem.operator.domain, known)
        return State(x=mean + away, **state.variables)

    def moved(
        self,
        problem: Problem,
        data_step: Any,
        x: Tensor,
        x0: Tensor,
        high: Tensor,
        low: Tensor,
        draws: Draws,
    ) -> Tensor:
        """From one level to the next, with x0 the image that is seen."""
        # a step that is too short for the level to fall would leave more noise than of the next one
        gamma = torch.clamp(1 - low / high, min=self.step_size)
        # noise of which, beside what is left of the old, there is the level `low`
        fresh = (low**2 - ((1 - gamma) * high) ** 2).clamp(min=0).sqrt() / gamma
        of_data, per_sample = (2 / gamma - 1).sqrt(), problem.operator.domain.per_sample
        if self.adjusted_steps:
            z = data_step.around(x0 + per_sample(fresh) * draws(x), low, draws, scale=of_data)
        else:
            z = data_step(x0, low, draws, data=of_data, image=fresh / low)
        return x + per_sample(gamma) * (z - x)

    def adjusted(
        self, problem: Problem, data_step: GaussianStep, state: State, high: Tensor, low: Tensor, draws: Draws
    ) -> State:
        """Metropolis-adjusted steps at a level: but at the last, what is accepted adapts their lengths."""
        x0 = state.get("denoised", lambda: self.denoised(state["noisy"], high))
        x = self.moved(problem, data_step, state["noisy"], x0, high, low, draws)
        propose = AdjustedStep(problem, data_step, self.denoised, self.prior.log_prob, low)
        at = propose.at(x)
        gamma = state.get("gamma", lambda: torch.full_like(at.energy, self.step_size))
        accepted = state.get("accepted", lambda: torch.zeros_like(at.energy))
        for _ in range(self.adjusted_steps):
            at, moved, _ = metropolis(at, *propose(at, gamma, draws), draws)
            accepted = accepted + moved
            if low is not high:
                gamma = adapted(gamma, moved).clamp(max=1)
        return State(x=at.x, noisy=at.x, denoised=at.denoised, gamma=gamma, accepted=accepted)

    def diagnostics(self, ends: list[State]) -> dict[str, Any]:
        """How many of the proposals were accepted, and how long they are in the end."""
        taken = self.adjusted_steps * min(end["k"] for end in ends)
        if not taken:
            return {}
        found = {
            "acceptance": torch.cat([end["accepted"] for end in ends]).mean(0) / taken,
            "step_size": torch.cat([end["gamma"] for end in ends]).mean(0),
        }
        return {name: value if value.ndim else value.item() for name, value in found.items()}
