"""Iterations towards a minimiser whose weight may change on the way."""

from __future__ import annotations

from typing import Any

import torch

from invgen.convex.metric import MetricProx
from invgen.convex.momentum import momentum
from invgen.convex.primal_dual import PrimalDual
from invgen.core.disk import median
from invgen.core.errors import CapabilityError
from invgen.operators.linear import Gram
from invgen.problem import Problem

__all__ = ["first_weight", "weighted_run"]


class _PDHGRun:
    """The primal-dual iteration."""

    def __init__(self, problem: Problem, prior: Any) -> None:
        self.method, self._prior = PrimalDual(problem, prior.with_weight(1.0)), prior
        self._x, self._duals = self.method.guess(), self.method.start()

    def advance(self, weight: torch.Tensor, iterations: int) -> torch.Tensor:
        """The image after more iterations with this weight."""
        functions = [g for _, g in self._prior.with_weight(weight).terms(self.method.space)]
        sigmas = self.method.dual_steps(functions)
        for _ in range(iterations):
            slope = self.method.slope(self._x, self._duals)
            self._x, self._duals = self.method.step(self._x, self._duals, slope, functions, sigmas)
        return self._x


class _FISTARun:
    """Accelerated proximal gradient: its momentum goes on."""

    def __init__(self, problem: Problem, prior: Any) -> None:
        self.method, self._prior = MetricProx(problem, prior.with_weight(1.0), 10), prior
        self._x = self._z = problem.zeros()
        self._t, self._duals = 1.0, self.method.start()

    def advance(self, weight: torch.Tensor, iterations: int) -> torch.Tensor:
        """The image after more iterations with this weight."""
        functions = [g for _, g in self._prior.with_weight(weight).terms(self.method.space)]
        for _ in range(iterations):
            x_old = self._x
            self._x, self._duals = self.method(self.method.descend(self._z), self._duals, functions)
            self._t, beyond = momentum(self._t)
            self._z = self._x + beyond * (self._x - x_old)
        return self._x


def weighted_run(problem: Problem, prior: Any) -> _PDHGRun | _FISTARun:
    """The iteration of `PDHG` where the operator's gram is cheaper than a proximal map, else of `FISTA`."""
    if problem.likelihood.largest_curvature is None:
        raise CapabilityError(
            f"No rule finds a weight for {problem.likelihood.name} noise, whose curvature has no bound: give "
            "the prior a number, such as TotalVariation(0.1)."
        )
    costly = isinstance(problem.linear_operator.gram, Gram)
    return _FISTARun(problem, prior) if costly else _PDHGRun(problem, prior)


def first_weight(
    problem: Problem, prior: Any, method: MetricProx | PrimalDual, misfit: torch.Tensor
) -> torch.Tensor:
    """Weight at the level of what noise alone does to the dual variable of the prior's first term.

    White noise of the level in `misfit`, backprojected, has the power spectrum of the curvature, and a
    dual variable ``K (K.H K)^-1`` of it that spectrum over the penalty's; three times its median.
    """
    axes = len(method.space.shape)
    curvature = method.curvature.expand(*problem.batch_shape, *method.curvature.shape[-axes:])
    level = median(curvature / method.penalties[0].clamp(min=1e-3), axes).sqrt()
    if not problem.likelihood.level_known:  # the objective is in units of the data
        level = level * (misfit / problem.count().to(misfit)).sqrt()
    functions = [g for _, g in prior.with_weight(1.0).terms(method.space)]
    unit = functions[0].dual_size(method.sizes(functions)[0])
    # data of nothing but zeros have no scale, and the same image with any weight
    return torch.where((level > 0) & (unit > 0), 3 * level / unit, 1.0)
