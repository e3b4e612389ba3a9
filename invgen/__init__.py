"""invgen: images from incomplete, noisy measurements, with generative models as priors.

``measurement = noise(operator(image))``; a solver combines operator, measurement, noise and prior:

>>> import invgen as ig
>>> A = ig.operators.Radon((128, 128), angles=60)
>>> problem = ig.Problem(A, y, noise=ig.noise.Gaussian(0.5))
>>> image = ig.solvers.PDHG(ig.priors.TotalVariation())(problem).x
"""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invgen import (
        bench,
        calibration,
        certification,
        chains,
        figures,
        io,
        metrics,
        noise,
        operators,
        phantoms,
        pipeline,
        plausibility,
        priors,
        simulate,
        solvers,
        testing,
    )
    from invgen.core import errors
    from invgen.core.memory import memory_limit
    from invgen.core.threads import deterministic
    from invgen.pipeline import reconstruct
    from invgen.problem import Problem
    from invgen.reconstruction import Reconstruction

__version__ = _version("invgen")

#: What is not a submodule of the same name, and the module that has it.
_ELSEWHERE = {
    "Problem": "invgen.problem",
    "Reconstruction": "invgen.reconstruction",
    "deterministic": "invgen.core.threads",
    "errors": "invgen.core",
    "memory_limit": "invgen.core.memory",
    "reconstruct": "invgen.pipeline",
}

__all__ = [
    "Problem",
    "Reconstruction",
    "bench",
    "calibration",
    "certification",
    "chains",
    "deterministic",
    "errors",
    "figures",
    "io",
    "memory_limit",
    "metrics",
    "noise",
    "operators",
    "phantoms",
    "pipeline",
    "plausibility",
    "priors",
    "reconstruct",
    "simulate",
    "solvers",
    "testing",
]


def __getattr__(name: str) -> Any:
    """Load a submodule when it is first used: importing invgen stays as fast as importing torch."""
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(_ELSEWHERE[name]), name)
    if name in __all__:
        return importlib.import_module(f"invgen.{name}")
    raise AttributeError(f"module 'invgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
