"""Where the host may wait for a GPU: each place, how often, and why. Everywhere else it must not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

__all__ = ["FIRST", "LAST", "LATER", "OPERATORS", "PRIORS", "Wait", "beyond"]


@dataclass(frozen=True)
class Wait:
    """A function that may read values on the host, or send some there, and how often in what is counted."""

    file: str
    function: str
    often: int
    why: str


#: The second application of an operator, and its adjoint.
OPERATORS = [
    Wait("operators/odl.py", "", 20, "ODL computes with NumPy, on the host"),
    Wait("operators/basic.py", "Map._apply", 2, "functions of the test, which move what they need each time"),
    Wait("operators/basic.py", "_SciPyOperator", 4, "SciPy computes on the host"),
]

#: The second call of a prior's method.
PRIORS = [
    Wait(
        "priors/denoisers/classical.py",
        "_Library._denoise",
        6,
        "scikit-image and bm3d compute on the host; of complex images both parts",
    ),
    Wait("priors/densities/nearest_neighbors.py", "", 2, "SciPy searches its tree on the host"),
    Wait(
        "priors/densities/tangent_kernels.py",
        "TangentKernelDensity.",
        2,
        "different levels; a Cholesky factor",
    ),
    Wait("priors/autoregressive/context_table.py", "", 2, "whole numbers of coders are added on the host"),
    Wait("priors/diffusion/reverse.py", "flow_log_prob", 200, "a fixed number of steps by torchdiffeq"),
    Wait("invgen/noise/gaussian.py", "Gaussian.__init__", 1, "the noise model that ProxDenoiser runs on"),
    Wait("priors/denoisers/proximal.py", "ProxDenoiser._iterated", 10, "of a run: every twenty iterations"),
    Wait("invgen/convex/discrepancy.py", "discrepancy_weight", 20, "ProxDenoiser's search of a weight"),
    Wait("invgen/convex/functions.py", "Function._batch_weight", 1, "the weight that was found"),
    Wait("invgen/noise/gaussian.py", "Gaussian.", 1, "the noise model of that search"),
    Wait("invgen/problem.py", "Problem.count", 1, "the data that it counts"),
]

#: Before and in the first iteration of a solver: what is found once for a problem.
FIRST = [
    Wait("invgen/core/space.py", "check_finite", 2, "NaN in what was measured, or in a start"),
    Wait("invgen/noise/", "", 5, "parameters and data that are not those of the noise model"),
    Wait("invgen/problem.py", "Problem.scaled", 4, "a unit that is not positive"),
    Wait("invgen/convex/discrepancy.py", "discrepancy_weight", 20, "a rule's end, after each of its weights"),
    Wait("invgen/convex/sure.py", "sure_weight", 12, "a rule's end, after each of its weights"),
    Wait("solvers/run.py", "Run.__init__", 2, "whether the start is zero"),
    Wait("solvers/run.py", "Run.loop", 2, "whether a batch is empty, or a resumed run at its end"),
    Wait("solvers/scale.py", "in_prior_unit", 4, "whether a batch has one unit, which all noise models take"),
    Wait("solvers/density_map.py", "DensityMAP._first", 1, "a start without density"),
    Wait("solvers/latent/density.py", "check_generator", 2, "images that depend on what else is decoded"),
    Wait("solvers/latent/base.py", "LatentSolver.collected", 1, "the end of ImageAdaptive's first run"),
    Wait("solvers/least_squares/mlem.py", "MLEM.steps", 1, "a start with negative pixels"),
]

#: Each later iteration.
LATER = [
    Wait(
        "solvers/proximal/proximal_gradient.py",
        "_Backtracking.__call__",
        9,
        "what comes next depends on each trial of a step; another trial would cost more than the wait",
    ),
    Wait(
        "priors/denoisers/proximal.py",
        "ProxDenoiser._iterated",
        10,
        "a run of its own, which looks after every twenty iterations whether it has come to its end",
    ),
    Wait("invgen/noise/gaussian.py", "Gaussian.__init__", 1, "the noise model of the same run"),
    Wait("solvers/latent/sampler.py", "LatentSampler._check", 1, "in the last one: chains without a density"),
    Wait(
        "solvers/particles/twisted_smc.py",
        "TwistedSMC.moved",
        40,
        "two for an evaluation of the network: whether levels come in between, by what a step would leave",
    ),
    Wait("solvers/particles/mcgdiff.py", "MCGDiff.moved", 2, "whether directions are measured at this level"),
]

#: After the last iteration: what is reported.
LAST = [
    Wait("solvers/least_squares/cg.py", "CG.diagnostics", 1, "a warning where the residual stalls"),
    Wait("solvers/latent/base.py", "LatentSolver.collected", 1, "an error where all restarts diverged"),
    Wait("solvers/particles/", "", 10, "what particles are worth: five numbers for each of two measurements"),
]


def beyond(seen: Counter[tuple[str, str]], allowed: list[Wait]) -> dict[tuple[str, str], int]:
    """What was seen more often than is allowed."""
    often: Counter[tuple[str, str]] = Counter()
    for place, count in seen.items():
        limits = [w.often for w in allowed if place[0].startswith(w.file) and place[1].startswith(w.function)]
        if count > max(limits, default=0):
            often[place] = count
    return dict(often)
