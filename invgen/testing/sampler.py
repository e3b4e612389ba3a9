"""Whether the samples of a sampler are those of the posterior."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection
from functools import partial
from typing import Any

from invgen.certification import GAUSSIAN
from invgen.certification.cases import find_case
from invgen.certification.figures import certify
from invgen.certification.runs import as_build
from invgen.certification.setting import Case
from invgen.core.errors import ParameterError, SamplingWarning
from invgen.testing.report import Checks, Report

__all__ = ["check_sampler"]


def check_sampler(
    sampler: Any,
    cases: Collection[Case | str] = GAUSSIAN,
    *,
    mean: float = 0.02,
    variance: float = 0.05,
    coverage: float = 0.02,
    calibration: float = 1e-4,
    wasserstein: float = math.inf,
    samples: int = 10_000,
    measurements: int = 5,
    rounds: int = 2,
    seed: int = 0,
    skip: Collection[str] = (),
) -> Report:
    """Check that a sampler draws from the posterior, on problems where that is known exactly.

    It sees nothing of the prior but its denoiser, and of a Gaussian a linear generator. On each problem the
    bias of mean and variance, the coverage of its 50 and 90 percent intervals and the ranks of the truths are
    held to bounds, and samples that come with a `SamplingWarning` fail; `invgen.certification.certify` gives
    the same figures without bounds.

    >>> print(ig.testing.check_sampler(ig.solvers.SplitGibbs, ["dense-8"], mean=0.05, samples=2000))

    Parameters
    ----------
    sampler : Solver, or class or callable ``prior -> solver``
        Of a solver the prior is replaced. What ``solver(problem, samples=n, seed=0)`` returns has samples of
        the shape (n, *batch, *image), and their intervals (`Reconstruction`).
    cases : collection of Case or str
        Of `invgen.certification.CASES`: by default those with a Gaussian prior, in 2 to 32 dimensions.
    mean : float
        Largest bias of the mean, in posterior standard deviations.
    variance : float
        Largest relative error of the variance; of both the root mean square over the pixels.
    coverage : float
        How far the probability of the intervals may be from 0.5 and 0.9.
    calibration : float
        How improbable the ranks may be.
    wasserstein : float
        Largest sliced Wasserstein-1 distance over that of exact samples.
    samples, measurements, rounds, seed
        See `invgen.certification.certify`. With fewer samples, chance exceeds the bounds.
    skip : collection of str
        Names of problems to leave out.

    Returns
    -------
    Report

    Raises
    ------
    CheckError
        Names the problem and the figure that is out of bounds.
    """
    as_build(sampler)
    if samples * mean**2 < 2:
        raise ParameterError(
            f"A bias of {mean} cannot be distinguished from chance with {samples} samples: take at least "
            f"{math.ceil(2 / mean**2)}."
        )
    known = {case.name: case for case in (find_case(c) if isinstance(c, str) else c for c in cases)}
    checks = Checks(sampler, skip, known)

    def check(case: Case) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SamplingWarning)
            found = certify(
                sampler, case, samples=samples, measurements=measurements, rounds=rounds, seed=seed
            )
        name, doubts = case.name, set()
        for one in caught:
            if issubclass(one.category, SamplingWarning):
                doubts.add(str(one.message))
            else:  # is none of ours
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        checks.at_most(f"{name}: warnings of its own", len(doubts), 0, "; ".join(sorted(doubts)))
        checks.at_most(f"{name}: mean", found.mean_bias, mean, "the mean is biased, in standard deviations")
        checks.at_most(f"{name}: variance", found.variance_error, variance, "the variance is wrong")
        for level, got in ((0.5, found.coverage_50), (0.9, found.coverage_90)):
            meaning = f"intervals of {level:.0%} have a probability of {got:.3f}"
            checks.at_most(f"{name}: coverage {level:.0%}", abs(got - level), coverage, meaning)
        improbable = -math.log10(max(found.calibration, 1e-300))
        meaning = f"ranks of the truths are not uniform, p = {found.calibration:.1e}"
        checks.at_most(f"{name}: ranks, -log10 p", improbable, -math.log10(calibration), meaning)
        meaning = "samples are further from the posterior than exact ones"
        checks.at_most(f"{name}: distance over that of exact samples", found.excess, wasserstein, meaning)
        checks.at_most(f"{name}: evaluations for each sample", found.evaluations, math.inf, "")

    for name, case in known.items():
        checks.run(name, partial(check, case))
    return checks.report()
