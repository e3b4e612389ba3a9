"""Whether a solver keeps the rules of its base."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from functools import partial
from typing import Any

import torch

from invgen.core.errors import CapabilityError, DataError, DtypeError, ShapeError
from invgen.core.files import temporary_folder
from invgen.noise import Gaussian
from invgen.operators import Radon
from invgen.phantoms import disc
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers import Solver, State
from invgen.testing.report import Checks, Report, distance, pickled, refuses_change, same_bits
from invgen.testing.samples import check_arguments, check_fresh_seed, check_history, check_seeds

__all__ = ["check_solver"]

#: Powers of two near a million: whatever has no scale of its own then comes out the same to rounding.
_FACTORS = (2.0**-20, 2.0**20)


def check_solver(
    solver: Solver, problem: Problem | None = None, *, seed: int = 0, skip: Collection[str] = ()
) -> Report:
    """Check a solver against the rules that all solvers keep, on a small problem.

    A batch gives what its elements give, with as many iterations for each; each stops where the measure of
    its optimality falls to the tolerance, and no later; the same call gives the same bits;
    a run that is interrupted and resumed gives what an uninterrupted one does, to the bit; a callback sees
    every iteration and can stop; ``c * y`` gives ``c * x`` where noise is scaled along or unknown; arguments
    that do not fit are refused; nothing outside is changed.

    Of solvers that move latent variables, x0 has these. A posterior sampler draws two samples with one seed.
    Its images have the scale of the data where its prior has a value range, and it finds the scale. Besides,
    sample i is the one of the seed plus i alone, however many are drawn at a time; their mean and standard
    deviation are right; and a fresh seed is reported and repeats the run.

    Parameters
    ----------
    solver : Solver
        With defaults, or with few iterations where it is slow.
    problem : Problem, optional
        With one batch axis and, for the rule "scale", Gaussian noise; by default projections of two discs.
    seed : int
        Of the noise.
    skip : collection of str
        Rules to leave out, by the names in the report, such as ``{"scale"}`` for a weight that is a number,
        or ``{"seeds"}`` for a sampler whose samples come about together.

    Returns
    -------
    Report

    Raises
    ------
    CheckError
        Names the rule that is broken and the figure that was measured.
    """
    if not isinstance(solver, Solver):
        raise DtypeError(f"check_solver expects a Solver; got {type(solver).__name__}.")
    checks = Checks(solver, skip, _RULES)
    problem = _two_discs(seed) if problem is None else problem
    if len(problem.batch_shape) != 1:
        raise ShapeError(f"check_solver needs one batch axis; this problem has {tuple(problem.batch_shape)}.")
    full = _Recorded(solver, problem)
    for rule, check in _RULES.items():
        checks.run(rule, partial(check, full, checks))
    return checks.report()


class _Recorded:
    """A solver, a problem, and a first run that the others are compared with."""

    def __init__(self, solver: Solver, problem: Problem) -> None:
        self.solver, self.problem = solver, problem
        self.draws = solver.draws_samples
        self.arguments: dict[str, Any] = {"seed": 0} | ({"samples": 2} if self.draws else {})
        self.seen: list[int] = []
        self.images: list[torch.Tensor] = []
        self.result = self.run(callback=self._record)
        self.x = self.result.x

    def run(self, problem: Problem | None = None, **arguments: Any) -> Reconstruction:
        """Call the solver, with one seed."""
        return self.solver(self.problem if problem is None else problem, **self.arguments, **arguments)

    def _record(self, iteration: int, state: State) -> None:
        self.seen.append(iteration)
        if len(self.images) < 3:
            self.images.append(state.x.clone())


def _two_discs(seed: int) -> Problem:
    A = Radon((16, 16), angles=12)
    objects = disc(5.0), disc(3.0, value=2.0, center=(2.0, -1.0))
    x = torch.stack([thing.image((16, 16), 1.0) for thing in objects])
    noise = Gaussian(0.3)
    return Problem(A, noise.sample(A(x), seed), noise)


def _variant(problem: Problem, dtype: torch.dtype, known: bool = True) -> Problem:
    y = problem.measurement
    y = y.to(dtype.to_complex() if y.is_complex() else dtype)
    return Problem(problem.operator, y, problem.noise if known else None)


def _check_result(full: _Recorded, checks: Checks) -> None:
    single = _variant(full.problem, torch.float32)
    for problem, result in ((full.problem, full.result), (single, full.run(single))):
        expected = problem.zeros()
        fits = result.x.shape == expected.shape and result.x.dtype == expected.dtype
        got = f"{tuple(result.x.shape)} {result.x.dtype} instead of {tuple(expected.shape)} {expected.dtype}"
        checks.true("result: image", fits, f"the image is {got}")
        checks.true("result: finite", bool(torch.isfinite(result.x).all()), "the image is not finite")
        needed = {"solver", "iterations", "converged", "operator_calls", "seconds", "peak_memory"}
        missing = needed - set(result.stats)
        checks.true("result: stats", not missing, f"stats lack {missing}")
        check = check_history if full.draws else _check_estimate
        check(full.solver, problem, result, checks)


def _check_estimate(solver: Solver, problem: Problem, result: Reconstruction, checks: Checks) -> None:
    stats, history, batch = result.stats, result.history, problem.batch_shape
    iterations = stats["iterations"]
    each = iterations.shape == batch and stats["converged"].shape == batch
    checks.true("result: stats", each, "iterations and converged are not given for each batch element")
    within = bool((iterations >= 1).all() and (iterations <= solver.iterations).all())
    checks.true("result: stats", within, f"{iterations.tolist()} iterations of at most {solver.iterations}")
    records, steps = len(history["iteration"]), int(iterations.max())
    shapes = [history[name].shape for name in ("objective", "residual", "change", "optimality")]
    fits = shapes == [(records, *batch), (records, *batch), (steps, *batch), (steps, *batch)]
    checks.true("result: history", fits, f"history has the shapes {[tuple(shape) for shape in shapes]}")
    last = same_bits(history["residual"][-1], problem.residual_norm(result.x))
    checks.true("result: history", last, "the last residual is not that of the image")


def _check_optimality(full: _Recorded, checks: Checks) -> None:
    """The measure that a run stops on is recorded, and each element stops where it falls to the tolerance."""
    if full.draws:
        checks.leave_out("optimality", "samples have none")
        return
    measure, stats = full.result.history["optimality"], full.result.stats
    finite = bool(torch.isfinite(measure).all() and (measure >= 0).all())
    checks.true("optimality: numbers", finite, "the measure is negative, NaN or infinite")
    for i, (needed, converged) in enumerate(zip(stats["iterations"], stats["converged"], strict=True)):
        below = measure[: int(needed), i] <= full.solver.tolerance
        early = bool(below[:-1].any())
        checks.true("optimality: stops", not early, f"element {i} goes on though its measure is small enough")
        same = bool(below[-1]) == bool(converged)
        meaning = f"element {i} is said to have converged where its measure says otherwise"
        checks.true("optimality: converged", same, meaning)


def _check_determinism(full: _Recorded, checks: Checks) -> None:
    again = full.run().x
    checks.true("determinism: repeat", same_bits(again, full.x), "the second call gave other bits")
    if "seed" in full.result.stats:
        check_fresh_seed(full.solver, full.problem, checks)
    else:
        same = same_bits(full.solver(full.problem).x, full.x)
        checks.true("determinism: no seed", same, "a seed changes the bits, and the statistics have none")
    copy = _Recorded(pickled(full.solver), full.problem).x
    checks.true("determinism: pickling", same_bits(copy, full.x), "a pickled copy gives other bits")


def _check_immutability(full: _Recorded, checks: Checks) -> None:
    fixed = refuses_change(full.solver)
    checks.true("immutability: attributes", fixed, "attributes can be set after construction")
    zeros = full.solver.start_space(full.problem).zeros(full.problem.batch_shape, full.problem.zeros())
    x0, y = zeros + 0.1, full.problem.measurement.clone()
    kept, before = x0.clone(), _global_state()
    full.run(x0=x0)
    checks.true("immutability: start", same_bits(x0, kept), "the call changed x0")
    checks.true("immutability: data", same_bits(full.problem.measurement, y), "the call changed the data")
    checks.true("immutability: global", _global_state() == before, "the call changed PyTorch's global state")


def _global_state() -> list[Any]:
    return [
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    ]


def _check_batch(full: _Recorded, checks: Checks) -> None:
    problem = full.problem
    for i, y in enumerate(problem.measurement):
        one = full.run(Problem(problem.operator, y, problem.noise))
        apart = distance(full.x[i], one.x)
        checks.at_most("batch", apart, 1e-6, "a batch differs from its elements one by one")
        needed = torch.as_tensor(full.result.stats["iterations"]).expand(problem.batch_shape)[i]
        same = int(needed) == one.stats["iterations"]
        checks.true("batch: iterations", same, "an element stops at another iteration within a batch")


def _steps(result: Reconstruction) -> int:
    """Iterations of the element that took the most."""
    return int(torch.as_tensor(result.stats["iterations"]).max())


def _check_callback(full: _Recorded, checks: Checks) -> None:
    steps = _steps(full.result)
    every = full.seen == list(range(1, steps + 1))
    checks.true("callback: every iteration", every, f"the callback saw the iterations {full.seen}")
    stopped = full.run(callback=lambda iteration, state: iteration == 2)
    stops = _steps(stopped) == min(2, steps)
    checks.true("callback: stop", stops, "a callback that gives True does not stop the run")


def _check_stepping(full: _Recorded, checks: Checks) -> None:
    """Compare what a user gets who writes the loop with what a call gives."""
    states = full.solver.iterate(full.problem, **full.arguments)
    for image, state in zip(full.images, states, strict=False):
        checks.true("stepping: state", isinstance(state, State), "iterate does not yield states")
        same = same_bits(state.x, image)
        checks.true("stepping: same", same, "iterate gives other images than a call")


class _Interruption(KeyboardInterrupt):
    """Ctrl-C in the middle of a run."""


def _check_resume(full: _Recorded, checks: Checks) -> None:
    middle = _steps(full.result) // 2
    if middle < 1:
        checks.leave_out("resume", "a single iteration")
        return

    def interrupt(iteration: int, state: State) -> None:
        if iteration == middle:
            raise _Interruption

    states = full.solver.iterate(full.problem, **full.arguments)
    first, second = next(states), next(states)
    again = next(full.solver.iterate(full.problem, first, **full.arguments))
    checks.true("resume: state", same_bits(again.x, second.x), "iterate from a state gives other images")
    with temporary_folder() as folder:
        path = folder / "checkpoint"
        with contextlib.suppress(_Interruption):
            full.run(callback=interrupt, checkpoint=path)
        checks.true("resume: saved", path.exists(), "an interruption left no checkpoint")
        seen: list[int] = []
        resumed = full.run(callback=lambda k, state: seen.append(k), checkpoint=path)
        checks.true("resume: continues", seen[:1] == [middle + 1], f"resumed with the iterations {seen[:1]}")
        checks.true("resume: same", same_bits(resumed.x, full.x), "a resumed run gives other bits")
        history = full.result.history
        same = all(same_bits(resumed.history[name], history[name]) for name in history)
        checks.true("resume: history", same, "a resumed run has another history")
        checks.true("resume: removed", not path.exists(), "the checkpoint of a complete run is left over")


def _check_start(full: _Recorded, checks: Checks) -> None:
    solver, problem = full.run, full.problem
    space = full.solver.start_space(problem)
    zeros = space.zeros(problem.batch_shape, problem.zeros())
    one_for_all = torch.full(space.shape, 0.1, dtype=zeros.dtype)
    same = same_bits(solver(problem, x0=one_for_all).x, solver(problem, x0=one_for_all.expand_as(zeros)).x)
    checks.true("start: batch", same, "one x0 for a whole batch is not taken as one for each element")
    known = full.solver.described(problem)
    if not full.draws and same_bits(full.solver.resolved(known).initial(known), zeros):
        same = same_bits(solver(problem, x0=zeros).x, full.x)
        checks.true("start: default", same, "x0=0 differs from no x0, which starts there")
    with checks.raises("start: shape", ShapeError, "x0 of another shape must be refused"):
        solver(problem, x0=zeros[..., 1:])
    with checks.raises("start: NaN", DataError, "x0 with NaN must be refused"):
        solver(problem, x0=zeros + float("nan"))
    with checks.raises("start: array", DtypeError, "x0 as a NumPy array must be refused"):
        solver(problem, x0=zeros.numpy())


def _check_scale(full: _Recorded, checks: Checks) -> None:
    if full.draws and format_of(full.solver.prior).value_range is None:  # type: ignore[attr-defined]
        checks.leave_out("scale", "its prior has images of one unit")
        return
    for known in (True, False):
        problem = _variant(full.problem, torch.float32, known)
        x = full.run(problem).x
        for factor in _FACTORS:
            scaled = full.run(problem.scaled(factor)).x / factor
            name = f"scale: {'known' if known else 'unknown'} noise"
            meaning = f"{factor:.0e} * y does not give {factor:.0e} * x"
            checks.at_most(name, distance(scaled, x), 1e-4, meaning)


def _check_errors(full: _Recorded, checks: Checks) -> None:
    solver, problem = full.solver, full.problem
    with checks.raises("errors: problem", DtypeError, "a tensor instead of a problem must be refused"):
        solver(problem.measurement)
    with checks.raises("errors: keyword", TypeError, "an unknown keyword must be refused"):
        solver(problem, nonsense=1)  # type: ignore[call-arg]
    with checks.raises("errors: keyword", TypeError, "an unknown parameter must be refused"):
        type(solver)(**{**vars(solver), "nonsense": 1})
    if full.draws:
        check_arguments(solver, problem, checks)
        return
    with checks.raises("errors: samples", CapabilityError, "samples of a point estimate must be refused"):
        solver(problem, samples=2)


def _check_seeds(full: _Recorded, checks: Checks) -> None:
    if full.draws:
        check_seeds(full.solver, full.problem, full.result, checks)


_RULES = {
    "result": _check_result,
    "optimality": _check_optimality,
    "determinism": _check_determinism,
    "immutability": _check_immutability,
    "batch": _check_batch,
    "callback": _check_callback,
    "stepping": _check_stepping,
    "resume": _check_resume,
    "start": _check_start,
    "scale": _check_scale,
    "seeds": _check_seeds,
    "errors": _check_errors,
}
