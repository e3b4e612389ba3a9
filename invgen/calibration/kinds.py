"""Of which kind a problem is: what must be the same of those that one calibration is for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError, ParameterError
from invgen.core.fingerprint import fingerprint
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver

__all__ = ["Kind", "conditions_of", "settings_of", "solver_settings"]

#: Hyper-parameters that change nothing but units and memory, and the prior, which has a fingerprint.
_FREE = ("prior", "scale", "chunk_size")

#: Of operators: what stands elsewhere.
_ELSEWHERE = ("domain", "range")

#: Of a fingerprint.
_DIGITS = 16

#: What all problems share whatever else differs.
_SHARED = ("operator", "image", "noise")

#: By how much each condition, a logarithm, may be beyond those of the calibration at least.
_MARGINS = {"data per unknown": 0.2, "noise level": 0.2, "signal to noise": 0.2, "weight": 0.5}


@dataclass(frozen=True)
class Kind:
    """The solver, and what the problems that a calibration is for have in common.

    Attributes
    ----------
    settings : mapping of str to str, number, bool or None
        What is the same: "operator", "image", "noise", "solver", "prior", "samples", hyper-parameters of the
        solver, and those settings of the operator that were the same of all calibration problems, large ones
        by their fingerprint.
    ranges : mapping of str to (float, float)
        Least and largest of numbers that vary: "data per unknown", "noise level" (of the measurement, in
        units of the solver's scale where it reports one), "signal to noise", and "weight", that of the prior
        where the solver reports it, since it may be chosen from the data.
    """

    settings: Mapping[str, Any]
    ranges: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, settings: Sequence[Mapping[str, Any]], conditions: Sequence[Mapping[str, Tensor]]) -> Kind:
        """What problems have in common.

        Raises
        ------
        ParameterError
            Where that is too little.
        """
        first = settings[0]
        common = {
            name: value
            for name, value in first.items()
            if all(name in each and each[name] == value for each in settings)
        }
        for name in first:
            if name not in common and not name.startswith("operator's"):
                values = list(dict.fromkeys(_shown(each.get(name)) for each in settings))
                raise ParameterError(
                    f"A calibration is for one kind of problem; these differ in {name}: "
                    f"{', '.join(values[:3])}. Calibrate each kind by itself."
                )
        ranges = {}
        for name in conditions[0]:
            if all(name in each for each in conditions):
                logarithms = torch.cat([each[name].reshape(-1) for each in conditions])
                ranges[name] = (float(logarithms.min().exp()), float(logarithms.max().exp()))
        return cls(common, ranges)

    def other_solver(self, settings: Mapping[str, Any]) -> str:
        """What a solver has that the calibration's has not; empty where they are the same."""
        return self._other(settings, {name for name in self.settings if not _of_problem(name)})

    def other_problem(self, settings: Mapping[str, Any]) -> str:
        """What of operator, image and noise the calibration has not; empty where they are the same."""
        return self._other(settings, {name for name in self.settings if _of_problem(name)})

    def beyond(self, conditions: Mapping[str, Tensor], images: int) -> str:
        """Which number of a problem is beyond those of so many calibration images; empty where none is.

        Beyond by more than their ends are uncertain: of Gaussian logarithms some three standard deviations.
        """
        for name, (low, high) in self.ranges.items():
            if name not in conditions:
                return f"{name} is not known, calibrated from {low:.3g} to {high:.3g}"
            margin = _MARGINS.get(name, 0.0) + 2 * math.log(high / low) / math.sqrt(images)
            values = conditions[name].reshape(-1)
            beyond = (values < math.log(low) - margin) | (values > math.log(high) + margin)
            if bool(beyond.any()):
                value = float(values[beyond][0].exp())
                return f"{name} {value:.3g}, calibrated from {low:.3g} to {high:.3g}"
        return ""

    def _other(self, settings: Mapping[str, Any], names: set[str]) -> str:
        for name in self.settings:
            own, other = self.settings[name], settings.get(name)
            if name in names and own != other:
                if name == "prior":
                    return "another prior, or another precision of its network"
                if _is_fingerprint(own):
                    return f"{name} is not the same"
                return f"{name} {_shown(other)}, calibrated with {_shown(own)}"
        return ""


def settings_of(problem: Problem) -> dict[str, Any]:
    """Operator, image and noise of a problem, as JSON can hold them."""
    space, operator = problem.operator.domain, problem.operator
    found: dict[str, Any] = {
        "operator": operator.name,
        "image": f"{' x '.join(map(str, space.shape))} {space.field}",
        "noise": problem.likelihood.name,
    }
    for name, value in vars(operator).items():
        derived = isinstance(getattr(type(operator), name, None), cached_property)
        if derived or name in (*_ELSEWHERE, *operator.incidental):
            continue
        parts = _fields(value)
        for part, setting in parts.items() or {name: value}.items():
            found[f"operator's {part.strip('_')}"] = _plain(setting)
    return found


def solver_settings(solver: Solver, samples: int, weighted: bool) -> dict[str, Any]:
    """Solver, hyper-parameters, prior and number of samples.

    Parameters
    ----------
    solver : Solver
    samples : int
        Zero of estimates.
    weighted : bool
        A weight, of the solver or its prior, has a range instead: it may be chosen from the data.
    """
    found: dict[str, Any] = {"solver": solver.name, "samples": samples}
    values = {name: value for name, value in _fields(solver).items() if name not in _FREE}
    prior: Any = getattr(solver, "prior", None)
    if weighted and values.pop("weight", None) is None and "weight" in _fields(prior):
        prior = replace(prior, weight=1.0)
    if prior is not None:
        found["prior"] = fingerprint(prior)[:_DIGITS]
    return found | {f"{solver.name}'s {name}": _plain(value) for name, value in values.items()}


def _fields(thing: Any) -> dict[str, Any]:
    """Fields of a dataclass by name; of anything else none."""
    return {each.name: getattr(thing, each.name) for each in fields(thing)} if is_dataclass(thing) else {}


def conditions_of(problem: Problem, reconstruction: Reconstruction) -> dict[str, Tensor]:
    """Logarithms of numbers that vary among problems of a kind, float64, shape of the batch."""
    space = problem.operator.domain
    unknowns = space.size * (2 if space.field == "complex" else 1)
    count = torch.as_tensor(problem.count(), dtype=torch.float64).expand(problem.batch_shape)
    found = {"data per unknown": (count / unknowns).clamp(min=1e-30).log()}
    weight = reconstruction.stats.get("weight")
    if isinstance(weight, float | Tensor):
        weight = torch.as_tensor(weight, dtype=torch.float64).clamp(min=1e-300)
        found["weight"] = weight.log().expand(problem.batch_shape)
    y = problem.measurement
    if problem.likelihood.level_known and not isinstance(y, tuple):
        axes = problem.operator.range.axes

        def level(v: Tensor) -> Tensor:
            return (v.abs().double().square().sum(axes) / count).clamp(min=1e-60).log() / 2

        try:
            signal = level(problem.likelihood.standardized(torch.zeros_like(y), y))
        except CapabilityError:
            return {name: value.cpu() for name, value in found.items()}
        scale = torch.as_tensor(reconstruction.stats.get("scale", 1.0), dtype=torch.float64).to(y.device)
        found |= {"noise level": level(y) - signal - scale.log(), "signal to noise": signal}
    return {name: value.cpu() for name, value in found.items()}


def _of_problem(name: str) -> bool:
    return name in _SHARED or name.startswith("operator's")


def _plain(value: Any) -> Any:
    """A number, a text or a truth value as it is, whole numbers as such; else a fingerprint."""
    if (
        value is None
        or isinstance(value, bool | str)
        or (isinstance(value, int | float) and math.isfinite(value))
    ):
        return value
    return fingerprint(value)[:_DIGITS]


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", value) is not None


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
