"""Stein's unbiased estimate of the risk, and the weight that makes it least."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.convex.discrepancy import discrepancy_weight, noise_misfit
from invgen.convex.inner_runs import first_weight, weighted_run
from invgen.convex.metric import MetricProx
from invgen.convex.primal_dual import PrimalDual
from invgen.convex.protocols import Composite
from invgen.core.errors import CapabilityError
from invgen.operators import ProductSpace, Space
from invgen.problem import Problem

__all__ = ["PredictedRisk", "sure_weight"]

#: The weights tried are apart by this factor.
_FACTOR = 2.0

#: How many are tried at most, and after how many that are worse than the best one no more are.
_TRIALS, _PATIENCE = 12, 2

#: Iterations from zero to the minimiser of the first weight, and from each to that of the next.
_FIRST, _NEXT = 100, 50

#: Added to the seed.
_STREAM = int.from_bytes(b"SURE")


@torch.no_grad()
def sure_weight(problem: Problem, prior: Composite, *, seed: int = 0) -> torch.Tensor:
    """Weight of the least estimated risk, for Gaussian noise of known or estimated level and for counts.

    From a weight that smooths too much downwards by factors of two, each from the image of the one before,
    until the risk has risen twice; then to the vertex of the parabola through the least of them and its
    neighbours, over the weight's logarithm. The first is twice the weight of the discrepancy principle; of
    counts, whose deviance has no sure expectation, it is that of `first_weight`, for which every ray counts
    as if nothing absorbed it.

    Parameters
    ----------
    problem : Problem
    prior : Composite
    seed : int
        Of the probe; see `PredictedRisk`.

    Returns
    -------
    tensor of the batch's shape

    Raises
    ------
    CapabilityError
        Where the noise is neither Gaussian nor that of transmission, or its level neither known nor estimable
        from the data.
    """
    risk = PredictedRisk(problem, prior, seed=seed)
    if problem.likelihood.quadratic:
        weight = _FACTOR * discrepancy_weight(problem, prior)
    else:
        weight = first_weight(problem, prior, risk.method, problem.count())
    start, risks = weight, [risk.advance(weight, _FIRST)]
    open_ = torch.ones_like(weight, dtype=torch.bool)
    for trial in range(1, _TRIALS):
        weight = weight / _FACTOR
        found = risk.advance(weight, _NEXT)
        # what is closed is never the least
        risks.append(torch.where(open_, found, torch.inf))
        best = torch.stack(risks).argmin(0)
        open_ = open_ & (trial - best < _PATIENCE)
        if not bool(open_.any()):
            break
    return start * _FACTOR ** -_vertex(torch.stack(risks))


class PredictedRisk:
    """Unbiased estimate of how far the prediction of a minimiser is from that of the truth.

    ``E |A x(y) - A x|_W^2 = E [|A x(y) - y|_W^2 - m + 2 div]`` for m real data with Gaussian noise, W its
    inverse covariance and div the divergence of the prediction over the data, both whitened: Stein (1981),
    theorem 1; of inverse problems this is the predicted risk, Deledalle et al. (2014), sec. 2. The divergence
    is that along one random probe, Ramani, Blu and Unser (2008), theorem 2, by a finite difference:
    ``b.H W A (x(y + e b) - x(y)) / e``, b being random signs with the covariance of the noise. The step e, in
    units of the noise, is that of Deledalle et al. (2014), sec. 5, ``2 m^-0.3``. Both images come from as
    many iterations, so that the estimate is that of the iterates, however far they are from the minimiser.

    More generally, of noise that is an exponential family with the natural parameter t and the variance v,
    the risk is twice the Kullback-Leibler divergence of the prediction from the truth, and div is
    ``sum v_i dt_i / dy_i``: Eldar (2009), theorem 1. For counts y takes the place of v, to first order in one
    count: Deledalle (2017), sec. 3. The deviance at the truth, which for few counts is not their number, adds
    the same to every weight's risk.

    Parameters
    ----------
    problem : Problem
    prior : Composite
        Of any weight.
    seed : int
        Of the probe, which is the same for each batch element.
    """

    def __init__(self, problem: Problem, prior: Composite, *, seed: int = 0) -> None:
        check_sure(problem)
        self._problem, self._noise_misfit = problem, noise_misfit(problem)
        count = problem.count().clamp(min=1).to(self._noise_misfit)
        # where the model errs by more than the noise, that counts as noise
        level = (self._noise_misfit / count).sqrt()
        A, y, data = problem.linear_operator, problem.measurement, problem.operator.range
        self._probe = data.per_sample(level) * problem.likelihood.alike(_signs(data, y, seed), y)
        self._step = 2 * count**-0.3
        disturbed = Problem(A, y + data.per_sample(self._step) * self._probe, problem.noise)
        self._runs = weighted_run(problem, prior), weighted_run(disturbed, prior)

    @property
    def method(self) -> MetricProx | PrimalDual:
        """The iteration by which the image is found."""
        return self._runs[0].method

    def advance(self, weight: torch.Tensor, iterations: int) -> torch.Tensor:
        """Estimate after more iterations with this weight, shape of the batch."""
        x, moved = (run.advance(weight, iterations) for run in self._runs)
        A, natural = self._problem.linear_operator, self._problem.likelihood.natural
        change = natural(A(moved)) - natural(A(x))
        divergence = A.range.inner(self._probe, change).real / self._step
        return self._problem.misfit(x) - self._noise_misfit + 2 * divergence


def check_sure(problem: Problem) -> None:
    """Raise where the risk has no unbiased estimate."""
    if not problem.likelihood.exponential:
        raise CapabilityError(
            f"The weight 'sure' needs Gaussian or Transmission noise; this is {problem.likelihood.name}. Use "
            "the weight 'discrepancy', or describe the data by Gaussian weights."
        )
    if isinstance(problem.operator.range, ProductSpace) or problem.expected_misfit() is None:
        raise CapabilityError(
            "The weight 'sure' needs the level of the noise, which cannot be estimated from these data. Give "
            "the problem noise=Gaussian(std), or use the weight 'discrepancy'."
        )


def _signs(space: Space, like: torch.Tensor, seed: int) -> torch.Tensor:
    """Random signs, for complex data of both parts; the same for each element of a batch."""
    # a stream of its own: noise that was simulated with the same seed must not be its own probe
    generator = torch.Generator().manual_seed(seed + _STREAM)
    parts = (*space.shape, 2) if like.is_complex() else space.shape
    signs = (2 * torch.randint(2, parts, generator=generator) - 1).to(like.device, like.dtype.to_real())
    return (torch.view_as_complex(signs) if like.is_complex() else signs).expand(like.shape)


def _vertex(risks: torch.Tensor) -> torch.Tensor:
    """Where along the first axis the parabola through the least value and its neighbours has its vertex."""
    best = risks.argmin(0)
    padded = torch.nn.functional.pad(risks.movedim(0, -1), (1, 1), value=math.inf)
    left, middle, right = (padded.gather(-1, (best + k)[..., None])[..., 0] for k in range(3))
    rise: Any = left + right - 2 * middle
    inside = torch.isfinite(rise) & (rise > 0)
    return best + torch.where(inside, (left - right) / (2 * rise), 0)
