"""What posterior samplers keep besides the rules of all solvers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from invgen.core.errors import CapabilityError, ParameterError
from invgen.core.moments import moments
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.testing.report import Checks, distance, same_bits

__all__ = ["check_arguments", "check_fresh_seed", "check_history", "check_seeds"]


def check_history(solver: Any, problem: Problem, result: Reconstruction, checks: Checks) -> None:
    """Samples have an axis of their own, in the history too; mean and standard deviation are theirs."""
    drawn, stats, history = result.samples, result.stats, result.history
    shape = (2, *problem.zeros().shape)
    checks.true(
        "result: samples", drawn is not None and drawn.shape == shape, f"no samples of the shape {shape}"
    )
    assert drawn is not None
    spread = moments(drawn, result.antithetic).std
    deviates = result.std is not None and distance(result.std, spread) <= 1e-6
    same = deviates and distance(result.x, drawn.mean(0)) <= 1e-6
    checks.true("result: samples", same, "mean and std are not those of the samples")
    missing = {"samples", "seed", "network_evaluations"} - set(stats)
    checks.true("result: stats", not missing, f"stats lack {missing}")
    steps, records = stats["iterations"], len(history["iteration"])
    within = 1 <= steps <= solver.iterations and stats["network_evaluations"] > 0
    meaning = f"{steps} iterations of {solver.iterations}, {stats['network_evaluations']} evaluations"
    checks.true("result: stats", within, meaning)
    batch = (2, *problem.batch_shape)
    shapes = [history[name].shape for name in ("objective", "residual", "change")]
    fits = shapes == [(records, *batch), (records, *batch), (steps, *batch)]
    checks.true("result: history", fits, f"history has the shapes {[tuple(shape) for shape in shapes]}")
    last = same_bits(history["residual"][-1], problem.repeated(2).residual_norm(drawn))
    checks.true("result: history", last, "the last residuals are not those of the samples")


def check_seeds(solver: Any, problem: Problem, result: Reconstruction, checks: Checks) -> None:
    """Sample i is the one of the seed plus i, alone; a fresh seed is reported."""
    drawn = result.samples
    assert drawn is not None
    checks.true("seeds: each", not same_bits(drawn[0], drawn[1]), "both samples are the same")
    for i in range(1 if result.antithetic else 2):
        alone = solver(problem, seed=i).x
        apart = distance(drawn[i], alone)
        checks.at_most("seeds: each", apart, 1e-4, "sample i is not that of the seed plus i, alone")
    one_by_one = replace(solver, chunk_size=1)(problem, samples=2, seed=0).samples
    checks.at_most(
        "seeds: chunks",
        distance(one_by_one, drawn),
        1e-4,
        "samples depend on how many are drawn at a time",
    )


def check_fresh_seed(solver: Any, problem: Problem, checks: Checks) -> None:
    """Without a seed there is one all the same."""
    first, second = solver(problem), solver(problem)
    again = solver(problem, seed=first.stats["seed"])
    checks.true(
        "determinism: reported seed", same_bits(again.x, first.x), "the reported seed gives other bits"
    )
    checks.true(
        "determinism: fresh seed", not same_bits(second.x, first.x), "without a seed every run is the same"
    )


def check_arguments(solver: Any, problem: Problem, checks: Checks) -> None:
    """Samples, seeds and priors that are none are refused."""
    for samples in (0, 1.5):
        with checks.raises("errors: samples", ParameterError, f"samples={samples} must be refused"):
            solver(problem, samples=samples)
    with checks.raises("errors: seed", ParameterError, "a seed that is no whole number must be refused"):
        solver(problem, seed=0.5)
    with checks.raises("errors: prior", CapabilityError, "a prior that denoises nothing must be refused"):
        replace(solver, prior=object())
