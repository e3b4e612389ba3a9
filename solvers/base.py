"""What all solvers share: checks, stopping, progress, history, checkpoints, counting and timing.

A solver is a frozen dataclass of hyper-parameters with one method, ``iterate``, that yields states. The
rest is here, once.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import torch

from invgen.convex.weights import rule_of
from invgen.core.counting import count_calls
from invgen.core.errors import (
    CapabilityError,
    DataError,
    DivergenceError,
    DtypeError,
    ParameterError,
    ShapeError,
)
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.checkpoint import Checkpoint

__all__ = ["Solver", "State"]

Callback = Callable[[int, "State"], Any]


class State:
    """One iterate, with the variables that the loop needs to go on from here.

    Parameters
    ----------
    x : tensor
        The image.
    optimality : tensor, optional
        One number for each batch element that falls to zero at the solution; where it is given, the
        solver's tolerance applies to it, else to the relative change of the image.
    **variables
        Everything else that the next iteration reads: tensors and numbers.
    """

    def __init__(self, x: torch.Tensor, optimality: torch.Tensor | None = None, **variables: Any) -> None:
        self.x, self.optimality, self.variables = x, optimality, variables

    @classmethod
    def start(cls, x: State | torch.Tensor) -> State:
        """The state to start from: a state being resumed, or an image."""
        return x if isinstance(x, State) else cls(x)

    def get(self, name: str, initial: Any) -> Any:
        """A variable of a resumed state, else its initial value."""
        return self.variables.get(name, initial)


class Solver:
    """Base of all solvers; each is a frozen dataclass that gives these two its own defaults.

    Attributes
    ----------
    iterations : int
        Largest number of iterations.
    tolerance : float
        Each batch element stops by itself when its relative change (or the solver's own optimality
        measure) is at most this.
    """

    iterations: int = 1
    tolerance: float = 0.0

    #: History costs a projection for each record: it holds these iterations and every tenth.
    _RECORDED: ClassVar[tuple[int, ...]] = (1, 2, 5)

    def __post_init__(self) -> None:
        if not (isinstance(self.iterations, int) and self.iterations >= 1):
            raise ParameterError(f"iterations is a positive number; got {self.iterations!r}.")
        if not self.tolerance >= 0:
            raise ParameterError(f"tolerance is not negative; got {self.tolerance!r}.")

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the iterates, from an image or from a state of an earlier run."""
        raise NotImplementedError

    def penalty(self, problem: Problem, x: torch.Tensor) -> torch.Tensor | float:
        """What the solver minimises besides the data term, shape of the batch."""
        prior = getattr(self, "prior", None)
        if prior is None:
            return 0.0
        value, batch = prior.value(x), problem.batch_shape
        # images with axes of their own, such as channels, count together; -1 would refuse an empty batch
        return value.reshape(*batch, math.prod(value.shape[len(batch) :])).sum(-1)

    def initial(self, problem: Problem) -> torch.Tensor:
        """Where to start without `x0`."""
        return problem.zeros()

    def confined(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """`x`, zero where the operator sees nothing, as in its model: a prior would make it up."""
        return problem.operator.restrict(x)

    def resolved(self, problem: Problem) -> Self:
        """The solver with every "auto" replaced by what it means for `problem`."""
        prior = getattr(self, "prior", None)
        if prior is None:
            return self
        return replace(cast(Any, self), prior=prior.resolve(problem))

    def statistics(self) -> dict[str, Any]:
        """What a resolved solver adds to the statistics."""
        weight = getattr(getattr(self, "prior", None), "weight", None)
        return {} if weight is None else {"weight": weight}

    def rule(self) -> dict[str, Any]:
        """What a solver that is not resolved adds: the rule that its weight follows, of several a tuple.

        "given", "discrepancy" or "sure"; see `invgen.convex.weights`.
        """
        weight = getattr(getattr(self, "prior", None), "weight", None)
        if weight is None:
            return {}
        rules = tuple(map(rule_of, weight)) if isinstance(weight, tuple) else rule_of(weight)
        return {"weight_rule": rules}

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
        """Solve a problem.

        Parameters
        ----------
        problem : Problem
        x0 : tensor, shape (*batch, *image), optional
            Where to start.
        samples, seed : int
            For solvers that draw samples; this one gives one estimate, which needs no seed.
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

        Raises
        ------
        DivergenceError
            When an iterate leaves the finite numbers or its residual explodes.
        """
        if samples != 1:
            raise CapabilityError(f"{self.name} gives one estimate; for samples use a posterior sampler.")
        if not isinstance(problem, Problem):
            raise DtypeError(f"{self.name} expects a Problem; got {type(problem).__name__}.")
        began = time.perf_counter()
        with count_calls(problem.operator) as calls:
            solver = self.resolved(problem)
            x = solver.initial(problem) if x0 is None else checked(x0, problem)
            run = Run(
                solver,
                problem,
                State(x),
                None if checkpoint is None else Checkpoint(Path(checkpoint), repr(solver)),
            )
            with ProgressBar(self.name, self.iterations) if progress else nullcontext() as told:
                run.loop(None if told is None else told.update, callback)
            run.forget()
        stats = {
            "solver": self.name,
            **solver.statistics(),
            **self.rule(),
            "iterations": run.needed if problem.batch_shape else int(run.needed),
            "converged": ~run.active if problem.batch_shape else not bool(run.active),
            "operator_calls": dict(calls),
            "seconds": time.perf_counter() - began,
            "peak_memory": peak_memory(x.device),
        }
        return Reconstruction(run.result, history=run.history(), stats=stats)

    @property
    def remedy(self) -> str:
        """What to do about a run that diverges."""
        return (
            "Its step size assumes that A.H is the adjoint of A: check an operator of your own by "
            "invgen.testing.check_operator."
        )

    @property
    def name(self) -> str:
        """Name of the class, for messages."""
        return type(self).__name__


class Run:
    """One run of a solver: which batch elements still move, and what is recorded."""

    def __init__(self, solver: Solver, problem: Problem, state: State, checkpoint: Checkpoint | None) -> None:
        self.solver, self.problem, self.checkpoint = solver, problem, checkpoint
        self.space = problem.operator.domain
        self.state, self.result = state, state.x
        self.iteration = 0
        batch = problem.batch_shape
        self.active = torch.ones(batch, dtype=torch.bool, device=state.x.device)
        self.needed = torch.zeros(batch, dtype=torch.long, device=state.x.device)
        # data of zeros are no measure of divergence for a run that starts elsewhere
        starts = [problem.zeros(), state.x] if bool(state.x.any()) else [state.x]
        first = torch.stack([problem.residual_norm(x) for x in starts]).amax(0)
        # nor are they for samples, which vary
        self.first_residual = torch.where(first > 0, first, torch.inf)
        self.changes: list[torch.Tensor] = []
        self.measures: list[torch.Tensor] = []
        self.records: list[tuple[int, torch.Tensor, torch.Tensor]] = []
        if checkpoint is not None:
            checkpoint.restore(self)

    def loop(self, tell: Callable[[int], None] | None, callback: Callback | None) -> None:
        """Iterate until every batch element has converged or the iterations are spent."""
        states = self.solver.iterate(self.problem, self.state if self.state.variables else self.state.x)
        try:
            while self.iteration < self.solver.iterations and bool(self.active.any()):
                state = self._next(states)
                if state is None:
                    break
                self._advance(state)
                if tell is not None:
                    tell(self.iteration)
                if callback is not None and callback(self.iteration, state) is True:
                    break
                if self.checkpoint is not None:
                    self.checkpoint.save_if_due(self)
        except KeyboardInterrupt:
            if self.checkpoint is not None:
                self.checkpoint.save(self)
            raise
        if not self.records or self.records[-1][0] != self.iteration:
            self._record()

    def forget(self) -> None:
        """Remove the checkpoint: nothing is left to go on from."""
        if self.checkpoint is not None:
            self.checkpoint.remove()

    def _next(self, states: Iterator[State]) -> State | None:
        try:
            return next(states, None)
        except DataError as error:  # an operator met NaN within the iteration
            raise self._divergence() from error

    def _advance(self, state: State) -> None:
        self.iteration += 1
        x_old, active = self.result, self.space.per_sample(self.active)
        self.result = torch.where(active, self.solver.confined(self.problem, state.x), x_old)
        size = self.space.norm(self.result)
        if not bool(torch.isfinite(size).all()):
            raise self._divergence()
        change = self.space.norm(self.result - x_old) / size.clamp(min=torch.finfo(size.dtype).tiny)
        self.changes.append(change)
        self.needed += self.active
        measure = change if state.optimality is None else state.optimality
        self.measures.append(measure)
        self.active = self.active & ~(measure <= self.solver.tolerance)
        self.state = state
        if self.iteration in self.solver._RECORDED or self.iteration % 10 == 0:
            self._record()

    def _record(self) -> None:
        data_term, residual = self.problem.fit(self.result)
        # a direct method, of one iterate in whatever scale, goes nowhere: it takes more to diverge
        if self.iteration > 1 and bool((residual > 1e4 * self.first_residual).any()):
            raise self._divergence()
        objective = data_term + self.solver.penalty(self.problem, self.result)
        self.records.append((self.iteration, objective, residual))

    def _divergence(self) -> DivergenceError:
        return DivergenceError(
            f"{self.solver.name} diverged at iteration {self.iteration}. {self.solver.remedy}"
        )

    def history(self) -> dict[str, torch.Tensor]:
        """The recorded numbers as tensors."""
        iterations, objective, residual = zip(*self.records, strict=True)
        none = torch.zeros(0, *self.active.shape)
        return {
            "iteration": torch.tensor(iterations),
            "objective": torch.stack(objective),
            "residual": torch.stack(residual),
            "change": torch.stack(self.changes) if self.changes else none,
            "optimality": torch.stack(self.measures) if self.measures else none,
        }


def checked(x0: torch.Tensor, problem: Problem) -> torch.Tensor:
    """An image to start from, in the precision and the batch of the problem."""
    problem.operator.domain.check(x0, "x0")
    zeros = problem.zeros()
    try:
        return x0.to(zeros).expand(zeros.shape)
    except RuntimeError:
        raise ShapeError(f"x0 of the shape {tuple(x0.shape)} does not fit {tuple(zeros.shape)}.") from None


def peak_memory(device: torch.device) -> int:
    """Largest memory in bytes: of the process on a CPU, of PyTorch's allocator on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class ProgressBar:
    """A progress bar that appears with the first iteration."""

    def __init__(self, name: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._task = self._progress.add_task(name, total=total)

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def update(self, iteration: int) -> None:
        self._progress.update(self._task, completed=iteration)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
