"""The primal-dual iteration, which `PDHG` and the choice of a weight both run."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from invgen.priors.base import Composite
from invgen.priors.dual_step import dual_step
from invgen.priors.preconditioned import Preconditioned
from invgen.problem import Problem

__all__ = ["PrimalDual"]

#: Of 0.003, 0.03 and 0.3, the floor with the fewest iterations to one percent of the minimiser.
_FLOOR = 3e-3


class PrimalDual(Preconditioned):
    """Primal-dual hybrid gradient with an explicit data term and a Fourier preconditioner.

    For ``f(x) + sum g_i(K_i x)``, f the smooth data term, Condat (2013), algorithm 3.1, with the primal
    step size replaced by a matrix T as in Pock and Chambolle (2011):

        x' = x - T (grad f(x) + sum K_i.H y_i)
        y_i' = prox_{sigma g_i*}(y_i + sigma K_i (2 x' - x))

    It converges where ``T^-1 >= H / 2 + sigma sum K_i.H K_i``, H being the Hessian of f. T is diagonal in
    the Fourier basis: H is replaced by a periodic convolution that majorises it, which evens out the slow
    and the fast frequencies. A projection's differ by the number of pixels across the image.

    Parameters
    ----------
    problem : Problem
    prior : Composite
        Of any weight: the weight is a parameter of each step.
    """

    def __init__(self, problem: Problem, prior: Composite) -> None:
        super().__init__(problem, prior, _FLOOR)

    @cached_property
    def _middle(self) -> torch.Tensor:
        """Typical curvature of the data term, shape of the batch."""
        frequencies = self.curvature.flatten(self.curvature.ndim - len(self.space.axes))
        return frequencies.median(dim=-1).values.expand(self.problem.batch_shape)

    def dual_steps(self, functions: list[Any]) -> list[torch.Tensor]:
        """Step size of each dual variable, shape of the batch, whatever the scale of the data.

        A penalty's dual variable is of the size of its subgradients and ``K x`` of that of the image's
        gradient; a step in this ratio moves both at the same pace. The dual variable of a constraint on the
        image itself balances the data term: its step is that term's typical curvature.
        """
        middle = self._middle
        steps = []
        for g, size in zip(functions, self.sizes(functions), strict=True):
            dual = g.dual_size(size)
            steps.append(middle if dual is None else torch.where(size > 0, dual / size, middle))
        return steps

    def step(
        self, x: torch.Tensor, duals: list[torch.Tensor], functions: list[Any], sigmas: list[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """One iteration; `sigmas` are the dual steps."""
        slope, metric = self.problem.gradient(x), self.curvature / 2
        for K, y, sigma, penalty in zip(self.maps, duals, sigmas, self.penalties, strict=True):
            slope = slope + K.H(y)
            metric = metric + self.space.per_sample(sigma) * penalty
        x_new = x - self.space.filter(1 / metric, slope)
        ahead = 2 * x_new - x
        steps = [K.range.per_sample(sigma) for K, sigma in zip(self.maps, sigmas, strict=True)]
        duals = [
            dual_step(K, g, y, step, ahead)
            for K, g, y, step in zip(self.maps, functions, duals, steps, strict=True)
        ]
        return x_new, duals
