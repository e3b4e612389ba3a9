"""What all posterior samplers share: samples and seeds, the prior's unit, chunks, and what is told."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from invgen.core.counting import count_calls, record_call
from invgen.core.draws import Draws
from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import LinearOperator
from invgen.priors.base import Denoiser, require
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Callback, ProgressBar, Run, Solver, State, checked, peak_memory
from invgen.solvers.checkpoint import Checkpoint
from invgen.solvers.data_prox import image_scale, rough_image, with_noise

__all__ = ["PosteriorSampler"]


@dataclass(frozen=True)
class PosteriorSampler(Solver):
    """Base of the solvers that draw samples of ``p(x | y)`` with a denoiser as the prior.

    A subclass gives `walk`, the algorithm in the unit of the prior; samples are a batch axis before all
    others.

    Parameters
    ----------
    prior : Denoiser
    scale : positive number, tensor with one for each batch element, or "auto"
        The value in the image that becomes the upper end of the prior's value range: white, in its unit.
        "auto" finds it from a rough reconstruction; with an operator that is not linear, or noise that is not
        normal, it is that upper end itself. Priors without a value range have none to find.
    chunk_size : int, optional
        How many samples are drawn at a time, by default as many as take a moderate amount of memory. The
        samples are the same.
    """

    prior: Denoiser
    _: KW_ONLY
    scale: float | torch.Tensor | str = "auto"
    chunk_size: int | None = None

    #: Whether it takes operators that are not linear, and noise that is not normal.
    general: ClassVar[bool] = False

    #: Numbers of all images that are drawn at once.
    memory: ClassVar[int] = 2**20

    #: Whether all samples of a call come about together, however many.
    together: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.prior, self.name, Denoiser)
        if isinstance(self.scale, str):
            if self.scale != "auto":
                raise ParameterError(f"scale is 'auto' or positive; got {self.scale!r}.")
        elif not bool((torch.as_tensor(self.scale) > 0).all()):
            raise ParameterError(f"scale must be positive; got {self.scale}.")
        if self.chunk_size is not None and not (isinstance(self.chunk_size, int) and self.chunk_size >= 1):
            raise ParameterError(f"chunk_size is a positive number of samples; got {self.chunk_size!r}.")

    def walk(self, problem: Problem, state: State) -> Iterator[State]:
        """Yield the states of samples on their way, in the unit of the prior: the algorithm.

        Parameters
        ----------
        problem : Problem
            In the prior's unit; its first batch axis counts the samples.
        state : State
            Of an earlier run, or the first image alone.
        """
        raise NotImplementedError

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the samples on their way, from images ``(n, *batch, *image)`` or from a state."""
        problem, state = self._described(problem), State.start(x0)
        unit = self._unit(problem)
        inner = problem if unit is None else problem.scaled(1 / unit)
        factor = 1.0 if unit is None else problem.operator.domain.per_sample(unit)
        # to divide what was multiplied would change its last bits: a resumed walk has its own image
        first = State(state.get("inner", state.x / factor), **state.variables)
        for reached in self.walk(inner, first):
            yield State(factor * reached.x, inner=reached.x, **reached.variables)

    def draws(self, problem: Problem, state: State) -> Draws:
        """The random numbers of each sample, from where `state` left them."""
        known = state.get("draws", None)
        seeds = range(problem.batch_shape[0]) if known is None else known
        return Draws(seeds, len(problem.operator.domain.shape))

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

    def initial(self, problem: Problem) -> torch.Tensor:
        """A rough image; zero where the operator is not linear, or the noise not normal."""
        return rough_image(problem) if _is_least_squares(problem) else problem.zeros()

    def resolved(self, problem: Problem) -> Self:
        """With the scale of each batch element."""
        value_range = format_of(self.prior).value_range
        if value_range is None:
            return self
        if isinstance(self.scale, str):
            known = _is_least_squares(problem)
            scale = image_scale(problem) if known else torch.tensor(value_range[1])
        else:
            scale = torch.as_tensor(self.scale)
        like = problem.zeros().real
        try:
            scale = scale.to(like).expand(problem.batch_shape)
        except RuntimeError:
            raise ShapeError(
                f"scale of each batch element has the batch's shape {tuple(problem.batch_shape)}; got "
                f"{tuple(scale.shape)}."
            ) from None
        return replace(self, scale=scale)

    def penalty(self, problem: Problem, x: torch.Tensor) -> float:
        """Unknown: a denoiser says nothing of the density."""
        return 0.0

    def statistics(self) -> dict[str, Any]:
        """The scale, where the prior has a range."""
        if not isinstance(self.scale, torch.Tensor):
            return {}
        return {"scale": self.scale if self.scale.ndim else float(self.scale)}

    def diagnosed(self, ends: list[State]) -> dict[str, Any]:
        """What the last states of all chunks of samples add to the statistics."""
        return {}

    @property
    def remedy(self) -> str:
        """What to do about a chain that diverges."""
        return (
            f"Check the noise level of the problem and the scale of its image (here {self.scale}), and that "
            "A.H is the adjoint of A (invgen.testing.check_operator)."
        )

    def _described(self, problem: Problem) -> Problem:
        """The problem with normal noise, for methods that need it."""
        if self.general and problem.noise is not None and not isinstance(problem.noise, Gaussian):
            return problem
        if not (self.general or isinstance(problem.operator, LinearOperator)):
            raise CapabilityError(
                f"{self.name} needs a linear operator; {problem.operator.name} is not linear. DPS and ULA "
                "take any that can be differentiated."
            )
        if problem.noise is None and not isinstance(problem.operator, LinearOperator):
            raise CapabilityError(
                f"{self.name} needs the noise level: Problem(..., noise=noise.Gaussian(std))."
            )
        return with_noise(problem, self.name)

    def _unit(self, problem: Problem) -> torch.Tensor | None:
        """What one is in the prior's unit, in that of the image; None where they are the same."""
        value_range = format_of(self.prior).value_range
        if value_range is None:
            return None
        scale = self.resolved(problem).scale
        assert isinstance(scale, torch.Tensor)
        unit = scale / value_range[1]
        if not isinstance(problem.operator, LinearOperator):
            if bool((unit == 1).all()):
                return None
            raise CapabilityError(
                f"Images of an operator that is not linear keep their unit; got scale={self.scale}."
            )
        # of one number even noise with a covariance can be scaled
        return unit.flatten()[0] if bool((unit == unit.flatten()[:1]).all()) and unit.numel() else unit

    @torch.no_grad()
    def __call__(
        self,
        problem: Problem,
        *,
        x0: torch.Tensor | None = None,
        samples: int = 1,
        seed: int | None = None,
        progress: bool = False,
        callback: Callback | None = None,
        checkpoint: str | Path | None = None,
    ) -> Reconstruction:
        """Draw samples of the posterior.

        Parameters
        ----------
        problem : Problem
        x0 : tensor, shape (*batch, *image), optional
            Where to start; by default a rough reconstruction.
        samples : int
        seed : int, optional
            Sample i follows from ``seed + i``, alike for each batch element. By default one that nobody knows
            before; it is told in the statistics.
        progress : bool
            Show a progress bar.
        callback : callable(iteration, state), optional
            Called after each iteration; returning True stops.
        checkpoint : path, optional
            File to save the state to once a minute and at an interruption. Where it exists the run goes on
            from it, with the same result as if it had never stopped; it is removed at the end.

        Returns
        -------
        Reconstruction
            With ``samples`` of the shape (n, *batch, *image), their mean `x` and, of two or more, `std`. In
            its history the axis of samples comes before those of the batch.

        Raises
        ------
        DivergenceError
            When a chain leaves the finite numbers or its residual explodes.
        CapabilityError
            For noise, operators and priors that the method cannot handle.
        """
        if not isinstance(problem, Problem):
            raise DtypeError(f"{self.name} expects a Problem; got {type(problem).__name__}.")
        if not (isinstance(samples, int) and samples >= 1):
            raise ParameterError(f"samples is a positive number; got {samples!r}.")
        if not (seed is None or isinstance(seed, int)):
            raise ParameterError(f"seed is a whole number; got {seed!r}.")
        axes, space = format_of(self.prior).axes, problem.operator.domain
        if axes > len(space.shape):  # which would take samples for channels
            raise ShapeError(
                f"{type(self.prior).__name__} is a prior of images with {axes} axes, channels among them; "
                f"those of {problem.operator.name} have the shape {space.shape}."
            )
        began = time.perf_counter()
        seed = secrets.randbelow(2**31) if seed is None else seed
        with count_calls(problem.operator, denoiser=self.prior) as calls:
            known = self._described(problem)
            solver = self.resolved(known)
            start = solver.initial(known) if x0 is None else checked(x0, known)
            chunk = self.chunk_size or max(1, self.memory // max(1, start.numel()))
            chunk = samples if self.together else chunk
            firsts = range(0, samples, chunk)
            runs = []
            with ProgressBar(self.name, self.iterations * len(firsts)) if progress else nullcontext() as told:
                for done, first in enumerate(firsts):
                    n = min(chunk, samples - first)
                    draws = Draws(range(seed + first, seed + first + n))
                    state = State(start.expand(n, *start.shape), draws=draws.state)
                    run = Run(
                        solver, known.repeated(n), state, solver._checkpoint(checkpoint, first, samples, seed)
                    )
                    run.loop(
                        None if told is None else partial(_shifted, told, done * self.iterations), callback
                    )
                    if run.checkpoint is not None and len(firsts) > 1:
                        run.checkpoint.save(run)
                    runs.append(run)
            for run in runs:
                run.forget()
        drawn = torch.cat([run.result for run in runs])
        stats = {
            "solver": self.name,
            **solver.statistics(),
            "samples": samples,
            "seed": seed,
            "iterations": runs[0].iteration,
            "converged": all(run.iteration == self.iterations for run in runs),
            "network_evaluations": calls["denoiser"] / len(runs),
            "operator_calls": {name: count for name, count in calls.items() if name != "denoiser"},
            **solver.diagnosed([run.state for run in runs]),
            "seconds": time.perf_counter() - began,
            "peak_memory": peak_memory(start.device),
        }
        spread = drawn.std(0) if samples > 1 else None
        return Reconstruction(drawn.mean(0), drawn, spread, _joined([run.history() for run in runs]), stats)

    def _checkpoint(self, path: str | Path | None, first: int, samples: int, seed: int) -> Checkpoint | None:
        """The file of the samples from `first` on: each chunk has its own."""
        if path is None:
            return None
        path = Path(path) if first == 0 else Path(f"{path}-{first}")
        return Checkpoint(path, f"{self!r}, samples {first} of {samples}, seed {seed}")


def _is_least_squares(problem: Problem) -> bool:
    """Whether a rough image is a matter of least squares."""
    return isinstance(problem.operator, LinearOperator) and isinstance(problem.noise, Gaussian | None)


def _shifted(told: ProgressBar, done: int, iteration: int) -> None:
    told.update(done + iteration)


def _joined(histories: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """One history of several chunks of samples."""
    shared = {"iteration": histories[0]["iteration"]}
    names = ("objective", "residual", "change")
    return shared | {name: torch.cat([history[name] for history in histories], dim=1) for name in names}
