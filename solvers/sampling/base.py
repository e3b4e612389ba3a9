"""What all posterior samplers share: samples and seeds, the prior's unit, chunks, and statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Self

import torch

from invgen.core.checks import as_count
from invgen.core.counting import record_call
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, ParameterError, ShapeError
from invgen.core.memory import peak_of, room_for
from invgen.core.moments import moments
from invgen.operators import LinearOperator
from invgen.priors.base import Denoiser, require
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver
from invgen.solvers.run import Run
from invgen.solvers.scale import (
    check_scale,
    found_scale,
    in_prior_unit,
    nearest_least_squares,
    rough_image,
    scale_statistics,
    with_noise,
)
from invgen.solvers.state import State

__all__ = ["PosteriorSampler"]

#: Images for each sample that a data step holds at a time, in the memory of a GPU.
_IMAGES = 16


@dataclass(frozen=True)
class PosteriorSampler(Solver):
    """Base of the solvers that draw samples of ``p(x | y)`` with a learned prior.

    A subclass gives `steps`, the algorithm in the unit of the prior; the samples are a batch axis before all
    others.

    Parameters
    ----------
    prior : Denoiser, or what the subclass takes
    scale : positive number, tensor with one for each batch element, or "auto"
        The value in the image that becomes the upper end of the prior's value range: white, in its unit.
        "auto" estimates it from a rough reconstruction; with an operator that is not linear, or noise that is
        not Gaussian, it is that upper end itself. Without effect on priors without a value range.
    chunk_size : int, optional
        Number of samples that are drawn at a time, by default what takes a moderate amount of memory, or on a
        GPU 60 % of what is free. Where memory runs out it is halved. The samples are the same.
    antithetic : bool
        Draw samples in pairs (Hammersley and Morton 1956; for diffusion models Jia et al. 2025):
        the second of each gets the random numbers of the first, negated. Each sample is of the same
        distribution as before, and pairs are independent of one another; but the two of a pair deviate to
        opposite sides, exactly so where the method is linear, as with a Gaussian prior. Their mean is then
        that of infinitely many samples, where n independent samples add 1 / n of the posterior's variance to
        the squared error. The spread is estimated from half as many independent deviations.
    """

    prior: Any
    _: KW_ONLY
    scale: float | torch.Tensor | str = "auto"
    chunk_size: int | None = None
    antithetic: bool = False

    draws_samples: ClassVar[bool] = True

    #: What the prior can do, one of these.
    protocols: ClassVar[tuple[type, ...]] = (Denoiser,)

    #: Whether it takes operators that are not linear, and noise that is not Gaussian.
    general: ClassVar[bool] = False

    #: Numbers of all images that are drawn at a time.
    memory: ClassVar[int] = 2**20

    #: Whether all samples of a call are drawn together, whatever their number.
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, *self.protocols)
        check_scale(self.scale, "scale")
        if self.chunk_size is not None:
            object.__setattr__(self, "chunk_size", as_count(self.chunk_size, f"{self.name}'s chunk_size"))
        if not isinstance(self.antithetic, bool):
            raise ParameterError(f"{self.name}'s antithetic is True or False; got {self.antithetic!r}.")
        if self.antithetic and self.together:
            raise ParameterError(
                f"{self.name} draws its samples together, and not in pairs: leave out antithetic."
            )

    def states(self, problem: Problem, state: State) -> Iterator[State]:
        """Yield the samples on their way, (n, *batch, *image), in the unit of the image."""
        inner, factor = in_prior_unit(problem, self.scale, self.prior)
        # to divide what was multiplied would change its last bits: a resumed run has its own image
        first = State(x=state.get("inner", lambda: state.x / factor), **state.variables)
        # a chain that rests has not converged
        never = torch.full(problem.batch_shape, torch.inf, device=state.x.device)
        for reached in self.steps(inner, self.prepare(inner), first):
            yield State(x=factor * reached.x, optimality=never, inner=reached.x, **reached.variables)

    def draws(self, problem: Problem, state: State) -> Draws:
        """The random numbers of each sample, from where `state` left them."""
        return Draws(state["draws"], len(problem.operator.domain.shape), device=state.x.device)

    def denoised(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """``D(x, sigma)``, counted as one evaluation of the network for each sample."""
        record_call(self.prior)
        return self.prior.denoise(x, sigma)

    def denoised_with_pullback(
        self, x: torch.Tensor, sigma: float
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        """``D(x, sigma)`` and the map ``v -> J.H v`` with D's Jacobian J at x."""
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            found = self.denoised(at, sigma)
        if not found.requires_grad:
            raise CapabilityError(
                f"{self.name} needs the derivative of the denoiser; {type(self.prior).__name__} has none in "
                "PyTorch. Use DDS or DiffPIR."
            )
        return found.detach(), lambda v: torch.autograd.grad(found, at, v, retain_graph=True)[0]

    def described(self, problem: Problem) -> Problem:
        """The problem with Gaussian noise, for methods that need it."""
        axes, space = format_of(self.prior).axes, problem.operator.domain
        if axes > len(space.shape):  # which would take samples for channels
            raise ShapeError(
                f"{type(self.prior).__name__} is a prior of images with {axes} axes, channels among them; "
                f"those of {problem.operator.name} have the shape {space.shape}."
            )
        if self.general and not problem.likelihood.quadratic:
            return problem
        linear = isinstance(problem.operator, LinearOperator)
        if not (self.general or linear):
            raise CapabilityError(
                f"{self.name} needs a linear operator; {problem.operator.name} is not linear. DPS and ULA "
                "take any that can be differentiated."
            )
        if not (problem.likelihood.level_known or linear):
            raise CapabilityError(
                f"{self.name} needs the noise level: Problem(..., noise=noise.Gaussian(std))."
            )
        return with_noise(problem, self.name)

    def resolved(self, problem: Problem) -> Self:
        """With the scale of each batch element."""
        return replace(self, scale=found_scale(self.scale, self.prior, problem))

    def initial(self, problem: Problem) -> torch.Tensor:
        """A rough image; zero where there is no `nearest_least_squares`."""
        known = nearest_least_squares(problem)
        return problem.zeros() if known is None else rough_image(known)

    def chunks(self, x: torch.Tensor, samples: int, seed: int) -> list[range]:
        """Seeds of the samples, as many at a time as memory allows."""
        size = self.chunk_size or max(1, self.memory // max(1, x.numel()))
        if self.chunk_size is None and size < samples and x.device.type == "cuda":
            size = max(size, self._room(x))
        size = samples if self.together else size
        end = seed + samples
        return [range(first, min(first + size, end)) for first in range(seed, end, size)]

    def fewer(self, samples: int) -> int:
        """Half of them, unless they are drawn together."""
        return 0 if self.together or samples == 1 else (samples + 1) // 2

    def _room(self, x: torch.Tensor) -> int:
        """Number of samples that a GPU has memory for: by the peak of one denoising and its derivative."""
        if not isinstance(self.prior, Denoiser):
            return 0
        _, level = format_of(self.prior).noise_range or (0.0, 1.0)

        def denoise() -> None:
            with torch.enable_grad():
                at = torch.zeros_like(x)[None].requires_grad_()
                found = self.prior.denoise(at, level)
                if found.requires_grad:
                    torch.autograd.grad(found, at, torch.ones_like(found))

        try:
            # and what a data step takes beside, of images
            needed = peak_of(denoise, x.device) + _IMAGES * x.nbytes
        except torch.OutOfMemoryError:  # methods without derivative denoise the images in parts
            return 0
        return room_for(needed, x.device)

    def begin(self, problem: Problem, x: torch.Tensor, seeds: range, seed: int) -> tuple[Problem, State]:
        """The problem, the image and fresh random numbers, once for each sample.

        The images `x`, where there is one for each sample, have an axis of them before all others.
        """
        repeated = problem.repeated(len(seeds))
        if self.antithetic:
            draws = Draws.antithetic(seeds, seed, device=x.device)
        else:
            draws = Draws(seeds, device=x.device)
        return repeated, State(x=x.expand_as(repeated.zeros()), draws=draws.state)

    def collected(self, problem: Problem, runs: list[Run], samples: int, seed: int) -> Reconstruction:
        """All samples, their mean and standard deviation."""
        drawn = torch.cat([run.result for run in runs])
        stats = {
            "samples": samples,
            "seed": seed,
            "iterations": runs[0].iteration,
            "converged": all(run.iteration == self.iterations for run in runs),
        }
        std = moments(drawn, self.antithetic).std if samples > 1 else None
        history = _joined([run.history() for run in runs])
        return Reconstruction(drawn.mean(0), drawn, std, history, stats, self.antithetic)

    def penalty(self, problem: Problem, x: torch.Tensor) -> float:
        """Unknown: a denoiser says nothing of the density."""
        return 0.0

    def statistics(self) -> dict[str, Any]:
        """The scale, where the prior has a range."""
        return scale_statistics(self.scale)

    def rule(self, problem: Problem) -> dict[str, Any]:
        """None: samplers have no weight."""
        return {}

    @property
    def remedy(self) -> str:
        """What to do about a chain that diverges."""
        return (
            f"Check the noise level of the problem and the scale of its image (here {self.scale}), and that "
            "A.H is the adjoint of A (invgen.testing.check_operator)."
        )


def _joined(histories: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """One history of several chunks of samples."""
    shared = {"iteration": histories[0]["iteration"]}
    names = ("objective", "residual", "change")
    return shared | {name: torch.cat([history[name] for history in histories], dim=1) for name in names}
