"""What plug-and-play methods share: their hyper-parameters' unit, and the call of the denoiser."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self, cast

import torch

from invgen.core.counting import record_call
from invgen.core.errors import ParameterError
from invgen.priors.base import Denoiser, require
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.base import Solver
from invgen.solvers.data_prox import DataProx
from invgen.solvers.scale import as_batch, check_scale, image_scale, prior_unit, rough_image, with_noise

__all__ = ["DenoiserSolver", "noise_in_image"]


@dataclass(frozen=True)
class DenoiserSolver(Solver):
    """Base of the solvers whose prior is a denoiser.

    Its noise levels are fractions of the image's scale, so that they suit images of any unit; to a denoiser
    that has a value range images are handed within it.

    Parameters
    ----------
    prior : Denoiser
    weight : positive number
        Of the prior against the data.
    sigma : positive number, tensor with one for each batch element, or "auto"
        Noise level of the denoiser, as a fraction of the scale.
    scale : positive number, tensor with one for each batch element, or "auto"
        What is white in the image, in its unit. "auto" estimates it from a rough reconstruction. A denoiser
        with a value range gets images in which it is the range's upper end.
    """

    prior: Denoiser
    _: KW_ONLY
    weight: float = 1.0
    sigma: float | torch.Tensor | str = "auto"
    scale: float | torch.Tensor | str = "auto"
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Denoiser)
        if not self.weight > 0:
            raise ParameterError(f"weight must be positive; got {self.weight!r}.")
        check_scale(self.sigma, "sigma")
        check_scale(self.scale, "scale")

    def resolved(self, problem: Problem) -> Self:
        """With numbers, those of each batch element, for scale and noise level."""
        scale, sigma = self.scale, self.sigma
        if isinstance(scale, str) or isinstance(sigma, str):
            problem = with_noise(problem, self.name)
        scale = image_scale(problem) if isinstance(scale, str) else torch.as_tensor(scale)
        sigma = self._level(problem, scale) if isinstance(sigma, str) else sigma
        scale, sigma = as_batch(scale, problem, "scale"), as_batch(sigma, problem, "sigma")
        return replace(self, scale=scale, sigma=sigma)

    def _level(self, problem: Problem, scale: torch.Tensor) -> torch.Tensor:
        """What "auto" means for sigma, a fraction of the scale."""
        raise NotImplementedError

    def prepare(self, problem: Problem) -> DataProx:
        """The proximal map of the data term."""
        return DataProx(with_noise(problem, self.name))

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
        return self.weight / (sigma * cast(torch.Tensor, self.scale)).square()

    @property
    def _blame(self) -> str:
        return f"The denoiser {type(self.prior).__name__} drives images further apart than they were."

    #: What a message of divergence ends with.
    _milder = "a smaller sigma, or an averaged denoiser, a D(x) + (1 - a) x with a below one."

    def denoised(self, problem: Problem, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """`x` without noise of the level `sigma`, a fraction of the scale."""
        record_call(self.prior)
        scale = cast(torch.Tensor, self.scale)
        unit = prior_unit(scale, self.prior)
        if unit is None:
            return self.prior.denoise(x, sigma * scale)
        white = cast(tuple[float, float], format_of(self.prior).value_range)[1]
        unit = problem.operator.domain.per_sample(unit)
        return unit * self.prior.denoise(x / unit, sigma * white)


def noise_in_image(problem: Problem) -> torch.Tensor:
    """Noise level of the image's best measured component, in its unit: that of the data over ``|A|``."""
    L = problem.lipschitz()
    return torch.where(L > 0, L, 1.0).rsqrt()
