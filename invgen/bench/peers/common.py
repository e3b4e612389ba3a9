"""What adapters share: whether a package is there, and data in units of the noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from invgen.bench.entries import KNOBS, noise_level
from invgen.bench.suite import Entry, Knob
from invgen.core.errors import CapabilityError
from invgen.noise import Gaussian
from invgen.problem import Problem

__all__ = ["WEIGHT", "other", "precision", "relative_weight", "why_missing"]

Solve = Callable[[Problem, Mapping[str, float], int], Any]

#: Weight of a penalty over the inverse standard deviation of the noise, as this package's entries have it.
WEIGHT = KNOBS["tv"]

#: Modules by the distributions that hold them.
_MODULES = {
    "algotom": "algotom",
    "astra-toolbox": "astra",
    "deepinv": "deepinv",
    "finufft": "finufft",
    "invgen": "invgen",
    "odl": "odl",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "scipy": "scipy",
    "sigpy": "sigpy",
}


def why_missing(*packages: str) -> str | None:
    """What to install, where one of these distributions is not there; None where all are."""
    absent = [package for package in packages if find_spec(_MODULES[package]) is None]
    return f"needs {' and '.join(absent)}: pip install {' '.join(absent)}" if absent else None


def other(
    name: str,
    packages: tuple[str, ...],
    solve: Solve,
    knob: Knob | None = None,
    has_default: bool = False,
) -> Entry:
    """An entry of the first of these distributions, which needs all of them."""
    return Entry(name, solve, "peer", "", knob, has_default, packages[0], why_missing(*packages))


def relative_weight(problem: Problem, settings: Mapping[str, float]) -> float:
    """The knob as a weight beside ``|A x - y|^2 / 2``, data not being divided by the noise."""
    return settings["weight"] * noise_level(problem)


def precision(problem: Problem) -> Tensor | float:
    """``1 / std`` of each number, which makes noise white; zero where nothing is known.

    Raises
    ------
    CapabilityError
        Where the noise is not Gaussian, independent and of a known level.
    """
    noise = problem.noise
    if not isinstance(noise, Gaussian) or noise.std is None:
        raise CapabilityError("This entry needs independent Gaussian noise of a known level.")
    std = noise.std.like(problem.measurement)
    return float(1 / std) if std.ndim == 0 else 1 / std.expand(problem.measurement.shape).to(torch.float32)
