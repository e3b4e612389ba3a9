"""Suites of images: each image of a task is measured once, and every method sees the same measurement."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from invgen.bench.entries import Configured, entry
from invgen.bench.measures import Instance, as_reconstruction, measure
from invgen.bench.names import require_name
from invgen.bench.record import Outcome
from invgen.bench.suite import Entry, Suite, Task, find_entry
from invgen.core.counting import count_calls
from invgen.core.fingerprint import fingerprint
from invgen.reconstruction import Reconstruction
from invgen.solvers.methods import Method, find, used_for

__all__ = ["ImageSuite"]


class ImageSuite(Suite):
    """A suite whose problems are images; a subclass says how each was measured.

    Attributes
    ----------
    use : str
        What its problems are in the table of methods: "imaging", "parallel", "cartesian", ...
    samples : int
        That samplers draw.
    sampling : mapping
        Hyper-parameters that samplers have here.
    """

    use: str
    primary = "psnr"
    samples: int = 8
    sampling: Mapping[str, Any] = MappingProxyType({"scale": 1.0})

    def entry(self, method: str, prior: str | None) -> Entry:
        """The suite's own entry of that name, else one of the table of methods.

        A method that needs a prior, where none is named, has that of the suite's first entry whose method
        needs the same kind of prior, else of the first that has learned one.
        """
        own = [each for each in self.entries if each.name == method]
        for each in own:
            if not each.prior or prior in (None, each.prior):
                return each
        if own and prior is not None and isinstance(own[0].solve, Configured):
            solve = replace(own[0].solve, prior=prior)
            return replace(own[0], prior=prior, solve=solve, missing=None)  # which was of the suite's prior
        table = used_for(self.use)
        require_name(method, {*table, *(e.name for e in self.entries)}, f"method for {self.name}")
        if method not in table:
            return find_entry(self.entries, method, prior)  # which says what priors there are
        found = table[method]
        return self.from_table(method, (prior or self._prior(found)) if found.loads_prior else "")

    def from_table(self, method: str, prior: str = "", **settings: Any) -> Entry:
        """An entry of the table of methods; samplers have the suite's samples and hyper-parameters."""
        found = find(method, self.use)
        given = {n: v for n, v in self.sampling.items() if found.samples or n == "scale"}
        known = {name: value for name, value in given.items() if name in found.hyperparameters}
        return entry(method, self.use, prior, samples=self.samples, **known | settings)

    def _prior(self, method: Method) -> str:
        """Name of the prior of the suite that a method can use; "" where the suite has none."""
        table, learned = used_for(self.use), [e for e in self.entries if e.kind == "learned"]
        fitting = [e for e in learned if e.name in table and table[e.name].prior is method.prior]
        return next((e.prior for e in (*fitting, *learned)), "")

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
        own = result.stats.get("operator_calls", calls)  # of a solver, which counts by itself
        costs = {"seconds": seconds, "operator_calls": float(sum(own.values()))}
        if "network_evaluations" in result.stats:
            costs["network_evaluations"] = float(result.stats["network_evaluations"])
        arrays = {"image": result.x, "truth": given.truth}
        if result.std is not None:
            arrays["std"] = result.std
        return Outcome(self.measures(result, given, seed), costs, arrays, _plain(result.stats))

    def measures(self, result: Reconstruction, given: Instance, seed: int) -> dict[str, float]:
        """The measures of a result; a protocol whose definitions are others has its own."""
        return measure(result, given, seed)


def _plain(stats: Mapping[str, object]) -> dict[str, object]:
    """Those of the statistics that are numbers or words and are not measured otherwise."""
    elsewhere = ("seconds", "peak_memory", "operator_calls", "network_evaluations")
    return {
        name: value
        for name, value in stats.items()
        if name not in elsewhere and isinstance(value, bool | int | float | str)
    }
