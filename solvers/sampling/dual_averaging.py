"""Step sizes that are found while a chain burns in."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

__all__ = ["DualAveraging"]

#: gamma, t0 and kappa of the paper, whose gamma is half as large, for longer burn-ins: after fifty steps it
#: leaves acceptance far above its target.
_GAMMA, _DELAY, _KAPPA = 0.1, 10.0, 0.75


class DualAveraging(NamedTuple):
    """The step size of each chain by dual averaging, Hoffman and Gelman (2014), algorithm 5.

    Attributes
    ----------
    log_step : tensor, shape of the batch
        Logarithm of the step to take next.
    average : tensor, shape of the batch
        Logarithm of the step that remains in the end.
    error : tensor, shape of the batch
        How far acceptance was below its target: the paper's H.
    center : tensor, shape of the batch
        The logarithm towards which steps are drawn: the paper's mu.
    """

    log_step: Tensor
    average: Tensor
    error: Tensor
    center: Tensor

    @classmethod
    def around(cls, log_step: Tensor) -> Self:
        """Begin with a step."""
        return cls(log_step, log_step, torch.zeros_like(log_step), log_step)

    def updated(self, t: int, acceptance: Tensor, target: float) -> Self:
        """After the t-th step from the beginning, counted from one, of that probability of acceptance."""
        rate, weight = 1 / (t + _DELAY), t**-_KAPPA
        error = (1 - rate) * self.error + rate * (target - acceptance)
        log_step = self.center - t**0.5 / _GAMMA * error
        average = weight * log_step + (1 - weight) * self.average
        return self._replace(log_step=log_step, average=average, error=error)
