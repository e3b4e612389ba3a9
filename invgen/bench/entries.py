"""Entries made of the methods of this package, by the one table of them, `invgen.solvers.methods`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from invgen.bench.suite import Entry, Knob
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian, Unknown
from invgen.priors import NonLocalMeans, TotalVariation, Wavelet, load
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers import FISTA
from invgen.solvers.methods import find

__all__ = ["KNOBS", "Configured", "Wavelets", "entry", "noise_level", "wavelets"]

#: What is tuned of each method, and between which ends. Weights of penalties are in units of one over the
#: standard deviation of the noise.
KNOBS: dict[str, Knob] = {
    "fbp": Knob("cutoff", 0.1, 1.0, is_bounded=True),
    **{name: Knob("weight", 0.03, 30.0) for name in ("tv", "wavelets", "ista", "admm", "condat-vu")},
    **{name: Knob("weight", 0.02, 10.0) for name in ("pnp-hqs", "pnp-admm", "pnp-pgd", "red")},
    **{name: Knob("weight", 0.1, 10.0) for name in ("diffpir", "red-diff", "csgm", "ilo", "flow-map", "map")},
    "dds": Knob("gamma", 0.2, 100.0),
    "dps": Knob("zeta", 0.3, 30.0),
    "pulse": Knob("weight", 0.005, 0.5),
}

#: Denoisers that need no training, by the names that stand for a prior.
_DENOISERS = {"non-local-means": NonLocalMeans}


@functools.lru_cache(maxsize=4)
def _loaded(prior: str) -> Any:
    return _DENOISERS[prior]() if prior in _DENOISERS else load(prior)


@dataclass(frozen=True)
class Configured:
    """A method of the table with a prior and hyper-parameters, as an entry calls it.

    Attributes
    ----------
    method, use : str
        As in `invgen.solvers.methods`.
    prior : str
        Name or file of a prior, for methods that load one.
    settings : mapping
        Hyper-parameters; those of the entry's knob go before them. `nonnegative` is that of total variation.
    samples : int
        Of samplers.
    """

    method: str
    use: str
    prior: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 1

    def __call__(self, problem: Problem, settings: Mapping[str, float], seed: int) -> Reconstruction:
        """Solve a problem."""
        method, given = find(self.method, self.use), {**self.settings, **settings}
        build: Any = method.solver
        if method.penalized:
            nonnegative = given.pop("nonnegative", False)
            weight = given.pop("weight", None)
            chosen = "auto" if weight is None else weight / noise_level(problem)
            joint = -3 if len(problem.operator.domain.shape) == 3 else None  # edges are those of all colors
            solver = build(TotalVariation(chosen, nonnegative=nonnegative, joint=joint), **given)
        elif method.loads_prior:
            solver = build(_loaded(self.prior), **given)
        else:
            solver = build(**given)
        return solver(problem, seed=seed, samples=self.samples if method.samples else 1)


@dataclass(frozen=True)
class Wavelets:
    """The l1 norm of wavelet coefficients by `FISTA`, as an entry calls it."""

    levels: int = 4
    wavelet: str = "db4"

    def __call__(self, problem: Problem, settings: Mapping[str, float], seed: int) -> Reconstruction:
        """Solve a problem."""
        weight = settings.get("weight")
        chosen = "auto" if weight is None else weight / noise_level(problem)
        return FISTA(Wavelet(chosen, self.wavelet, self.levels), iterations=300)(problem)


def noise_level(problem: Problem) -> float:
    """The standard deviation of the noise of a problem; of unequal noise that of the mean weight.

    Raises
    ------
    CapabilityError
        Where the noise is not Gaussian, or of an unknown level.
    """
    if not isinstance(problem.noise, Gaussian) or isinstance(problem.noise, Unknown):
        raise CapabilityError("A weight in units of the noise needs Gaussian noise of a known level.")
    return float(problem.mean_weight) ** -0.5


def entry(
    method: str, use: str, prior: str = "", *, samples: int = 1, knob: bool = True, **settings: Any
) -> Entry:
    """Make the entry of a method, by its name in the table of methods.

    Parameters
    ----------
    method, use, prior, samples, settings
        As of `Configured`.
    knob : bool
        Whether the knob of the method, where it has one in `KNOBS`, is tuned.

    Raises
    ------
    ParameterError
        For a method or a hyper-parameter that there is not, and a method that lacks its prior.
    """
    found = find(method, use)
    if found.loads_prior and not prior:
        raise ParameterError(f"{method} needs a prior: name one that ships, or a file.")
    found.check({name: value for name, value in settings.items() if name != "nonnegative"})
    return Entry(
        method,
        Configured(method, use, prior, settings, samples),
        "learned" if found.loads_prior and prior not in _DENOISERS else "baseline",
        prior,
        KNOBS.get(method) if knob else None,
    )


def wavelets(levels: int = 4, wavelet: str = "db4") -> Entry:
    """Make the entry of sparsity in a wavelet transform."""
    return Entry("wavelets", Wavelets(levels, wavelet), knob=KNOBS["wavelets"])
