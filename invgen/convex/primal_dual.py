"""The primal-dual iteration, which `PDHG` and the rules for a weight both run."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from invgen.convex.dual_step import dual_step
from invgen.convex.functions import Likelihood
from invgen.convex.metric import Preconditioned
from invgen.convex.protocols import Composite
from invgen.core.disk import median
from invgen.problem import Problem

__all__ = ["PrimalDual"]

#: Of 0.003, 0.03 and 0.3, the floor with the fewest iterations to one percent of the minimiser.
_FLOOR = 3e-3

#: Share of the Hessian in the metric, where theory asks for more than a half: with just that the iterates go
#: to and fro at frequencies that the prior leaves alone.
_MARGIN = 0.6


class PrimalDual(Preconditioned):
    """Primal-dual hybrid gradient with an explicit data term and a preconditioner.

    For ``f(x) + sum g_i(K_i x)``, f the smooth data term, Condat (2013), algorithm 3.1, with the primal
    step size replaced by a matrix T as in Pock and Chambolle (2011):

        x' = x - T (grad f(x) + sum K_i.H y_i)
        y_i' = prox_{sigma g_i*}(y_i + sigma K_i (2 x' - x))

    It converges where ``T^-1 > H / 2 + sigma sum K_i.H K_i``, H being the Hessian of f. T is diagonal in
    the Fourier basis: H is replaced by a periodic convolution that majorises it, which evens out the slow
    and the fast frequencies. A projection's differ by the number of pixels across the image. Where the
    operator has no `spectrum` but an entry of its matrix is never negative, T is diagonal in pixels: their
    row sums ``A.H W A 1`` majorise ``A.H W A`` (Pock and Chambolle 2011, lemma 2, with alpha = 1).

    A data term of unbounded curvature, that of Poisson noise, is no f: it is one more g, of ``K = A``, as in
    Chambolle and Pock (2011), sec. 6.2, and Sidky, Jorgensen and Pan (2012). Its dual step is sigma W, entry
    by entry, W being about the curvature at the data.

    Parameters
    ----------
    problem : Problem
    prior : Composite
        Of any weight: the weight is a parameter of each step.
    """

    def __init__(self, problem: Problem, prior: Composite) -> None:
        self.likelihood = None if problem.likelihood.largest_curvature is not None else Likelihood(problem)
        super().__init__(problem, prior, _FLOOR)
        if self.likelihood is not None:
            self.maps = [problem.linear_operator, *self.maps]
            self.penalties = [self.curvature, *self.penalties]

    @cached_property
    def pixelwise(self) -> bool:  # type: ignore[override]
        """Whether the preconditioner is diagonal in pixels."""
        A = self.problem.linear_operator
        return A.spectrum is None and A.nonnegative and self.problem.likelihood.independent

    def _hessian(self, x: torch.Tensor) -> torch.Tensor:
        if self.likelihood is None:
            return super()._hessian(x)
        A = self.problem.linear_operator
        return A.H(self.likelihood.weights * A(x))

    def _majorant(self, like: torch.Tensor, floor: float) -> torch.Tensor:
        if self.pixelwise:
            sums = self._hessian(torch.ones_like(like)).real
            return torch.maximum(sums, floor * sums.amax(self.space.axes, keepdim=True))
        if self.likelihood is None:
            return super()._majorant(like, floor)
        spectrum = self.problem.linear_operator.spectrum
        flat = like.real.new_ones((1,) * len(self.space.shape))
        return self._convolution(flat if spectrum is None else self.space.half(spectrum.like(like)), floor)

    @cached_property
    def pull(self) -> torch.Tensor:
        """Minus the gradient of the data term at an image of zeros, the dual of a likelihood included."""
        if self.likelihood is None:
            return super().pull
        return self.problem.linear_operator.H(self.likelihood.weights * self.problem.measurement)

    @cached_property
    def _middle(self) -> torch.Tensor:
        """Typical curvature of the data term, shape of the batch."""
        return median(self.curvature, len(self.space.axes)).expand(self.problem.batch_shape)

    def functions(self, prior: Composite) -> list[Any]:
        """The functions of the `maps`, for a prior that may have another weight."""
        terms = [g for _, g in prior.terms(self.space)]
        return terms if self.likelihood is None else [self.likelihood, *terms]

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

    def entrywise(self, sigmas: list[torch.Tensor]) -> list[torch.Tensor]:
        """The dual steps as they multiply the dual variables."""
        steps = [K.range.per_sample(sigma) for K, sigma in zip(self.maps, sigmas, strict=True)]
        return steps if self.likelihood is None else [steps[0] * self.likelihood.weights, *steps[1:]]

    def ratio(
        self, duals: list[torch.Tensor], images: list[torch.Tensor], sigmas: list[torch.Tensor]
    ) -> torch.Tensor:
        """``|y| / (sigma |K x|)`` of the prior's first term: what `dual_steps` guesses to be one."""
        i = 0 if self.likelihood is None else 1
        space = self.maps[i].range
        size = (sigmas[i] * space.norm(images[i])).clamp(min=torch.finfo(images[i].dtype).tiny)
        return space.norm(duals[i]) / size

    def slope(self, x: torch.Tensor, duals: list[torch.Tensor]) -> torch.Tensor:
        """``grad f(x) + sum K_i.H y_i``, which is zero at the solution."""
        slope = self.problem.gradient(x) if self.likelihood is None else torch.zeros_like(x)
        for K, y in zip(self.maps, duals, strict=True):
            slope = slope + K.H(y)
        return slope

    def step(
        self,
        x: torch.Tensor,
        duals: list[torch.Tensor],
        slope: torch.Tensor,
        functions: list[Any],
        sigmas: list[torch.Tensor],
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """One iteration from an image, its dual variables and its slope; `sigmas` are the dual steps."""
        metric = _MARGIN * self.curvature if self.likelihood is None else torch.zeros_like(self.curvature)
        for sigma, penalty in zip(sigmas, self.penalties, strict=True):
            metric = metric + self.space.per_sample(sigma) * penalty
        x_new = x - self.precondition(metric, slope)  # x' = x - T (grad f(x) + sum K_i.H y_i)
        ahead = 2 * x_new - x
        duals = [  # y_i' = prox_{sigma g_i*}(y_i + sigma K_i (2 x' - x))
            dual_step(K, g, y, step, ahead)
            for K, g, y, step in zip(self.maps, functions, duals, self.entrywise(sigmas), strict=True)
        ]
        return x_new, duals
