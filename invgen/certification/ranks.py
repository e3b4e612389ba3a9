"""Ranks of truths among posterior samples: simulation-based calibration, and the test of random points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from invgen.certification import uniformity
from invgen.certification.cases import find_case
from invgen.certification.runs import as_build, as_rows, checked, measured, seeds_of
from invgen.certification.setting import Case, Setting
from invgen.core.checks import as_count
from invgen.core.errors import CapabilityError, ParameterError
from invgen.problem import Problem

__all__ = ["Ranks", "rank_truths", "ranks_among"]

#: Pixels that are ranked, evenly spaced where there are more.
_PIXELS = 8

#: Name of the distance to a random point.
_DISTANCE = "distance"


@dataclass(frozen=True)
class Ranks:
    """Ranks of truths among samples of their posteriors, by several statistics.

    Of a truth from the prior, and samples of its posterior given its measurement, the rank by any statistic
    is one of 0 to n with equal probability (Talts et al. 2018, theorem 1).

    Attributes
    ----------
    samples : int
        n, the number of samples that each truth is among.
    ranks : mapping of str to integer tensor, shape (replicas,)
        By the name of the statistic.
    evaluations : float
        Of the denoiser, or generator, for each sample.
    """

    samples: int
    ranks: Mapping[str, torch.Tensor]
    evaluations: float = math.nan

    def chi_square(self) -> dict[str, float]:
        """Probability of such ranks by Pearson's test, of each statistic."""
        return {name: uniformity.chi_square(ranks, self.samples) for name, ranks in self.ranks.items()}

    def ecdf_test(self) -> dict[str, float]:
        """Probability of such ranks by their distribution function, of each statistic: see `uniformity`."""
        return {name: uniformity.ecdf_test(ranks, self.samples) for name, ranks in self.ranks.items()}

    @property
    def calibration(self) -> float:
        """Probability of ranks as uneven as the most uneven of all statistics, the distance apart.

        By Pearson's test and Bonferroni's bound: the least probability times the number of statistics. A
        sampler that is right has less than p here with a probability of at most p.
        """
        found = {name: p for name, p in self.chi_square().items() if name != _DISTANCE}
        return min(1.0, len(found) * min(found.values()))

    @property
    def coverage(self) -> torch.Tensor:
        """Expected coverage of TARP at the levels k / (n + 1), for k of 0 to n + 1, which it equals if right.

        Lemos et al. (2023), algorithm 2: balls around a random point reach just so far that they hold a part
        of the samples. Above the levels near one, and below them near zero, the samples are too wide.
        """
        return uniformity.ecdf(self.ranks[_DISTANCE], self.samples)

    def coverage_band(self, level: float = 0.95) -> tuple[torch.Tensor, torch.Tensor]:
        """Bounds in which `coverage` of a sampler that is right is at all levels at once."""
        return uniformity.band(len(self.ranks[_DISTANCE]), self.samples, level)

    @property
    def gap(self) -> float:
        """Largest distance of `coverage` from the level."""
        levels = torch.arange(self.samples + 2, dtype=torch.float64) / (self.samples + 1)
        return float((self.coverage - levels).abs().max())

    @property
    def variance(self) -> float:
        """Variance of the ranks of pixels about the middle over that of uniform ones, ``n (n + 2) / 12``."""
        pixels = [ranks for name, ranks in self.ranks.items() if name.startswith("pixel")]
        away = torch.cat(pixels).double() - self.samples / 2
        return float(away.square().mean()) * 12 / (self.samples * (self.samples + 2))

    @property
    def tarp(self) -> float:
        """Probability of an expected coverage as far from the diagonal; within the 95 % band above 0.05."""
        return uniformity.ecdf_test(self.ranks[_DISTANCE], self.samples)


def rank_truths(
    sampler: Any,
    case: Case | str,
    *,
    replicas: int = 500,
    samples: int = 99,
    drawn: int | None = None,
    measurements: int = 1,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> Ranks:
    """Rank truths among the samples that a sampler draws of their posteriors.

    Simulation-based calibration, Talts et al. (2018), algorithm 1. Prior, operator, noise, truth and
    measurement are drawn anew for each call of the sampler. Ranked are

    - pixels, eight of them evenly spaced where there are more, of complex images of both parts;
    - the logarithms of the likelihood, and of the prior's density where there is one, which Modrák et al.
      (2023) advise: ranks of pixels alone are uniform for a sampler of the prior that ignores the data;
    - the distance to a point drawn from the prior, which is TARP (Lemos et al. 2023): it sees errors of what
      pixels have in common. Any random points will do.

    The posterior need not be known. Samples must be independent: those of one chain, or particles of common
    ancestors, are not, and their ranks are too often extreme though each sample is right. With `drawn` more
    are drawn, and some are chosen at random.

    Parameters
    ----------
    sampler : Solver, or class or callable ``prior -> solver``
        Of a solver the prior is replaced.
    case : Case or str
        Of `invgen.certification.CASES`.
    replicas : int
        An error of a pixel's mean of d posterior deviations adds d^2 for each replica to the expected
        chi-square of 19: with 500 of them its own test at 5 % finds 0.3 always, 0.2 in four of five runs.
    samples : int
        That each truth is ranked among: 99 make a hundred ranks.
    drawn : int, optional
        For each truth, by default as many as `samples`.
    measurements : int
        Truths that share prior and operator and are one batch for the sampler, which divides `replicas`. It
        draws so many times as many samples, and each truth is ranked among its own, since those of a batch
        share their random numbers. A batch takes less time for samplers that draw each sample by itself;
        leave it at one for particles, all of which do.
    seed : int
    advance : callable, optional
        Called after each call of the sampler.

    Returns
    -------
    Ranks

    Raises
    ------
    DtypeError, ParameterError, ShapeError, CapabilityError, DivergenceError
        As `invgen.certification.certify`.
    """
    build, case = as_build(sampler), find_case(case) if isinstance(case, str) else case
    replicas, samples = as_count(replicas, "replicas", least=10), as_count(samples, "samples", least=9)
    drawn = samples if drawn is None else as_count(drawn, "drawn")
    if drawn < samples:
        raise ParameterError(f"{samples} samples are chosen of those drawn, of which there are {drawn}.")
    measurements = as_count(measurements, "measurements")
    if replicas % measurements:
        raise ParameterError(f"{replicas} replicas are no whole number of batches of {measurements}.")
    uniformity.bins_of(replicas, samples)  # rather now than after hours
    seeds = seeds_of(seed)
    generator = torch.Generator().manual_seed(next(seeds))
    found: dict[str, list[torch.Tensor]] = {}
    evaluations = 0
    for _ in range(replicas // measurements):
        setting = case.setting(next(seeds))
        truths, problem = measured(setting, measurements, seeds)
        view = case.view(setting.prior, case.std)
        count = measurements * drawn
        result = checked(build(view)(problem, samples=count, seed=next(seeds)), count, truths)
        points = setting.prior.sample(measurements, next(seeds))
        assert result.samples is not None, "as checked"
        for i, truth in enumerate(truths):
            own = result.samples[i * drawn : (i + 1) * drawn, i]
            chosen = own[torch.randperm(drawn, generator=generator)[:samples]]
            images = torch.cat([truth[None], chosen.to(truth)])
            alone = Problem(problem.operator, problem.measurement[i], problem.noise)
            for name, values in _statistics(setting, alone, points[i], images).items():
                found.setdefault(name, []).append(ranks_among(values[None, 1:], values[:1], generator))
        evaluations += view.evaluations
        if advance is not None:
            advance()
    ranks = {name: torch.cat(each) for name, each in found.items()}
    return Ranks(samples, ranks, evaluations / (replicas * measurements * drawn))


def ranks_among(samples: torch.Tensor, truths: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Number of samples ``(replicas, n)`` below each truth ``(replicas,)``, ties at random."""
    below = (samples < truths[:, None]).sum(1)
    equal = (samples == truths[:, None]).sum(1)
    return below + (torch.rand(len(truths), generator=generator) * (equal + 1)).long()


def _statistics(
    setting: Setting, problem: Problem, point: torch.Tensor, images: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Each statistic of images ``(n, *shape)``, (n,)."""
    numbers = as_rows(images).double()
    step = max(1, numbers.shape[1] // _PIXELS)
    found = {f"pixel {i}": numbers[:, i] for i in range(0, step * _PIXELS, step)[: numbers.shape[1]]}
    found["log-likelihood"] = -problem.repeated(len(images)).negative_log_likelihood(images).double()
    with suppress(CapabilityError):  # there may be no density, of singular covariances and of atoms
        found["log-prior"] = setting.prior.log_prob(images).double()
    found[_DISTANCE] = (numbers - as_rows(point[None]).double()).norm(dim=1)
    return found
