"""Solvers: an algorithm is one method that yields states; what all share is in `invgen.solvers.run`.

A solver is a frozen dataclass of hyper-parameters. Calling it runs it to the end; `Solver.iterate` steps it.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import torch

from invgen.convex.weights import rule_of
from invgen.core.checks import as_count
from invgen.core.counting import count_calls
from invgen.core.errors import CapabilityError, DtypeError, ParameterError, ShapeError
from invgen.operators import Space
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.checkpoint import Checkpoints, samples_in
from invgen.solvers.run import Callback, ProgressBar, Run, in_chunks, peak_memory
from invgen.solvers.state import State

__all__ = ["Solver"]


class Solver:
    """Base of all solvers; each is a frozen dataclass that gives these two its own defaults.

    A subclass gives `steps`, the algorithm, and where something depends on the problem alone, `prepare`.

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

    #: Whole numbers among the hyper-parameters, beside `iterations`, and the least that each may be.
    counts: ClassVar[dict[str, int]] = {}

    #: Whether it draws samples; else it gives one estimate.
    draws_samples: ClassVar[bool] = False

    #: Whether the image of a call carries the gradient of the measurement, as PyTorch differentiates it.
    differentiable: ClassVar[bool] = False

    #: Variables of a state, one number for each batch element, that are reported: of elements that have
    #: stopped, those of then.
    reported: ClassVar[tuple[str, ...]] = ()

    #: History costs a projection for each record: it holds these iterations and every tenth.
    recorded: ClassVar[tuple[int, ...]] = (1, 2, 5)

    def __post_init__(self) -> None:
        for name, least in {"iterations": 1, **self.counts}.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_count(value, f"{self.name}'s {name}", least=least))
        if not self.tolerance >= 0:
            raise ParameterError(f"tolerance is not negative; got {self.tolerance!r}.")

    def prepare(self, problem: Problem) -> Any:
        """What the steps need and the problem alone determines: computed once for each run."""
        return None

    def steps(self, problem: Problem, prepared: Any, state: State) -> Iterator[State]:
        """Yield the iterates: the algorithm.

        Parameters
        ----------
        problem : Problem
        prepared
            What `prepare` returned.
        state : State
            Of an earlier run, with its variables, or the first image alone.
        """
        raise NotImplementedError

    def states(self, problem: Problem, state: State) -> Iterator[State]:
        """Yield the iterates of a solver that is `resolved`, from a state."""
        return self.steps(problem, self.prepare(problem), state)

    def penalty(self, problem: Problem, x: torch.Tensor) -> torch.Tensor | float:
        """What the solver minimises besides the data term, shape of the batch."""
        prior = getattr(self, "prior", None)
        if prior is None:
            return 0.0
        value, batch = prior.value(x), problem.batch_shape
        # images with axes of their own, such as channels, count together; -1 would refuse an empty batch
        return value.reshape(*batch, math.prod(value.shape[len(batch) :])).sum(-1)

    def start_space(self, problem: Problem) -> Space:
        """The space of `x0`: that of images, or of what else the steps move."""
        return problem.operator.domain

    def initial(self, problem: Problem) -> torch.Tensor:
        """Where to start without `x0`."""
        return problem.zeros()

    def confined(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """`x`, zero where the operator sees nothing, as in its model: a prior would make it up."""
        return problem.operator.restrict(x)

    def described(self, problem: Problem) -> Problem:
        """The problem as the method takes it, such as with a noise level that was estimated."""
        return problem

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

    def rule(self, problem: Problem) -> dict[str, Any]:
        """What a solver that is not resolved adds: the rule that its weight follows, of several a tuple.

        "given", "discrepancy" or "sure"; see `invgen.convex.weights`.
        """
        weight = getattr(getattr(self, "prior", None), "weight", None)
        if weight is None:
            return {}
        parts = weight if isinstance(weight, tuple) else (weight,)
        rules = tuple(rule_of(part, problem) for part in parts)
        return {"weight_rule": rules if isinstance(weight, tuple) else rules[0]}

    def chunks(self, x: torch.Tensor, samples: int, seed: int) -> list[range]:
        """Seeds of the samples that each run of a call draws; an estimate is one run, which has none."""
        return [range(1)]

    def fewer(self, samples: int) -> int:
        """Number of samples to draw at a time where memory ran out with so many; zero where it is fixed."""
        return 0

    def begin(self, problem: Problem, x: torch.Tensor, seeds: range, seed: int) -> tuple[Problem, State]:
        """The problem and the state that a run begins with, for the samples of these seeds.

        `seed` is that of the first sample of the call.
        """
        return problem, State(x=x)

    def collected(self, problem: Problem, runs: list[Run], samples: int, seed: int) -> Reconstruction:
        """The reconstruction that the runs come to, with the statistics of this kind of solver."""
        (run,) = runs
        batched = bool(problem.batch_shape)
        stats = {
            "iterations": run.needed if batched else int(run.needed),
            "converged": ~run.active if batched else not bool(run.active),
        }
        return Reconstruction(run.result, history=run.history(), stats=stats)

    def diagnostics(self, ends: list[State]) -> dict[str, Any]:
        """What the last states of all runs add to the statistics."""
        return {}

    @torch.no_grad()
    def iterate(
        self,
        problem: Problem,
        x0: torch.Tensor | State | None = None,
        *,
        samples: int = 1,
        seed: int | None = None,
    ) -> Iterator[State]:
        """Step the solver: ``for state in solver.iterate(problem): ...``.

        Solvers that a call ends by their tolerance go on for as long as states are asked for.

        Parameters
        ----------
        problem : Problem
        x0 : tensor or State, optional
            Where to start, as in a call, or the state to go on from.
        samples, seed : int
            As in a call; all samples advance together.

        Yields
        ------
        State
            After each iteration, as the callback of a call gets it. Its `x` is the image, of samplers all
            samples, (samples, *batch, *image).
        """
        samples, seed = self._checked_call(problem, samples, seed)
        known = self.described(problem)
        solver = self.resolved(known)
        zeros = solver.start_space(known).zeros(known.batch_shape, known.zeros())
        start = zeros if isinstance(x0, State) else solver._start(known, x0, samples)
        chunks = solver.chunks(zeros, samples, seed)
        part, state = solver.begin(known, start, range(chunks[0].start, chunks[-1].stop), seed)
        state = x0 if isinstance(x0, State) else state
        yield from solver.states(part, state)

    def __call__(
        self,
        problem: Problem,
        *,
        x0: torch.Tensor | None = None,
        samples: int = 1,
        seed: int | None = None,
        progress: bool = False,
        callback: Callback | None = None,
        checkpoint: str | Path | Checkpoints | None = None,
    ) -> Reconstruction:
        """Solve a problem.

        Parameters
        ----------
        problem : Problem
        x0 : tensor, shape (*batch, *image), optional
            Where to start; samplers start at a rough reconstruction by default, and take one start for each
            sample, (samples, *batch, *image), as well. Of methods that move latent variables, these,
            (*batch, *latent).
        samples : int
            Number of samples of the posterior, from samplers; other solvers give one estimate.
        seed : int, optional
            Sample i follows from ``seed + i``, alike for each batch element. By default a fresh one, which is
            reported in the statistics.
        progress : bool
            Show a progress bar.
        callback : callable(iteration, state), optional
            Called after each iteration; returning True stops. On a GPU, which is not waited for, it may see
            one iteration more than there are in the history.
        checkpoint : path or Checkpoints, optional
            File to save the state to once a minute, or as `invgen.solvers.checkpoint.Checkpoints` says, and
            at an interruption. Where it exists the run goes on from it, with the same result as if it had
            never stopped; it is removed at the end.

        Returns
        -------
        Reconstruction
            Of samplers with `samples` (n, *batch, *image), their mean `x` and, of two or more, `std`; in its
            history the axis of samples comes before those of the batch.

        Raises
        ------
        DivergenceError
            When an iterate leaves the finite numbers or its residual explodes.
        CapabilityError
            For noise, operators and priors that the method cannot handle.
        FileError
            When the checkpoint belongs to another solver, prior, operator, noise or measurement.
        """
        samples, seed = self._checked_call(problem, samples, seed)
        began = time.perf_counter()
        with (
            torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()),
            count_calls(problem.operator, denoiser=getattr(self, "prior", None)) as calls,
        ):
            known = self.described(problem)
            solver = self.resolved(known)
            x = solver._start(known, x0, samples)
            own_starts = self.draws_samples and x.ndim > known.zeros().ndim
            chunks = solver.chunks(x[0] if own_starts else x, samples, seed)
            runs: list[Run] = []
            kept = Checkpoints(Path(checkpoint)) if isinstance(checkpoint, str | Path) else checkpoint

            def kept_of(first: int) -> Checkpoints | None:
                """Each chunk of samples has a file of its own."""
                return None if kept is None else kept.of_run(first - seed if runs else 0)

            def begun(first: int) -> int | None:
                own = kept_of(first)
                return None if own is None or not solver.fewer(samples) else samples_in(own.path)

            def drawn(seeds: range) -> Run:
                first = x[seeds.start - seed : seeds.stop - seed] if own_starts else x
                own = kept_of(seeds.start)
                try:
                    run = Run(solver, *solver.begin(known, first, seeds, seed))
                    if own is not None:
                        run.resume(own, seeds, samples)
                    run.loop(bar, len(runs) * self.iterations, callback)
                except torch.OutOfMemoryError:
                    if own is not None:  # what follows is a chunk of another size
                        own.path.unlink(missing_ok=True)
                    raise
                return run

            with ProgressBar(self.name, self.iterations * len(chunks)) if progress else nullcontext() as bar:
                for seeds, run in in_chunks(chunks, drawn, begun, solver.fewer):
                    if seeds != range(chunks[0].start, chunks[-1].stop):
                        run.save()  # the chunks that follow may still be interrupted
                    runs.append(run)
            for run in runs:
                run.forget()
        collected = solver.collected(known, runs, samples, seed)
        evaluations = calls.pop("denoiser")
        stats = {
            "solver": self.name,
            **solver.statistics(),
            **self.rule(known),
            **collected.stats,
            **({"network_evaluations": evaluations / len(runs)} if evaluations or self.draws_samples else {}),
            "operator_calls": dict(calls),
            **solver.diagnostics([run.state for run in runs]),
            "seconds": time.perf_counter() - began,
            "peak_memory": peak_memory(x.device),
        }
        return replace(collected, stats=stats)

    def _start(self, problem: Problem, x0: torch.Tensor | None, samples: int) -> torch.Tensor:
        """Where to start, in the precision and the batch of the problem; samplers may start each sample."""
        if x0 is None:
            return self.initial(problem)
        space = self.start_space(problem)
        space.check(x0, "x0")
        zeros = space.zeros(problem.batch_shape, problem.zeros())
        each = (samples,) if self.draws_samples and x0.ndim > zeros.ndim else ()
        try:
            return x0.to(zeros).expand(*each, *zeros.shape)
        except RuntimeError:
            raise ShapeError(
                f"x0 of the shape {tuple(x0.shape)} does not fit {(*each, *zeros.shape)}."
            ) from None

    def _checked_call(self, problem: Problem, samples: int, seed: int | None) -> tuple[int, int]:
        """Number of samples and first seed of a call."""
        if not isinstance(problem, Problem):
            raise DtypeError(f"{self.name} expects a Problem; got {type(problem).__name__}.")
        problem.check_values()
        samples = as_count(samples, "samples")
        if samples != 1 and not self.draws_samples:
            raise CapabilityError(f"{self.name} gives one estimate; for samples use a posterior sampler.")
        if seed is None:
            return samples, secrets.randbelow(2**31)
        if not isinstance(seed, Integral) or isinstance(seed, bool):
            raise ParameterError(f"seed is a whole number; got {seed!r}.")
        return samples, int(seed)

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
