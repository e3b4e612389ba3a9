"""Samplers by the ranks of truths among their samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Self

from invgen.bench.record import Outcome
from invgen.bench.suite import Entry, Task
from invgen.bench.suites.data import own_seed
from invgen.bench.suites.samplers import SamplerSuite
from invgen.certification.ranks import rank_truths
from invgen.certification.uniformity import bins_of
from invgen.core.checks import as_count
from invgen.core.fingerprint import fingerprint
from invgen.solvers.methods import used_for
from invgen.solvers.sampling.base import PosteriorSampler

__all__ = ["Ranked"]

#: Truths that are one batch for samplers that draw each sample by itself.
_BATCH = 10

#: Problems in eight dimensions: of one mode, and of several.
_CASES = ("dense-8", "mixture-8-1", "mixture-8-4")


@dataclass(frozen=True)
class Ranked(SamplerSuite):
    """Simulation-based calibration and TARP of every sampler, by `invgen.certification.rank_truths`.

    Parameters
    ----------
    data, samplers, cases, settings, seeds
        See `SamplerSuite`; without names, problems are in eight dimensions.
    replicas : int
        Truths, each of a prior and an operator of its own.
    samples : int
        That each is ranked among.

    Raises
    ------
    ParameterError
        As `SamplerSuite`, and for numbers of which ranks cannot be tested.
    """

    replicas: int = 500
    samples: int = 49

    name = "ranks"
    about = (
        "Ranks of truths from the prior among the samples that a sampler draws of their posteriors: "
        "simulation-based calibration (Talts et al. 2018) by pixels, likelihood and prior density, and TARP "
        "(Lemos et al. 2023). Prior, operator and truth are drawn anew in each replica: nothing is tuned, "
        "and there are no images to be kept apart."
    )
    primary = "tarp_gap"
    brief = ("sbc", "tarp_p", "rank_variance", "network_evaluations", "seconds")

    def __post_init__(self) -> None:
        bins_of(as_count(self.replicas, "replicas"), as_count(self.samples, "samples"))
        super().__post_init__()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each problem."""
        return tuple(Task(name, ("replicas",)) for name in self.cases or _CASES)

    def quick(self) -> Self:
        """One problem, few replicas and iterations."""
        return replace(self, cases=("dense-8",), replicas=20, samples=19, settings={"iterations": 20})

    def content(self, task: Task, image: str, seed: int) -> str:
        """Fingerprint of a first draw of prior, operator and noise, and of the numbers."""
        own = own_seed(seed, task.name, image)
        return fingerprint(self.case(task).setting(own), own, self.replicas, self.samples)

    def judge(
        self, entry: Entry, settings: Mapping[str, float], task: Task, image: str, seed: int
    ) -> Outcome:
        """Rank the truths.

        Raises
        ------
        CapabilityError, DivergenceError
            From the sampler: what it cannot do, and where it diverges.
        """
        began = perf_counter()
        found = rank_truths(
            lambda prior: entry.solve(prior, settings, seed),
            self.case(task),
            replicas=self.replicas,
            samples=self.samples,
            measurements=math.gcd(self.replicas, _BATCH) if self._each_alone(entry) else 1,
            seed=own_seed(seed, task.name, image),
        )
        measures = {
            "sbc": found.calibration,
            "tarp_p": found.tarp,
            "tarp_gap": found.gap,
            "rank_variance": found.variance,
        }
        costs = {
            "seconds": perf_counter() - began,
            "network_evaluations": found.evaluations,
        }
        return Outcome(measures, costs)

    @staticmethod
    def _each_alone(entry: Entry) -> bool:
        """Whether a sampler draws each sample by itself, so that those of a batch can be shared out."""
        solver = used_for("certify")[entry.name].solver
        return issubclass(solver, PosteriorSampler) and not solver.together
