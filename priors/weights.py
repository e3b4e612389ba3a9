"""The weight of a prior without ground truth."""

from __future__ import annotations

import math
from typing import Any

import torch

from invgen.errors import ParameterError
from invgen.noise import Gaussian
from invgen.operators.algebra import Gram
from invgen.operators.krylov import conjugate_gradients
from invgen.priors.base import Composite, Weight
from invgen.priors.preconditioned import MetricProx
from invgen.priors.primal_dual import PrimalDual
from invgen.problem import Problem

__all__ = ["check_weight", "discrepancy_weight"]

#: Where the noise is neither known nor can be told from the data, it is taken to be one percent of them.
_ASSUMED_NOISE = 0.01

#: Of the misfit ten iterations ago, what counts as still falling.
_FALLING = 0.97


def check_weight(weight: Weight) -> None:
    """Raise unless `weight` is "auto" or positive."""
    if isinstance(weight, str):
        if weight != "auto":
            raise ParameterError(f"weight is a positive number or 'auto'; got {weight!r}.")
    elif not bool((torch.as_tensor(weight) > 0).all()):
        raise ParameterError(f"weight must be positive; got {weight}.")


@torch.no_grad()
def discrepancy_weight(problem: Problem, prior: Composite, iterations: int = 300) -> float | torch.Tensor:
    """Weight whose minimiser misfits the data by as much as the noise does (Morozov 1966).

    The noise level is that of the problem, else what the operator tells from the data
    (`Operator.estimate_noise`), else one percent of the data's root mean square. Where not even least squares
    comes down to it, the model errs by more than the noise, and no weight could: what least squares leaves,
    and a tenth more, then takes the place of the noise.

    One run to the minimiser, in which every tenth iteration corrects the weight by the misfit that it led to,
    after Wen and Chan (2012), sec. 3; it ends when misfit and noise agree to two percent. The iteration is
    that of `PDHG` where the operator's gram is cheaper than a proximal map, else that of `FISTA`.

    Returns
    -------
    float, or tensor of the batch's shape
    """
    target = problem.expected_misfit()
    if target is None:
        norm = problem.operator.range.norm(problem.measurement)
        target = (_ASSUMED_NOISE * norm.double()) ** 2
    like = problem.zeros().real
    target = torch.maximum(target.to(like), 1.1 * _least_misfit(problem, target))
    costly = isinstance(problem.linear_operator.gram, Gram)
    run = _FISTARun(problem, prior) if costly else _PDHGRun(problem, prior)
    weight = _first_weight(problem, prior, run.method, target)
    lowest, highest = 1e-4 * weight, 1e4 * weight
    settled = torch.zeros_like(target, dtype=torch.bool)
    misfit = torch.full_like(target, torch.inf)
    for k in range(10, iterations + 1, 10):
        x = run.advance(weight, 10)
        last, misfit = misfit, problem.misfit(x)
        ratio = target / misfit.clamp(min=torch.finfo(like.dtype).tiny)
        settled = settled | (((ratio - 1).abs() < 0.02) & (k >= 50))
        if bool(settled.all()):
            break
        # a misfit that still falls by itself does not ask for less weight
        waits = settled | ((ratio < 1) & (misfit < _FALLING * last))
        corrected = (weight * ratio.clamp(1 / 3, 3)).clamp(lowest, highest)
        weight = torch.where(waits, weight, corrected)
    return float(weight) if weight.ndim == 0 else weight


class _PDHGRun:
    """The primal-dual iteration, with a weight that may change."""

    def __init__(self, problem: Problem, prior: Any) -> None:
        self.method, self._prior = PrimalDual(problem, prior.with_weight(1.0)), prior
        self._x, self._duals = self.method.guess(), self.method.start()

    def advance(self, weight: torch.Tensor, iterations: int) -> torch.Tensor:
        functions = [g for _, g in self._prior.with_weight(weight).terms(self.method.space)]
        sigmas = self.method.dual_steps(functions)
        for _ in range(iterations):
            self._x, self._duals = self.method.step(self._x, self._duals, functions, sigmas)
        return self._x


class _FISTARun:
    """Accelerated proximal gradient, with a weight that may change: its momentum goes on."""

    def __init__(self, problem: Problem, prior: Any) -> None:
        self.method, self._prior = MetricProx(problem, prior.with_weight(1.0), 10), prior
        self._x = self._z = problem.zeros()
        self._t, self._duals = 1.0, self.method.start()

    def advance(self, weight: torch.Tensor, iterations: int) -> torch.Tensor:
        functions = [g for _, g in self._prior.with_weight(weight).terms(self.method.space)]
        for _ in range(iterations):
            x_old = self._x
            self._x, self._duals = self.method(self.method.descend(self._z), self._duals, functions)
            t_old, self._t = self._t, (1 + math.sqrt(1 + 4 * self._t * self._t)) / 2
            self._z = self._x + (t_old - 1) / self._t * (self._x - x_old)
        return self._x


def _least_misfit(problem: Problem, target: torch.Tensor) -> torch.Tensor:
    """Misfit of the least-squares image, or zero where one below `target` is found on the way to it."""
    if not isinstance(problem.noise, Gaussian | None):
        return torch.zeros_like(target)
    x = conjugate_gradients(
        problem.normal,
        problem.backprojection,
        problem.operator.domain,
        iterations=200,
        enough=lambda x: problem.misfit(x) <= target,
    )
    misfit = problem.misfit(x)
    return torch.where(misfit <= target, 0, misfit)


def _first_weight(
    problem: Problem, prior: Composite, method: MetricProx | PrimalDual, target: torch.Tensor
) -> torch.Tensor:
    """Weight at the level of what noise alone does to the dual variable of the prior's first term.

    White noise of the level in `target`, backprojected, has the power spectrum of the curvature, and a
    dual variable ``K (K.H K)^-1`` of it that spectrum over the penalty's; three times its median.
    """
    curvature = method.curvature.expand(
        *problem.batch_shape, *method.curvature.shape[-len(method.space.shape) :]
    )
    penalty = method.penalties[0]
    level = (
        (curvature / penalty.clamp(min=1e-3)).flatten(-len(method.space.shape)).median(dim=-1).values.sqrt()
    )
    if problem.noise is None:  # the objective then counts in units of the data, not of their noise
        level = level * (target / problem.count().to(target)).sqrt()
    functions = [g for _, g in prior.with_weight(1.0).terms(method.space)]
    unit = functions[0].dual_size(method.sizes(functions)[0])
    # data of nothing but zeros have no scale, and the same image with any weight
    return torch.where((level > 0) & (unit > 0), 3 * level / unit, 1.0)
