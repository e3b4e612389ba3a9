"""A sampler's samples against exact ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from invgen.certification import measures
from invgen.certification.cases import find_case
from invgen.certification.runs import as_build, as_rows, checked, measured, seeds_of
from invgen.certification.setting import Case, Known
from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["Figures", "certify", "require_enough"]

#: Distances are those of no more samples: to sort them would take longer than to draw them.
_PAIRED = 1000


@dataclass(frozen=True)
class Figures:
    """How far a sampler is from the posterior of a case, and its exact figures in the first few fields.

    Attributes
    ----------
    wasserstein : float
        Sliced Wasserstein-1 distance of the samples from exact ones, of the same number, in the image's unit.
    floor : float
        The same of exact samples: a distance that is not distinguishable from zero.
    mean_bias : float
        Bias of the mean in posterior standard deviations, the root mean square over pixels and measurements.
    variance_ratio : float
        Variance over that of the posterior, the average over pixels and measurements: one is right.
    variance_error : float
        Root mean square of how far that ratio is from one at each pixel.
    mmse_gap : float
        Mean squared error of the samples' mean over that of the posterior's, in dB, averaged over the
        measurements (Zach et al. 2026): zero is the least possible, and n exact samples have
        ``10 log10(1 + 1/n)`` on average over many truths.
    coverage_50, coverage_90 : float
        Probability of the samples' intervals of that level: the fraction of the truths that lie in them.
    calibration : float
        Probability of ranks as uniform as those of the truths, if the sampler is right; see
        `invgen.certification.measures.calibration`.
    evaluations, derivatives : float
        Evaluations of the denoiser, or generator, for each sample, and the number of those with a derivative.
    seconds : float
        That all the samples took.
    """

    wasserstein: float
    floor: float
    mean_bias: float
    variance_ratio: float
    variance_error: float
    mmse_gap: float
    coverage_50: float
    coverage_90: float
    calibration: float
    evaluations: float
    derivatives: float
    seconds: float

    @property
    def excess(self) -> float:
        """Distance from the posterior over the Monte-Carlo floor."""
        return self.wasserstein / self.floor


def certify(
    sampler: Any,
    case: Case | str,
    *,
    samples: int = 1000,
    measurements: int = 8,
    rounds: int = 4,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> Figures:
    """Measure a sampler on a problem whose posterior is known, seeing of the prior only what samplers need.

    That is its denoiser, and where the prior is a Gaussian the same as a generator, linear and of standard
    normal latent variables.

    In each round operator and prior are drawn anew, truths from the prior and measurements of them; all are
    one batch for the sampler. Interval and variance are compared with those of the posterior, the ranks are
    those of the truths, each among samples of its own.

    Parameters
    ----------
    sampler : Solver, or class or callable ``prior -> solver``
        Of a solver the prior is replaced.
    case : Case or str
        Of `invgen.certification.CASES`.
    samples : int
        For each measurement. A bias of the mean of less than about ``samples^(-1/2)`` cannot be seen.
    measurements : int
        In each round.
    rounds : int
    seed : int
    advance : callable, optional
        Called after each round.

    Returns
    -------
    Figures

    Raises
    ------
    DtypeError, ParameterError, ShapeError
        For what is no sampler, too few samples, and results without samples.
    CapabilityError, DivergenceError
        From the sampler.
    """
    build, case = as_build(sampler), find_case(case) if isinstance(case, str) else case
    samples, measurements, rounds = require_enough(samples, measurements, rounds)
    figures: list[dict[str, float]] = []
    ranks: list[float] = []
    counted = {"evaluations": 0.0, "derivatives": 0.0, "seconds": 0.0}
    seeds = seeds_of(seed)
    for _ in range(rounds):
        setting = case.setting(next(seeds))
        truths, problem = measured(setting, measurements, seeds)
        view = case.view(setting.prior, case.std)
        solver, began = build(view), time.perf_counter()
        result = checked(solver(problem, samples=samples, seed=next(seeds)), samples, truths)
        counted["seconds"] += time.perf_counter() - began
        counted["evaluations"] += view.evaluations / (rounds * samples * measurements)
        counted["derivatives"] += view.derivatives / (rounds * samples * measurements)
        figures += _compared(case.posterior(setting), truths, problem, result, seeds)
        ranks += _ranks(result, truths, next(seeds))
        if advance is not None:
            advance()
    found = {name: math.fsum(one[name] for one in figures) / len(figures) for name in figures[0]}
    # of mean squares, which chance can leave below zero
    found |= {name: math.sqrt(max(0.0, found[name])) for name in ("mean_bias", "variance_error")}
    return Figures(**found, **counted, calibration=measures.calibration(ranks))


def require_enough(samples: int, measurements: int, rounds: int) -> tuple[int, int, int]:
    """The three numbers, where they give figures; see `certify`.

    Raises
    ------
    ParameterError
        For what is no whole number, and too few.
    """
    samples, measurements = as_count(samples, "samples"), as_count(measurements, "measurements")
    rounds = as_count(rounds, "rounds")
    if samples < 20 * measurements or measurements * rounds < 10:
        raise ParameterError(
            "Figures take ten measurements in all, and twenty samples for each measurement of a round, here "
            f"{20 * measurements}; got {measurements} measurements in {rounds} rounds, and {samples} samples."
        )
    return samples, measurements, rounds


def _compared(
    posterior_of: Callable[[torch.Tensor], Known],
    truths: torch.Tensor,
    problem: Problem,
    result: Reconstruction,
    seeds: Iterator[int],
) -> Iterator[dict[str, float]]:
    """The samples of each measurement against exact ones of the same number, and the posterior's moments."""
    assert result.samples is not None, "as checked"
    ends = {level: result.interval(level) for level in (0.5, 0.9)}
    n, lines = len(result.samples), next(seeds)
    for i, y in enumerate(problem.measurement):
        posterior = posterior_of(y)
        exact, drawn = posterior.sample(2 * n, next(seeds)), as_rows(result.samples[:, i])
        sets = [rows[:_PAIRED] for rows in (drawn, as_rows(exact[:n]), as_rows(exact[n:]))]
        to_first, to_second, floor = (
            measures.sliced_wasserstein(sets[a], sets[b], seed=lines) for a, b in ((0, 1), (0, 2), (1, 2))
        )
        mean = as_rows(posterior.mean[None])[0].double()
        parts = len(mean) // posterior.std.numel()
        std = posterior.std.flatten().repeat_interleave(parts)
        sizes = exact.abs() if exact.is_complex() else exact
        inside = {level: measures.coverage(low[i], high[i], sizes) for level, (low, high) in ends.items()}
        yield {
            "wasserstein": (to_first + to_second) / 2,
            "floor": floor,
            "mean_bias": measures.mean_bias(drawn, mean, std),
            "variance_ratio": measures.variance_ratio(drawn, std),
            "variance_error": measures.variance_error(drawn, std),
            "mmse_gap": measures.mmse_gap(drawn.double().mean(0), mean, as_rows(truths[i][None])[0]),
            "coverage_50": inside[0.5],
            "coverage_90": inside[0.9],
        }


def _ranks(result: Reconstruction, truths: torch.Tensor, seed: int) -> Iterator[float]:
    """Ranks of the truths, each among samples of its own: those of a batch share their random numbers."""
    assert result.samples is not None, "as checked"
    generator = torch.Generator().manual_seed(seed)
    share = len(result.samples) // len(truths)
    for i, truth in enumerate(as_rows(truths)):
        yield measures.rank(as_rows(result.samples[i * share : (i + 1) * share, i]), truth, generator)
