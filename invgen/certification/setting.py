"""What a problem of certification is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from invgen.certification.view import DenoiserView
from invgen.noise import Gaussian as Noise
from invgen.operators import LinearOperator
from invgen.problem import Problem

__all__ = ["Case", "Known", "Setting", "closed_form"]


class Setting(NamedTuple):
    """What images are like, how they are measured, and how strong the noise is.

    The prior has samples, a denoiser and a format of its images, as `invgen.priors.GaussianMixture` has.
    """

    prior: Any
    operator: LinearOperator
    noise: Noise


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


@dataclass(frozen=True)
class Case:
    """A kind of problem whose posterior is known.

    Attributes
    ----------
    name : str
    about : str
        What it is, in a line.
    setting : callable
        Draws prior, operator and noise by a seed.
    std : number
        Standard deviation of a pixel over all images, of complex ones of each part: what the format of a
        network says of the images that it was trained on.
    view : callable
        Makes what a sampler sees, of the prior and `std`.
    posterior : callable
        Makes of a setting what makes the posterior of a measurement.
    """

    name: str
    about: str
    setting: Callable[[int], Setting]
    std: float
    view: Callable[[Any, float], DenoiserView] = DenoiserView
    posterior: Callable[[Setting], Callable[[torch.Tensor], Known]] = closed_form
