"""Who competes in a suite: its own entries, those that are named, and the user's own method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from invgen.bench.names import imported, require_name
from invgen.bench.suite import Entry, Suite
from invgen.core.errors import DtypeError
from invgen.priors.files.checkpoints import shipped
from invgen.problem import Problem
from invgen.solvers import Solver

__all__ = ["competitors", "own_entry"]


def competitors(
    suite: Suite, methods: Collection[str] | None = None, priors: Collection[str] = ()
) -> list[Entry]:
    """Entries of a suite, by names.

    Parameters
    ----------
    suite : Suite
    methods : collection of str, optional
        By default the suite's own entries.
    priors : collection of str
        Names or files of priors: methods that take one compete with each of them, instead of their own.

    Raises
    ------
    ParameterError
        For unknown names, with the nearest ones.
    """
    known = {*shipped(), *(entry.prior for entry in suite.entries if entry.prior)}
    for given in priors:
        if not Path(given).is_file():
            require_name(given, known, "prior")
    named = dict.fromkeys(each.name for each in suite.entries) if methods is None else methods
    found: dict[tuple[str, str], Entry] = {}
    for name in named:
        own = [each for each in suite.entries if each.name == name]
        if priors or not own:
            own = [suite.entry(name, prior) for prior in priors or (None,)]
        found |= {(each.name, each.prior): each for each in own}
    return list(found.values())


@dataclass(frozen=True)
class _Own:
    """The user's method, as an entry calls it."""

    method: Callable[..., Any]
    samples: int

    def __call__(self, problem: Problem, settings: Mapping[str, float], seed: int) -> Any:
        if isinstance(self.method, Solver):
            return self.method(problem, seed=seed, samples=self.samples if self.method.draws_samples else 1)
        return self.method(problem, **({"seed": seed} if _takes_seed(self.method) else {}))


def _takes_seed(method: Callable[..., Any]) -> bool:
    try:
        return "seed" in inspect.signature(method).parameters
    except (TypeError, ValueError):  # of what is not written in Python
        return False


def own_entry(method: Any, samples: int = 8) -> Entry:
    """An entry of the user's own method.

    Parameters
    ----------
    method : callable, str or Entry
        ``problem -> Reconstruction or tensor``, with `seed` as a further argument if it takes one; a solver;
        or the dotted name of such an object, ``package.module:name``.
    samples : int
        That a sampler among the solvers draws.

    Raises
    ------
    ParameterError
        Where there is nothing of that name.
    DtypeError
        For what cannot be called.
    """
    if isinstance(method, Entry):
        return replace(method, kind="own")
    found = imported(method) if isinstance(method, str) else method
    if not callable(found):
        raise DtypeError(
            f"A method is called with a problem and returns an image; got {type(found).__name__}."
        )
    name = getattr(found, "__name__", type(found).__name__)
    return Entry(name, _Own(found, samples), "own")
