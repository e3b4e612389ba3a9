"""Convex priors as denoisers."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch

from invgen.convex.metric import MetricProx
from invgen.convex.splitting import constrained
from invgen.core.checks import as_count
from invgen.core.errors import InvgenWarning, ParameterError
from invgen.noise import Gaussian
from invgen.operators import Identity, Space
from invgen.priors.base import Composite, Denoising, Proximable, has_closed_form, require
from invgen.priors.image_format import ImageFormat
from invgen.problem import Problem

__all__ = ["ProxDenoiser"]

#: Iterations of the fast gradient projection between two tests of convergence.
_STRETCH = 20


@dataclass(frozen=True)
class ProxDenoiser(Denoising):
    """The most probable image under a convex prior: ``argmin_z prior.value(z) + |z - x|^2 / (2 sigma^2)``.

    The proximal map of ``sigma^2 prior``, Moreau (1965). It is nonexpansive: plug-and-play methods with it
    converge to the minimizer of data term and prior. In closed form where the prior has one, else by the fast
    gradient projection of Beck and Teboulle (2009b) on its dual, from zero.

    Parameters
    ----------
    prior : Proximable or Composite
        A weight that is a number is absolute in that objective. "auto" searches for each image the weight
        whose residual has the noise level, in any unit of the images.
    axes : int
        Number of axes of an image: 3 for volumes, and for channels that count jointly.
    tolerance : positive number
        An iterated map stops when 20 iterations change the image by less than this times sigma (root mean
        squares).
    iterations : int
        At most, with a warning where they do not suffice.
    """

    prior: Any
    axes: int = 2
    tolerance: float = 1e-3
    iterations: int = 2000

    def __post_init__(self) -> None:
        require(self.prior, "ProxDenoiser", Proximable, Composite)
        for name in ("axes", "iterations"):
            as_count(getattr(self, name), f"ProxDenoiser's {name}")
        if not self.tolerance > 0:
            raise ParameterError(f"ProxDenoiser: tolerance is positive; got {self.tolerance!r}.")

    @property
    def image_format(self) -> ImageFormat:
        """Images with this number of axes, of any unit."""
        return ImageFormat(axes=self.axes)

    def _denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        space = Space(tuple(x.shape[-self.axes :]), "complex" if x.is_complex() else "real")
        problem = Problem(Identity(space.shape, space.field), x, Gaussian(sigma))
        prior = self.prior.resolve(problem)
        if has_closed_form(prior, space):
            return prior.prox(x, sigma.square())
        return self._iterated(problem, prior, sigma)

    def _iterated(self, problem: Problem, prior: Any, sigma: torch.Tensor) -> torch.Tensor:
        space, x = problem.operator.domain, problem.measurement
        prox = MetricProx(problem, prior, _STRETCH)
        functions = [g for _, g in prior.terms(space)]
        z, duals = x, prox.start()
        active = torch.ones(problem.batch_shape, dtype=torch.bool, device=x.device)
        enough = (
            self.tolerance
            * sigma.reshape(sigma.shape[: -self.axes])
            * math.sqrt(problem.operator.domain.size)
        )
        for _ in range(0, self.iterations, _STRETCH):
            z_old, (closer, duals) = z, prox(x, duals, functions)
            z = torch.where(space.per_sample(active), closer, z)
            active = active & (space.norm(z - z_old) > enough)
            if not bool(active.any()):
                break
        else:
            warnings.warn(
                f"ProxDenoiser stopped after {self.iterations} iterations short of its tolerance, "
                f"{self.tolerance:.0e} sigma. Give it more iterations, or the prior less weight.",
                InvgenWarning,
                stacklevel=4,
            )
        return constrained(z, zip(prox.maps, functions, strict=True))
