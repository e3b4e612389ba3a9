"""Samplers where the posterior is known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Self

from invgen.bench.record import Outcome
from invgen.bench.suite import Entry, Task
from invgen.bench.suites.data import own_seed
from invgen.bench.suites.samplers import SamplerSuite
from invgen.certification.cases import DIGITS, VECTORS
from invgen.certification.figures import certify, require_enough
from invgen.core.fingerprint import fingerprint

__all__ = ["Certify"]


@dataclass(frozen=True)
class Certify(SamplerSuite):
    """Every sampler on problems whose posterior is known, by `invgen.certification.certify`.

    Parameters
    ----------
    data, samplers, cases, settings, seeds
        See `SamplerSuite`; without names, problems are those of `VECTORS`, and that of digits where they
        are in the folder.
    draws : int
        The number of independent repetitions, each with priors, operators and truths of its own.
    samples, measurements, rounds : int
        Of each of them.

    Raises
    ------
    ParameterError
        As `SamplerSuite`, and for numbers too small for figures.
    """

    draws: int = 3
    samples: int = 1000
    measurements: int = 10
    rounds: int = 2

    name = "certify"
    about = (
        "Posterior samplers on problems whose posterior is known exactly: Gaussians, the mixtures of Cardoso "
        "et al. (2024), and fifty digits where the folder of data has them. A sampler sees of the "
        "prior its denoiser, and of a Gaussian a linear generator, whose evaluations are counted for each "
        "sample. Prior, operator and truths are random: "
        "nothing is tuned, and there are no images to be kept apart."
    )
    primary = "excess"
    brief = ("mean_bias", "variance_ratio", "coverage_90", "network_evaluations", "seconds")

    def __post_init__(self) -> None:
        require_enough(self.samples, self.measurements, self.rounds)
        super().__post_init__()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each problem."""
        here = self.cases or [name for name in VECTORS if name != "digits" or (self.data / DIGITS).is_file()]
        draws = tuple(f"draw {i + 1}" for i in range(self.draws))
        return tuple(Task(name, draws) for name in here)

    def quick(self) -> Self:
        """A Gaussian and a mixture, the fewest samples and measurements that give figures, few iterations."""
        return replace(
            self,
            cases=("dense-8", "mixture-8-1"),
            draws=1,
            samples=200,
            rounds=1,
            settings={"iterations": 40},
        )

    def content(self, task: Task, image: str, seed: int) -> str:
        """Fingerprint of a first draw of prior, operator and noise, and of the numbers."""
        own = own_seed(seed, task.name, image)
        setting = self.case(task).setting(own)
        return fingerprint(setting, own, self.samples, self.measurements, self.rounds)

    def judge(
        self, entry: Entry, settings: Mapping[str, float], task: Task, image: str, seed: int
    ) -> Outcome:
        """Certify a sampler.

        Raises
        ------
        CapabilityError, DivergenceError
            From the sampler: what it cannot do, and where it diverges.
        """
        figures = certify(
            lambda prior: entry.solve(prior, settings, seed),
            self.case(task),
            samples=self.samples,
            measurements=self.measurements,
            rounds=self.rounds,
            seed=own_seed(seed, task.name, image),
        )
        found = asdict(figures) | {"excess": figures.excess}
        costs = {
            "seconds": found.pop("seconds"),
            "network_evaluations": found.pop("evaluations"),
            "network_derivatives": found.pop("derivatives"),
        }
        return Outcome(found, costs)
