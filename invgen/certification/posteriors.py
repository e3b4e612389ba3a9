"""A posterior as certification needs it: mean, standard deviation, samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from invgen.certification.setting import Setting
from invgen.problem import Problem

__all__ = ["Known", "closed_form"]


@dataclass(frozen=True)
class Known:
    """The posterior of one measurement.

    Attributes
    ----------
    mean, std : tensor, shape (*shape)
        Of each pixel; of complex images the deviation is that of real and imaginary part.
    sample : callable
        ``sample(n, seed)``, independent samples (n, *shape).
    """

    mean: torch.Tensor
    std: torch.Tensor
    sample: Callable[[int, int], torch.Tensor]


def closed_form(setting: Setting) -> Callable[[torch.Tensor], Known]:
    """The posterior of each measurement, of priors whose posterior is of the same family."""
    prior, operator, noise = setting

    def given(y: torch.Tensor) -> Known:
        posterior = prior.posterior(Problem(operator, y, noise))
        mean = posterior.mean()
        std = posterior.covariance().diagonal().real.sqrt().reshape(mean.shape)
        return Known(mean, std, posterior.sample)

    return given
