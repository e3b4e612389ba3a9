"""Intervals with a guarantee: what they cover of new problems, and their width beside a solver's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import beta, betabinom, kstest, norm
from torch import Tensor

import invgen as ig
from benchmarks.priors.sources import data, prior
from benchmarks.report import Report
from invgen.calibration import band_of, conformal_factors
from invgen.calibration.factors import Guarantee
from invgen.calibration.widths import Width
from invgen.core.space import Space
from invgen.noise import Gaussian
from invgen.operators import GaussianMatrix, LinearOperator, Mask, Radon
from invgen.reconstruction import Reconstruction
from invgen.solvers import DDS, PDHG, DiffPIR

__all__ = ["intervals"]

LEVELS = (0.8, 0.9, 0.95)

#: Numbers of digits and of phantoms, of which a half calibrates; of samples of each; and of random halves.
DIGITS, PHANTOMS, SPLITS = 200, 100, 200
SAMPLES = {"digits": 8, "phantoms": 4}

#: Problems that are solved at a time.
_BATCH = 25


def intervals(report: Report) -> None:
    """A closed form, digits and phantoms: each is solved once, and split many times."""
    torch.set_num_threads(1)
    _closed_form(report)
    for case in (*digits(report), *phantoms(report)):
        for level in LEVELS:
            _covered(report, case, level)


@dataclass(frozen=True)
class Case:
    """What a solver has made of many problems of one kind, and the truth."""

    name: str
    found: Reconstruction
    truth: Tensor
    regions: Tensor
    width: Width

    @property
    def space(self) -> Space:
        """Of an image."""
        return Space(self.truth.shape[1:])

    def scores(self, level: float, regions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores of pixels or regions, and widths of the intervals at the factor one, (n, targets)."""
        band = band_of(self.found, self.space, self.width, level, floor=0.1, regions=regions)
        truth = self.truth.double().flatten(1)
        if regions is not None:
            weights = regions.flatten(1).double()
            truth = truth @ (weights / weights.sum(1, keepdim=True)).T
        return band.scores(truth), band.below + band.above


def _closed_form(report: Report) -> None:
    """White images under white noise: the coverage of any interval is known, given its calibration."""
    images, pixels, trials, std = 50, 16, 1000, math.sqrt(0.2)
    errors = std * torch.randn(
        trials, images, pixels, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    for level in LEVELS:
        rank = math.ceil((images + 1) * level - 1e-9)
        law = beta(rank, images + 1 - rank)
        for guarantee, power in (("each", 1), ("all", pixels)):
            factors = torch.stack([conformal_factors(each.abs(), level, guarantee) for each in errors])
            exact = (2 * norm.cdf(factors.flatten().numpy() / std) - 1) ** power
            p = float(kstest(exact, law.cdf).pvalue)
            report.row(
                f"closed form, {100 * level:g} %, {guarantee}: coverage given the calibration is "
                f"Beta({rank}, {images + 1 - rank})",
                f"mean {100 * exact.mean():.2f} %, Kolmogorov-Smirnov p = {p:.2g}",
                f"{100 * law.mean():.2f} %, p at least 0.01",
                p >= 0.01,
            )
        factors = torch.stack([conformal_factors(each.abs(), level) for each in errors])
        exact = 2 * norm.cdf(factors.numpy() / std) - 1
        error = 3 * exact.std() / math.sqrt(trials)
        most = level + 1 / (images + 1)
        report.row(
            f"closed form, {100 * level:g} %, average: expected coverage",
            f"{100 * exact.mean():.2f} %",
            f"{100 * level:g} to {100 * most:.2f} %",
            level - error <= exact.mean() <= most + error,
        )


def digits(report: Report) -> Iterator[Case]:
    """Digits that `digits` has not learned from, by a sampler that is too sure and by total variation."""
    model = prior(report, "digits")
    if model is None or data(report, "digits/mnist8k-images-idx3-ubyte.gz") is None:
        return
    from invgen.bench.suites import data as sources

    truth = sources.digits(sources.folder())[:DIGITS].float()
    quarters = torch.zeros(4, 28, 28, dtype=torch.bool)
    for k in range(4):
        quarters[k, 14 * (k // 2) : 14 * (k // 2) + 14, 14 * (k % 2) : 14 * (k % 2) + 14] = True
    known = torch.zeros(28, 28)
    known[:14] = 1
    settings: dict[str, Any] = {"iterations": 50, "scale": 1.0}
    operators: dict[str, LinearOperator] = {
        "upper half": Mask(known),
        "100 projections": GaussianMatrix((28, 28), 100, seed=0),
    }
    for name, A in operators.items():
        problem = ig.Problem(A, Gaussian(0.05).sample(A(truth), seed=1), Gaussian(0.05))
        solvers = (DDS(model, **settings), DiffPIR(model, **settings), PDHG(ig.priors.TotalVariation()))
        for solver in solvers:
            found = reconstructed(solver, problem, SAMPLES["digits"])
            yield from _cases(f"digits, {name}", solver, found, truth, quarters)


def phantoms(report: Report) -> Iterator[Case]:
    """Random objects that `ct-phantoms` has not learned from, 128 x 128, of 30 views in closed form."""
    model = prior(report, "ct-phantoms")
    if model is None:
        return
    A, noise = Radon((128, 128), angles=30), Gaussian(0.5)  # 1 % of the largest line integral
    angles, bins = A.geometry.angles, A.range.shape[-1]
    objects = [ig.phantoms.random(3_000_000 + k, half_width=64.0) for k in range(PHANTOMS)]
    truth = torch.stack([each.image((128, 128), 1.0).float() for each in objects])
    clean = torch.stack([each.sinogram(angles, bins).float() for each in objects])
    problem = ig.Problem(A, noise.sample(clean, seed=1), noise)
    places = torch.arange(128) - 63.5
    radius = torch.hypot(places[:, None], places)
    rings = torch.stack([(low <= radius) & (radius < low + 16) for low in (0, 16, 32, 48)])
    settings: dict[str, Any] = {"iterations": 30, "scale": 1.0, "sigma_range": (0.003, 0.5)}
    for solver in (DiffPIR(model, **settings), PDHG(ig.priors.TotalVariation(nonnegative=True))):
        found = reconstructed(solver, problem, SAMPLES["phantoms"])
        yield from _cases("CT", solver, found, truth, rings)


def reconstructed(solver: Any, problem: ig.Problem, samples: int) -> Reconstruction:
    """All problems of a batch, some at a time."""
    parts = []
    for first in range(0, len(problem.measurement), _BATCH):
        part = ig.Problem(problem.operator, problem.measurement[first : first + _BATCH], problem.noise)
        given = {"samples": samples, "seed": 1000 * first} if solver.draws_samples else {}
        parts.append(solver(part, **given))
    x = torch.cat([part.x for part in parts])
    if not solver.draws_samples:
        return Reconstruction(x)
    return Reconstruction(x, torch.cat([part.samples for part in parts if part.samples is not None], 1))


def _covered(report: Report, case: Case, level: float) -> None:
    """Coverage of the images that do not calibrate, over random halves, and widths."""
    scores, widths = case.scores(level)
    of_regions, widths_of_regions = case.scores(level, case.regions)
    count, half = len(scores), len(scores) // 2
    draws = torch.Generator().manual_seed(0)
    splits = [torch.randperm(count, generator=draws).split((half, count - half)) for _ in range(SPLITS)]
    name, most = f"{case.name}, {100 * level:g} %", level + 1 / (half + 1)

    inside, width = _over(splits, scores, widths, level, "average")
    part = inside.double().mean((1, 2))
    low, high = part.quantile(torch.tensor([0.025, 0.975], dtype=part.dtype)).tolist()
    mean, error = float(part.mean()), 3 * float(part.std()) / math.sqrt(SPLITS)
    report.row(
        f"{name}: pixels on average",
        f"{100 * mean:.1f} % (95 % of splits: {100 * low:.1f} to {100 * high:.1f}), width {width:.3f}"
        f"{_own(case, level)}",
        f"{100 * level:g} to {100 * most:.1f} %",
        level - error <= mean <= most + error,
    )
    inside, width = _over(splits, scores, widths, level, "each")
    mean = float(inside.double().mean())
    report.row(
        f"{name}: each pixel",
        f"{100 * mean:.1f} %, width {width:.3f}",
        f"at least {100 * level:g} %",
        mean >= level - error,
    )
    rank = math.ceil((half + 1) * level - 1e-9)
    law = betabinom(count - half, rank, half + 1 - rank)
    ends = law.ppf(0.025), law.ppf(0.975)
    exact = float(law.cdf(ends[1]) - law.cdf(ends[0] - 1))
    inside, width = _over(splits, scores, widths, level, "all")
    of_each, width_of_regions = _over(splits, of_regions, widths_of_regions, level, "each")
    for what, numbers, own in (
        ("whole images", inside.all(2).sum(1), width),
        ("means over four regions", of_each.sum(1), width_of_regions),
    ):
        mean = float(numbers.double().mean()) / (count - half)
        within = float(((numbers >= ends[0]) & (numbers <= ends[1])).double().mean())
        report.row(
            f"{name}: {what}",
            f"{100 * mean:.1f} %, {100 * within:.0f} % of splits within the band, width {own:.3f}",
            f"{100 * rank / (half + 1):.1f} %, {100 * exact:.0f} %",
            abs(mean - rank / (half + 1)) <= 3 * law.std() / (count - half) / math.sqrt(SPLITS)
            and abs(within - exact) <= 3 * math.sqrt(exact * (1 - exact) / SPLITS),
        )


def _over(
    splits: list[Any], scores: Tensor, widths: Tensor, level: float, guarantee: Guarantee
) -> tuple[Tensor, float]:
    """Which targets of the new images are inside, (splits, images, targets), and the mean width."""
    found, wide = [], []
    for known, new in splits:
        factors = conformal_factors(scores[known], level, guarantee)
        found.append(scores[new] <= factors)
        wide.append(float((factors * widths[new]).mean()))
    return torch.stack(found), sum(wide) / len(wide)


def _own(case: Case, level: float) -> str:
    """What a sampler's own intervals cover, and their width."""
    if case.found.samples is None:
        return ""
    low, high = case.found.interval(level)
    inside = (low <= case.truth) & (case.truth <= high)
    return f"; its own {100 * float(inside.double().mean()):.1f} %, width {float((high - low).mean()):.3f}"


def _cases(name: str, solver: Any, found: Reconstruction, truth: Tensor, regions: Tensor) -> Iterator[Case]:
    """A sampler by its quantiles; an estimate by two kinds of widths."""
    if found.samples is not None:
        yield Case(f"{name}, {solver.name}", found, truth, regions, "quantiles")
    else:
        yield Case(f"{name}, total variation, edges", found, truth, regions, "edges")
        yield Case(f"{name}, total variation, constant", found, truth, regions, "constant")
