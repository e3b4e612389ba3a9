"""How a scan was measured and reconstructed, as far as statistics depend on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from invgen.core.errors import CapabilityError
from invgen.core.fingerprint import fingerprint
from invgen.problem import Problem
from invgen.solvers.base import Solver

__all__ = ["conditions_of", "prior_of", "protocol_of"]

#: Hyper-parameters that are no part of a protocol: of units, of memory, and the prior itself.
_FREE = ("prior", "scale", "chunk_size")

#: Of the fingerprint of a prior.
_DIGITS = 16


def prior_of(solver: Solver) -> Any:
    """The prior of a solver.

    Raises
    ------
    CapabilityError
        For a solver without one.
    """
    prior = getattr(solver, "prior", None)
    if prior is None:
        raise CapabilityError(f"{type(solver).__name__} has no prior, under which a scan could be plausible.")
    return prior


def protocol_of(solver: Solver, problem: Problem) -> dict[str, Any]:
    """What a calibration must have been made with."""
    found: dict[str, Any] = {
        "prior": fingerprint(prior_of(solver))[:_DIGITS],
        "operator": problem.operator.name,
        "solver": type(solver).__name__,
    }
    if is_dataclass(solver):
        values = {each.name: getattr(solver, each.name) for each in fields(solver) if each.name not in _FREE}
        found |= {
            name: float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
            for name, value in values.items()
            if isinstance(value, int | float | str)
        }
        found |= {name: str(value) for name, value in values.items() if isinstance(value, tuple)}
    return found


def conditions_of(problem: Problem, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Logarithms of numbers on which statistics may depend."""
    space, batch = problem.operator.domain, problem.batch_shape
    unknowns = space.size * (2 if space.field == "complex" else 1)
    found = {
        "data per unknown": (problem.count() / unknowns).log(),
        "pixels": torch.full(batch, math.log(space.size), dtype=torch.float64),
    }
    try:
        y = problem.measurement
        white = problem.likelihood.standardized(torch.zeros_like(y), y).abs().double().square()
    except (CapabilityError, TypeError):
        return {name: value.cpu() for name, value in found.items()}
    energy = (white.sum(problem.operator.range.axes) / problem.count()).clamp(min=1e-30).log() / 2
    # of the noise that the data show, where they do: that which is stated may be wrong
    found["signal to noise"] = energy - statistics.get("noise", 0.0)
    return {name: value.cpu() for name, value in found.items()}
