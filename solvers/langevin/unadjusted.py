"""The unadjusted Langevin algorithm, with a denoiser or an energy as the prior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from invgen.core.counting import record_call
from invgen.core.errors import ParameterError
from invgen.operators import LinearOperator
from invgen.priors.base import Denoiser, Energy, energy_gradient
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.solvers.sampling.base import PosteriorSampler
from invgen.solvers.sampling.curvature import check_curvature, largest_curvature
from invgen.solvers.sampling.mixing import followed, mixing
from invgen.solvers.state import State

__all__ = ["ULA"]

#: Noise level of the prior, where none is given, in its value range: that of the paper's experiments.
_SIGMA = 5 / 255


@dataclass(frozen=True, kw_only=True)
class ULA(PosteriorSampler):
    """Unadjusted Langevin algorithm, PnP-ULA of Laumont et al. (2022).

    Steps

        x - delta (grad(-log p(y | x)) + (x - D(x, sigma)) / sigma^2) + sqrt(2 delta) z

    of a chain that samples from the likelihood times the prior's density of images with noise of the level
    sigma, which stands for that of images: the prior's variance is larger by its square. Each sample is the
    last draw of a chain of its own. The paper's projection onto a compact set, which its proofs need, is left
    out.

    Of an `Energy`, the gradient of the energy itself takes the place of ``(x - D(x, sigma)) / sigma^2``, so
    that the chain samples from the likelihood times ``exp(-energy)``; sigma then says that its curvature is
    at most ``1 / sigma^2``.

    Any likelihood will do whose gradient has a bounded slope L, of operators that are not linear too. Steps
    are ``delta = step_size / (L + 1 / sigma^2)``, stable below two. Of Gaussians, the variance v along an
    axis comes out as ``v / (1 - delta / (2 v))``, too large by one part in ``2 / step_size - 1`` at most. The
    chain takes some ``v / delta`` steps to mix: the smaller sigma, the more. The statistics report how well
    the chains have mixed.

    Parameters
    ----------
    prior : Denoiser or Energy
    iterations : int
        Steps of each chain, and evaluations of the network.
    sigma : positive number, optional
        Noise level of the prior, in its unit; by default 5 / 255 of its value range. Of an energy, one over
        the root of its largest curvature, as is `EnergyModel.sigma`.
    step_size : number between 0 and 2
    burn_in : int, optional
        Number of first steps that the diagnostics leave out, by default half of them.
    thinning : int
        The diagnostics follow each draw of that number, of at most a hundred pixels all over the image.
    scale, chunk_size
        See `PosteriorSampler`.
    """

    iterations: int = 2000
    sigma: float | None = None
    step_size: float = 0.2
    burn_in: int | None = None
    thinning: int = 10

    general: ClassVar[bool] = True
    protocols: ClassVar[tuple[type, ...]] = (Denoiser, Energy)
    counts: ClassVar[dict[str, int]] = {"thinning": 1, "burn_in": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma is None and format_of(self.prior).value_range is None:
            raise ParameterError(
                f"{type(self.prior).__name__} has no value range: give sigma, the noise level of its score, "
                "such as a tenth of what its images vary by."
            )
        if not (self.sigma is None or self.sigma > 0):
            raise ParameterError(f"sigma must be positive; got {self.sigma}.")
        if not 0 < self.step_size < 2:
            raise ParameterError(
                f"step_size is a number from 0 to 2, where steps become unstable; got {self.step_size}."
            )

    @property
    def level(self) -> float:
        """Noise level at which the score is taken, in the prior's unit."""
        if self.sigma is not None:
            return self.sigma
        low, high = format_of(self.prior).value_range  # type: ignore[misc]
        return _SIGMA * (high - low)

    def prior_slope(self, x: Tensor) -> Tensor:
        """Gradient of minus the logarithm of the prior's density."""
        if isinstance(self.prior, Energy):
            record_call(self.prior)
            return energy_gradient(self.prior, x)
        return (x - self.denoised(x, self.level)) / self.level**2

    def prepare(self, problem: Problem) -> None:
        """Refuse noise of unbounded curvature."""
        check_curvature(problem)

    def steps(self, problem: Problem, prepared: None, state: State) -> Iterator[State]:
        """Take the steps, and follow some pixels."""
        x, sigma, draws = state.x, self.level, self.draws(problem, state)
        burn_in = self.iterations // 2 if self.burn_in is None else self.burn_in
        curvature, trace = (state.get(name, lambda: None) for name in ("curvature", "trace"))
        for k in range(state.get("k", lambda: 0), self.iterations):
            # what is no bound for all images is found anew as the chain moves away, ever more rarely
            if curvature is None:
                curvature = largest_curvature(problem, x)
            elif not isinstance(problem.operator, LinearOperator) and k <= burn_in and k & (k - 1) == 0:
                curvature = torch.maximum(curvature, largest_curvature(problem, x))
            delta = self.step_size / (problem.operator.domain.per_sample(curvature) + sigma**-2)
            slope = problem.gradient(x) + self.prior_slope(x)
            x = x - delta * slope + (2 * delta).sqrt() * draws(x)
            if k >= burn_in and (k - burn_in) % self.thinning == 0:
                trace = followed(trace, problem, x)
            yield State(x=x, k=k + 1, curvature=curvature, trace=trace, draws=draws.state)

    def diagnostics(self, ends: list[State]) -> dict[str, Any]:
        """R-hat and effective sample size of the worst pixel, for each batch element."""
        return mixing([end["trace"] for end in ends])

    @property
    def remedy(self) -> str:
        """What to do about a chain that diverges."""
        return f"Take smaller steps than step_size={self.step_size}. {super().remedy}"
