"""One run of a solver or sampler: stopping, history, divergence, checkpoints and progress, once for all."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol, TypeVar

import torch

from invgen.core.errors import DataError, DivergenceError, MemoryLimitError
from invgen.core.fingerprint import fingerprint
from invgen.core.late import Reports
from invgen.core.memory import release_device_memory
from invgen.core.stopping import Stopped
from invgen.core.text import brief
from invgen.problem import Problem
from invgen.solvers.checkpoint import Checkpoint, Checkpoints
from invgen.solvers.state import State

__all__ = ["Callback", "ProgressBar", "Run", "in_chunks", "peak_memory"]

T = TypeVar("T")

#: Called after each iteration with its number and state; returning True stops.
Callback = Callable[[int, State], Any]

#: When a run has diverged: where its residual is so many times that of its start; at the end of a
#: minimisation, where its data term is so many times that of its start, and the objective is no smaller.
_RESIDUAL, _DATA_TERM = 1e4, 4.0

#: What a checkpoint keeps of a run besides its state.
_KEPT = ("iteration", "active", "needed", "result", "changes", "measures", "records")


class Iterative(Protocol):
    """What a run asks of a solver; see `invgen.solvers.Solver`."""

    iterations: int
    tolerance: float
    recorded: ClassVar[tuple[int, ...]]
    reported: ClassVar[tuple[str, ...]]
    draws_samples: ClassVar[bool]

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def remedy(self) -> str:
        """What to do about a run that diverges."""

    def states(self, problem: Problem, state: State) -> Iterator[State]:
        """Yield the iterates."""

    def confined(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """An image within the field of view."""

    def penalty(self, problem: Problem, x: torch.Tensor) -> torch.Tensor | float:
        """What is minimised besides the data term."""


class Run:
    """One run of a solver: which batch elements still move, and what is recorded.

    A GPU is not waited for: what an iteration came to is read while the next one is computed. Where all
    elements have stopped, that one changes nothing of the result, and is no part of what is recorded.
    """

    @torch.no_grad()
    def __init__(self, solver: Iterative, problem: Problem, state: State) -> None:
        self.solver, self.problem = solver, problem
        self.space = problem.operator.domain
        self.state, self.result = state, state.x
        self.checkpoint: Checkpoint | None = None
        self.iteration = 0
        self.whole = True  # but within an iteration, where an interrupt leaves nothing to go on from
        self.end: int | None = None
        batch = problem.batch_shape
        self.active = torch.ones(batch, dtype=torch.bool, device=state.x.device)
        self.needed = torch.zeros(batch, dtype=torch.long, device=state.x.device)
        # data of zeros are no measure of divergence for a run that starts elsewhere
        data_term, first = problem.fit_of_zeros()
        if bool(state.x.any()):
            of_start, residual = problem.fit(state.x)
            data_term, first = torch.maximum(data_term, of_start), torch.maximum(first, residual)
        # nor are they for samples, which vary
        self.first_residual = torch.where(first > 0, first, torch.inf)
        self._start, self._first_data_term = state.x, torch.where(data_term > 0, data_term, torch.inf)
        self.changes: list[torch.Tensor] = []
        self.measures: list[torch.Tensor] = []
        self.records: list[tuple[int, torch.Tensor, torch.Tensor]] = []
        self._reports = Reports(state.x.device)

    def resume(self, options: Checkpoints, seeds: range, samples: int) -> None:
        """Go on from the checkpoint where there is one, and keep it from now on.

        It is of the samples of these seeds, of so many in the whole call.
        """
        self.checkpoint = Checkpoint(options, lambda: fingerprint(self.solver, self.problem, seeds, samples))
        saved = self.checkpoint.load(self.state.x.device)
        if saved is not None:
            self.state = State(x=saved["x"], **saved["variables"])
            for name in _KEPT:
                setattr(self, name, saved[name])

    def loop(self, bar: ProgressBar | None, done: int, callback: Callback | None) -> None:
        """Iterate until every batch element has converged or the iterations are spent.

        Of the `bar` so many iterations are `done` before.
        """
        # nothing is prepared for a run that has ended, or an empty batch
        self.end = None if bool(self.active.any()) else self.iteration
        states = self.solver.states(self.problem, self.state) if self._goes_on else iter(())
        try:
            while self._goes_on:
                state = self._next(states)
                if state is None:
                    break
                self._advance(state)
                if bar is not None:
                    bar.update(done + self.iteration)
                if callback is not None and callback(self.iteration, state) is True:
                    break
                if self.checkpoint is not None and self.checkpoint.is_due:
                    self.save()
        except (KeyboardInterrupt, Stopped):
            if self.whole:
                self.save()
            raise
        self._settle()
        if not self.records or self.records[-1][0] != self.iteration:
            self._record()
            self._settle()
        self._check_objective()

    @property
    def _goes_on(self) -> bool:
        return self.end is None and self.iteration < self.solver.iterations

    def forget(self) -> None:
        """Remove the checkpoint: nothing is left to go on from."""
        if self.checkpoint is not None:
            self.checkpoint.remove()

    def save(self) -> None:
        """Write the checkpoint, where one is kept."""
        if self.checkpoint is not None:
            self._settle()
            kept = {name: getattr(self, name) for name in _KEPT}
            self.checkpoint.save({"x": self.state.x, "variables": self.state.variables, **kept})

    def _next(self, states: Iterator[State]) -> State | None:
        try:
            return next(states, None)
        except DataError as error:  # an operator met NaN within the iteration
            raise self._divergence(self.iteration) from error

    def _advance(self, state: State) -> None:
        self.whole = False
        self.iteration += 1
        x_old, active = self.result, self.space.per_sample(self.active)
        self.result = torch.where(active, self.solver.confined(self.problem, state.x), x_old)
        found = self.result.detach()  # what is noted of an image takes no part in its derivative
        size = self.space.norm(found)
        change = self.space.norm(found - x_old) / size.clamp(min=torch.finfo(size.dtype).tiny)
        self.changes.append(change)
        self.needed += self.active
        measure = change if state.optimality is None else state.optimality
        self.measures.append(measure)
        for name in self.solver.reported:
            if name in self.state.variables:
                state.variables[name] = torch.where(self.active, state[name], self.state[name])
        self.active = self.active & ~(measure <= self.solver.tolerance)
        self.state = state
        self._report(~torch.isfinite(size).all(), self.active.any())
        if self.iteration in self.solver.recorded or self.iteration % 10 == 0:
            self._record()
        self.whole = True

    @torch.no_grad()
    def _record(self) -> None:
        data_term, residual = self.problem.fit(self.result)
        # of latent variables the penalty is none of the image's
        penalty = self.state.get("penalty", lambda: self.solver.penalty(self.problem, self.result))
        self.records.append((self.iteration, data_term + penalty, residual))
        self._data_term = data_term
        # a direct method, of one iterate in whatever scale, goes nowhere: it takes more to diverge
        if self.iteration > 1:
            self._report((residual > _RESIDUAL * self.first_residual).any(), self.active.any())

    @torch.no_grad()
    def _check_objective(self) -> None:
        """Refuse the end of a minimisation that is worse than its start: of steps too long, but few."""
        if self.iteration < 2 or self.solver.draws_samples or not self.problem.is_least_squares:
            return
        if "penalty" in self.state.variables:  # of latent variables, whose start is no image
            return
        most = _DATA_TERM * self._first_data_term
        objective = self.records[-1][1] - self.solver.penalty(self.problem, self._start)
        worse = (self._data_term > most) & (objective > most)
        self._report(worse.any(), self.active.any())
        self._settle()

    def _report(self, diverged: torch.Tensor, moves: torch.Tensor) -> None:
        """Whether an iteration diverged, and whether anything moves on after it."""
        for iteration, flags in self._reports.after(torch.stack([diverged, moves]), self.iteration):
            self._learn(iteration, *flags.tolist())

    def _learn(self, iteration: int, diverged: bool, moves: bool) -> None:
        if self.end is not None and iteration > self.end:
            return
        if diverged:
            raise self._divergence(iteration)
        if not moves:
            self.end = iteration

    def _settle(self) -> None:
        """Learn all that is still to come, and leave out what was computed beyond the end."""
        for iteration, flags in self._reports.rest():
            self._learn(iteration, *flags.tolist())
        if self.end is not None and self.iteration > self.end:
            self.iteration = self.end
            self.changes, self.measures = self.changes[: self.end], self.measures[: self.end]
            self.records = [record for record in self.records if record[0] <= self.end]

    def _divergence(self, iteration: int) -> DivergenceError:
        where = self._diverged()
        return DivergenceError(
            f"{self.solver.name} diverged at iteration {iteration}{where}. {self.solver.remedy}"
        )

    def _diverged(self) -> str:
        """Which elements of a batch are not finite any more, or the furthest from the data."""
        if not self.active.ndim:
            return ""
        bad = ~torch.isfinite(self.space.norm(self.result))
        if not bool(bad.any()) and self.records:
            ratio = self.records[-1][2] / self.first_residual
            bad = ratio == ratio.max()
        places = [tuple(place) for place in bad.nonzero().tolist()]
        if not places:
            return ""
        shown = ", ".join(str(place[0] if len(place) == 1 else place) for place in places[:8])
        return f", element {shown}{', ...' if len(places) > 8 else ''} of the batch"

    def history(self) -> dict[str, torch.Tensor]:
        """The recorded numbers as tensors."""
        iterations, objective, residual = zip(*self.records, strict=True)
        none = torch.zeros(0, *self.active.shape, device=self.active.device)
        return {
            "iteration": torch.tensor(iterations),
            "objective": torch.stack(objective),
            "residual": torch.stack(residual),
            "change": torch.stack(self.changes) if self.changes else none,
            "optimality": torch.stack(self.measures) if self.measures else none,
        }


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
        """Show that number of iterations as done."""
        self._progress.update(self._task, completed=iteration)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def in_chunks(
    planned: list[range],
    run: Callable[[range], T],
    begun: Callable[[int], int | None],
    fewer: Callable[[int], int],
) -> Iterator[tuple[range, T]]:
    """Run chunks of seeds one after another; where memory runs out, that chunk again in smaller ones.

    Parameters
    ----------
    planned : list of range
        Successive seeds, all chunks of one size but the last.
    run : callable(seeds)
    begun : callable(seed)
        Size of the chunk that a checkpoint has of this first seed, which goes on as it began; else None.
    fewer : callable(count)
        Size of a chunk to try after one of `count` seeds; zero where there is no smaller one.

    Yields
    ------
    range, object
        The seeds, and what comes of their run.

    Raises
    ------
    MemoryLimitError
        Where there is no memory for the smallest chunk.
    """
    first, end, size = planned[0].start, planned[-1].stop, len(planned[0])
    while first < end:
        seeds, shortage = range(first, min(first + (begun(first) or size), end)), ""
        try:
            found = run(seeds)
        except torch.OutOfMemoryError as error:
            shortage, size = brief(error, 200), fewer(len(seeds))
        if not shortage:
            yield seeds, found
            first = seeds.stop
            continue
        # here, where the error and all that it refers to are gone
        release_device_memory()
        if not size:
            raise MemoryLimitError(
                f"The memory of the device does not suffice, with nothing left to split. {shortage} Take "
                "smaller images, fewer particles or restarts, a prior in half precision "
                "(prior.evaluated('bfloat16')), or the CPU."
            )
