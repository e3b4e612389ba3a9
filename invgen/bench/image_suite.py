"""Suites of images: each image of a task is measured once, and every method sees the same measurement."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping

from invgen.bench.measures import Instance, as_reconstruction, measure
from invgen.bench.record import Outcome
from invgen.bench.suite import Entry, Suite, Task
from invgen.core.counting import count_calls
from invgen.core.fingerprint import fingerprint

__all__ = ["ImageSuite"]


class ImageSuite(Suite):
    """A suite whose problems are images; a subclass says how each was measured."""

    primary = "psnr"

    @abstractmethod
    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """An image and its measurement, the same whenever it is asked for; the operator is a new object.

        Where it costs more than the fastest method, what is slow of it is kept in a cache: the data that are
        read, and the measurement, but not the operator, whose norms and plans count as work of the method.
        """

    def content(self, task: Task, image: str, seed: int) -> str:
        """Fingerprint of a problem and its truth."""
        found = self.instance(task, image, seed)
        problem = found.problem
        return fingerprint(problem.operator, problem.measurement, problem.noise, found.truth, found.mask)

    def judge(
        self, entry: Entry, settings: Mapping[str, float], task: Task, image: str, seed: int
    ) -> Outcome:
        """Solve one problem and measure the result."""
        given = self.instance(task, image, seed)
        with count_calls(given.problem.operator) as calls:
            began = time.perf_counter()
            found = entry.solve(given.problem, settings, seed)
            seconds = time.perf_counter() - began
        result = as_reconstruction(found, given)
        costs = {"seconds": seconds, "operator_calls": float(sum(calls.values()))}
        if "network_evaluations" in result.stats:
            costs["network_evaluations"] = float(result.stats["network_evaluations"])
        arrays = {"image": result.x, "truth": given.truth}
        if result.std is not None:
            arrays["std"] = result.std
        return Outcome(measure(result, given, seed), costs, arrays, _plain(result.stats))


def _plain(stats: Mapping[str, object]) -> dict[str, object]:
    """Those of the statistics that are numbers or words and are not measured otherwise."""
    elsewhere = ("seconds", "peak_memory", "operator_calls", "network_evaluations")
    return {
        name: value
        for name, value in stats.items()
        if name not in elsewhere and isinstance(value, bool | int | float | str)
    }
