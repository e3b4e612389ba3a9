"""Timing, and the table that a benchmark prints."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date

import torch

from invgen.bench.version import machine, versions


def seconds(function: Callable[[], object], repeats: int = 7) -> float:
    """Median wall time of a call, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def race(*functions: Callable[[], object], rounds: int = 50) -> list[float]:
    """Shortest wall time of each call, taken in turns: short calls are hit by whatever else runs."""
    best = [math.inf] * len(functions)
    for function in functions:
        function()
    for _ in range(rounds):
        for i, function in enumerate(functions):
            began = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - began)
    return best


class Report:
    """Rows of a Markdown table, printed as they come."""

    def __init__(self) -> None:
        made_with = ", ".join(f"{name} {version}" for name, version in versions().items())
        print(f"\n{date.today()}, {machine()}, {torch.get_num_threads()} threads; {made_with}\n")
        print("| what | measured | wanted | |\n|---|---|---|---|", flush=True)
        self.failed = 0

    def row(self, what: str, measured: str, wanted: str = "", reached: bool | None = None) -> None:
        """Print one figure, and whether it is what was wanted."""
        self.failed += reached is False
        mark = {True: "yes", False: "**no**", None: ""}[reached]
        print(f"| {what} | {measured} | {wanted} | {mark} |", flush=True)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Relative l2 distance of a to b."""
    return float(
        torch.linalg.vector_norm(a - b, dtype=_wide(b)) / torch.linalg.vector_norm(b, dtype=_wide(b))
    )


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float64)


class Milestones:
    """When an iteration came how close to its goal."""

    DISTANCES = (0.1, 0.05, 0.02, 0.01)

    def __init__(self, goal: torch.Tensor, patience: float = math.inf) -> None:
        self.goal, self.patience = goal, patience
        self.seconds: dict[float, float] = {}
        self.spent, self.distance = 0.0, math.inf

    def __call__(self, spent: float, x: torch.Tensor) -> bool:
        """Note the time; True ends the run."""
        self.spent, self.distance = spent, relative(x, self.goal)
        for wanted in self.DISTANCES:
            if self.distance < wanted:
                self.seconds.setdefault(wanted, spent)
        return self.distance < self.DISTANCES[-1] or spent > self.patience


def run(*sections: Callable[[Report], None]) -> None:
    """Run the sections that the command line names, or all; exit with 1 where a figure is missed.

    Words that begin with ``--`` are for the sections.
    """
    named = {section.__name__: section for section in sections}
    report = Report()
    for name in [word for word in sys.argv[1:] if not word.startswith("--")] or named:
        named[name](report)
    sys.exit(report.failed > 0)
