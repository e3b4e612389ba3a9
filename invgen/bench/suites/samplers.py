"""What suites of samplers on known problems share: samplers as entries, problems as tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from invgen.bench.names import require_name
from invgen.bench.suite import Entry, Suite, Task
from invgen.bench.suites.data import file
from invgen.certification.cases import CASES, DIGITS, digits_of, find_case
from invgen.certification.samplers import Sampler
from invgen.certification.setting import Case
from invgen.solvers.methods import used_for

__all__ = ["SamplerSuite"]


@dataclass(frozen=True)
class _Sampled:
    """As an entry calls it: a sampler of a prior, with settings."""

    sampler: Sampler

    def __call__(self, prior: Any, settings: Mapping[str, float], seed: int) -> Any:
        return replace(self.sampler, settings={**self.sampler.settings, **settings}).build(prior)


@dataclass(frozen=True)
class SamplerSuite(Suite):
    """Samplers on problems of `invgen.certification.CASES`.

    Parameters
    ----------
    data : path
        Folder of data, for the problem "digits".
    samplers : tuple of str
        Those that compete, as `invgen.solvers.methods` names them for "certify"; all, if empty.
    cases : tuple of str
        Problems; those of the subclass, if empty.
    settings : mapping
        Hyper-parameters of every sampler.
    seeds : tuple of int

    Raises
    ------
    ParameterError
        For unknown names, and hyper-parameters that a sampler does not have.
    """

    data: Path
    samplers: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        methods = used_for("certify")
        for name in self.samplers or methods:
            require_name(name, methods, "sampler")
            methods[name].check(self.settings)
        for name in self.cases:
            require_name(name, CASES, "problem")

    @property
    def entries(self) -> tuple[Entry, ...]:
        """A sampler each."""
        names = self.samplers or used_for("certify")
        return tuple(Entry(name, _Sampled(Sampler(name, self.settings))) for name in names)

    def case(self, task: Task) -> Case:
        """The problem of a task."""
        return digits_of(file(self.data, DIGITS)) if task.name == "digits" else find_case(task.name)
