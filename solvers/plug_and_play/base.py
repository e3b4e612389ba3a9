"""What plug-and-play methods share: their hyper-parameters' unit, and the call of the denoiser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self, cast

import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.base import Denoiser, require
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.data_prox import image_scale, rough_image, with_noise

__all__ = ["DenoiserSolver"]


class DenoiserSolver(Solver):
    """Base of the solvers whose prior is a denoiser; each is a frozen dataclass of these and its own.

    Its noise levels are fractions of the image's scale, so that they suit images of any unit; to a denoiser
    that has a value range images are handed within it.
    """

    prior: Denoiser
    weight: float | None
    sigma: float | torch.Tensor | str
    scale: float | torch.Tensor | str

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Denoiser)
        if not cast(float, self.weight) > 0:
            raise ParameterError(f"weight must be positive; got {self.weight!r}.")
        for name in ("sigma", "scale"):
            value = getattr(self, name)
            if isinstance(value, str) and value != "auto":
                raise ParameterError(f"{name} is 'auto' or positive; got {value!r}.")
            if not isinstance(value, str) and not bool((torch.as_tensor(value) > 0).all()):
                raise ParameterError(f"{name} must be positive; got {value}.")

    def resolved(self, problem: Problem) -> Self:
        """With numbers, those of each batch element, for scale and noise level."""
        scale, sigma, like = self.scale, self.sigma, problem.zeros().real
        if isinstance(scale, str) or isinstance(sigma, str):
            problem = with_noise(problem, self.name)
        scale = image_scale(problem) if isinstance(scale, str) else torch.as_tensor(scale)
        sigma = self._level(problem, scale) if isinstance(sigma, str) else torch.as_tensor(sigma)
        for name, value in (("scale", scale), ("sigma", sigma)):
            if value.shape not in ((), problem.batch_shape):
                raise ShapeError(
                    f"{name} of each batch element has the batch's shape {tuple(problem.batch_shape)}; got "
                    f"{tuple(value.shape)}."
                )
        numbers = (value.to(like).expand(problem.batch_shape) for value in (scale, sigma))
        return replace(cast(Any, self), **dict(zip(("scale", "sigma"), numbers, strict=True)))

    def _level(self, problem: Problem, scale: torch.Tensor) -> torch.Tensor:
        """What "auto" means for sigma, a fraction of the scale."""
        raise NotImplementedError

    def initial(self, problem: Problem) -> torch.Tensor:
        """A rough image, which has no holes where nothing was measured."""
        return rough_image(with_noise(problem, self.name))

    def penalty(self, problem: Problem, x: torch.Tensor) -> float:
        """Unknown: a denoiser says nothing of what it would minimise."""
        return 0.0

    def statistics(self) -> dict[str, Any]:
        """Scale and noise level, the latter as a fraction of the former."""
        numbers = {"scale": torch.as_tensor(self.scale), "sigma": torch.as_tensor(self.sigma)}
        return {name: value if value.ndim else float(value) for name, value in numbers.items()}

    def _penalty(self, sigma: torch.Tensor) -> torch.Tensor:
        """``weight / sigma^2``, in the image's unit, shape of the batch."""
        return cast(float, self.weight) / (sigma * cast(torch.Tensor, self.scale)).square()

    @property
    def _blame(self) -> str:
        return f"The denoiser {type(self.prior).__name__} drives images further apart than they were."

    #: What a message of divergence ends with.
    _milder = "a smaller sigma, or an averaged denoiser, a D(x) + (1 - a) x with a below one."

    def denoised(self, problem: Problem, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """`x` without noise of the level `sigma`, a fraction of the scale."""
        space, scale = problem.operator.domain, cast(torch.Tensor, self.scale)
        value_range = format_of(self.prior).value_range
        if value_range is None:
            return self.prior.denoise(x, sigma * scale)
        unit = space.per_sample(scale / value_range[1])
        return unit * self.prior.denoise(x / unit, sigma * value_range[1])


def noise_in_image(problem: Problem) -> torch.Tensor:
    """Noise level of the image's best measured component, in its unit: that of the data over ``|A|``."""
    L = torch.as_tensor(problem.lipschitz()).to(problem.zeros().real).expand(problem.batch_shape)
    return torch.where(L > 0, L, 1.0).rsqrt()
