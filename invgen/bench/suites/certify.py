"""Samplers where the posterior is known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from invgen.bench.names import require_name
from invgen.bench.record import Outcome
from invgen.bench.suite import Entry, Suite, Task
from invgen.bench.suites.data import file, own_seed
from invgen.certification.cases import CASES, DIGITS, Case, digits_of, find_case
from invgen.certification.figures import certify, require_enough
from invgen.certification.samplers import Sampler
from invgen.core.fingerprint import fingerprint
from invgen.solvers.methods import used_for

__all__ = ["Certify"]


@dataclass(frozen=True)
class _Sampled:
    """As an entry calls it: a sampler of a prior, with settings."""

    sampler: Sampler

    def __call__(self, prior: Any, settings: Mapping[str, float], seed: int) -> Any:
        return replace(self.sampler, settings={**self.sampler.settings, **settings}).build(prior)


@dataclass(frozen=True)
class Certify(Suite):
    """Every sampler on problems whose posterior is known, by `invgen.certification.certify`.

    Parameters
    ----------
    data : path
        Folder of data, for the problem "digits".
    samplers : tuple of str
        Those that compete, as `invgen.solvers.methods` names them for "certify"; all, if empty.
    cases : tuple of str
        Problems, of `invgen.certification.CASES`; all, if empty, that of digits where they are in the folder.
    draws : int
        The number of independent repetitions, each with priors, operators and truths of its own.
    samples, measurements, rounds : int
        Of each of them.
    settings : mapping
        Hyper-parameters of every sampler.
    seeds : tuple of int

    Raises
    ------
    ParameterError
        For unknown names, hyper-parameters that a sampler does not have, and numbers too small for figures.
    """

    data: Path
    samplers: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    draws: int = 3
    samples: int = 1000
    measurements: int = 10
    rounds: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)

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
        methods = used_for("certify")
        for name in self.samplers or methods:
            require_name(name, methods, "sampler")
            methods[name].check(self.settings)
        for name in self.cases:
            require_name(name, CASES, "problem")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each problem."""
        here = self.cases or [name for name in CASES if name != "digits" or (self.data / DIGITS).is_file()]
        draws = tuple(f"draw {i + 1}" for i in range(self.draws))
        return tuple(Task(name, draws) for name in here)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """A sampler each."""
        names = self.samplers or used_for("certify")
        return tuple(Entry(name, _Sampled(Sampler(name, self.settings))) for name in names)

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
        setting = self._case(task).setting(own)
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
            self._case(task),
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

    def _case(self, task: Task) -> Case:
        return digits_of(file(self.data, DIGITS)) if task.name == "digits" else find_case(task.name)
