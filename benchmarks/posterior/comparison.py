"""Methods with one knob each, tuned on some images and compared on others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.optimize import minimize_scalar
from torch import Tensor

import invgen as ig
from benchmarks.report import Report
from invgen.bench.entries import noise_level
from invgen.solvers import PDHG

__all__ = ["Method", "Task", "compare", "sampler", "total_variation"]

#: Reconstructions that the search for a knob may take.
_TRIALS = 6

Quality = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class Task:
    """The same measurement of images to tune on, and of others to report on."""

    name: str
    tuning: tuple[ig.Problem, Tensor]
    test: tuple[ig.Problem, Tensor]


@dataclass(frozen=True)
class Method:
    """``solve(problem, knob, final)``; the knob is searched between two ends, in its logarithm."""

    name: str
    solve: Callable[[ig.Problem, float, bool], Tensor]
    low: float
    high: float
    learned: bool = False

    def tuned(self, task: Task, quality: Quality) -> float:
        """The knob that is best on the images to tune on."""
        problem, truth = task.tuning
        found = minimize_scalar(
            lambda log: -quality(self.solve(problem, math.exp(log), False), truth),
            bounds=(math.log(self.low), math.log(self.high)),
            method="bounded",
            options={"maxiter": _TRIALS, "xatol": 0.1},
        )
        return math.exp(float(found.x))


def total_variation(nonnegative: bool = False) -> Method:
    """Total variation; its knob is the weight in units of ``1 / std`` of the noise."""

    def solve(problem: ig.Problem, knob: float, final: bool) -> Tensor:
        prior = ig.priors.TotalVariation(knob / noise_level(problem), nonnegative=nonnegative)
        return PDHG(prior)(problem).x

    return Method("TV", solve, 0.03, 30.0)


def sampler(name: str, make: Callable[[float], Any], low: float, high: float, samples: int) -> Method:
    """The mean of samples; of two while the knob is searched."""

    def solve(problem: ig.Problem, knob: float, final: bool) -> Tensor:
        return make(knob)(problem, samples=samples if final else 2, seed=0).x

    return Method(name, solve, low, high, learned=True)


def compare(
    report: Report, task: Task, methods: Sequence[Method], quality: Quality, gain: float | None = None
) -> dict[str, Tensor]:
    """Tune each method, print what it reaches on the other images, and by how much learned ones are ahead.

    Parameters
    ----------
    report, task, methods, quality
    gain : float, optional
        How much that should be.

    Returns
    -------
    dict of str to tensor
        The reconstructions.
    """
    problem, truth = task.test
    images, reached = {}, {True: (-math.inf, ""), False: (-math.inf, "")}
    for method in methods:
        knob = method.tuned(task, quality)
        images[method.name] = method.solve(problem, knob, True)
        found = quality(images[method.name], truth)
        report.row(f"{task.name}: {method.name}, knob {knob:.3g}", f"{found:.2f} dB")
        reached[method.learned] = max(reached[method.learned], (found, method.name))
    (ours, best), (theirs, other) = reached[True], reached[False]
    name, value = f"{task.name}: {best} over {other}", f"{ours - theirs:+.2f} dB"
    if gain is None:
        report.row(name, value)
    else:
        report.row(name, value, f"{gain:+g} dB", ours - theirs >= gain)
    return images
