"""Anomaly detection: type-I errors on held-out digits, and power against outliers.

The statistic that is recommended, its compressors and its turns were chosen by digits 1,000 to 2,400 of the
8,000, priors fitted to the first 400 of the shuffled pictures of clothes, and the next 200. What is tested
here are others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import betabinom
from torch import Tensor

import invgen as ig
from benchmarks.priors import sources
from benchmarks.report import Report
from invgen.plausibility import AnomalyDetector
from invgen.plausibility.anomaly import (
    BatchTypicality,
    DensityOfStates,
    InputComplexity,
    LikelihoodRatio,
    LogLikelihood,
    Proportion,
    ReconstructionError,
    ScoreNorms,
    Statistic,
    SymmetryRatio,
    Typicality,
    auroc,
    power,
    recommended,
)
from invgen.priors import ImageFormat

LEVELS = (0.01, 0.05, 0.1)

#: Confidence of the bounds within which type-I errors are to be: there are three dozen of them.
BOUNDS = 0.999

#: Digits by which the recommended statistic was chosen, and of how many the calibration is one.
CHOSEN, EVERY = range(1000, 2400), 8

#: Held-out digits, of which five eighths are by the writers of the first 5,000, as in the calibration.
INLIERS, FIRST = 2000, 5000

#: Pictures of clothes that a prior learns from, that calibrate it, and that are tested.
CLOTHES = (600, 150, 150)


def anomaly(report: Report) -> None:
    """Digits among others under priors of digits, and digits under a prior of clothes."""
    found, clothes = sources.digits(report), _clothes(report)
    if found is None or clothes is None:
        return
    digits = _Digits.of(found[1].float() / 255)
    _reverse(report, digits, clothes)
    for name in ("digits-flow", "digits-vae", "digits-autoregressive", "digits"):
        prior = sources.prior(report, name)
        if prior is not None:
            _digits(report, name, prior, digits, clothes[CLOTHES[0] :])


@dataclass(frozen=True)
class _Digits:
    """Test digits: for calibration, held out, and others to be turned and inverted."""

    calibration: Tensor
    inliers: Tensor
    others: Tensor

    @classmethod
    def of(cls, digits: Tensor) -> _Digits:
        free = [i for i in range(len(digits)) if i % EVERY and i not in CHOSEN]
        order = torch.randperm(len(free), generator=torch.Generator().manual_seed(0)).tolist()
        shuffled = [free[i] for i in order]
        early = [i for i in shuffled if i < FIRST]
        late = [i for i in shuffled if i >= FIRST]
        count = round(INLIERS * FIRST / len(digits))
        inliers = early[:count] + late[: INLIERS - count]
        others = early[count:][:150] + late[INLIERS - count :][:90]
        return cls(digits[::EVERY], digits[inliers], digits[others])

    def outliers(self, clothes: Tensor) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randint(256, (250, 28, 28), generator=generator) / 255
        constants = (torch.arange(256) / 255)[:, None, None].expand(256, 28, 28)
        turned = {90 * k: self.others.rot90(k, (1, 2)) for k in (1, 2, 3)}
        return {
            "clothes (Fashion-MNIST)": clothes,
            "uniform noise": noise,
            "constants, all 256": constants.contiguous(),
            **{f"digits turned by {angle} degrees": x.contiguous() for angle, x in turned.items()},
            "inverted digits": 1 - self.others,
        }


@dataclass
class _Remembering:
    """A density that computes the logarithm of each image once, for statistics that share it."""

    prior: Any
    known: dict[bytes, float] = field(default_factory=dict)

    @property
    def image_format(self) -> ImageFormat:
        return self.prior.image_format

    def log_prob(self, x: Tensor) -> Tensor:
        keys = [image.numpy().tobytes() for image in x]
        new = [i for i, key in enumerate(keys) if key not in self.known]
        if new:
            found = self.prior.log_prob(x[new]).tolist()
            self.known |= {keys[i]: value for i, value in zip(new, found, strict=True)}
        return torch.tensor([self.known[key] for key in keys], dtype=torch.float64)


def _statistics(prior: Any) -> list[Statistic]:
    """Those that a prior of digits is measured by, beside the recommended one."""
    if isinstance(prior, ig.priors.Diffusion):
        return [ScoreNorms()]
    if isinstance(prior, ig.priors.VAE):
        return [ReconstructionError(side="both")]
    ratios: list[Statistic] = [LikelihoodRatio(), InputComplexity(), SymmetryRatio()]
    alone = [LogLikelihood(), LogLikelihood("both"), Typicality(), BatchTypicality(5)]
    return [DensityOfStates(), *alone, *ratios]


def _digits(report: Report, name: str, prior: Any, digits: _Digits, clothes: Tensor) -> None:
    """Type-I errors of all statistics, and areas of the recommended one, as the file of the prior has it."""
    others = _statistics(prior)
    best = None if isinstance(prior, ig.priors.VAE) else AnomalyDetector(prior)
    shared = _Remembering(prior) if isinstance(prior, ig.priors.Autoregressive | ig.priors.Flow) else prior
    detectors = [AnomalyDetector(shared, digits.calibration, each) for each in others]
    measured = [(detector, shared) for detector in detectors]
    if best is not None:
        measured = [(best, shared), *measured]
    inliers = {}
    for detector, seen in measured:
        label = f"{detector.kind.name}, {detector.kind.side}"
        group = detector.kind.group
        x = digits.inliers if group == 1 else digits.inliers.unflatten(0, (-1, group))
        inliers[label] = detector.kind.values(seen, x)
        p = detector.p_value_of(inliers[label])
        for level in LEVELS:
            rate = power(p, level)
            low, high = _bounds(level, len(p), len(detector.calibration), detector.kind.side)
            report.row(
                f"`{name}`, {label}: type-I error at {100 * level:g} %, {len(p)} held-out digits or groups, "
                f"{len(detector.calibration)} calibration statistics",
                _percent(rate),
                f"{100 * low:.1f} to {100 * high:.1f} %",
                low <= rate.value <= high,
            )
    for kind, outliers in digits.outliers(clothes).items():
        areas = {}
        for detector, seen in measured:
            if detector.kind.group == 1:
                values = detector.kind.values(seen, outliers)
                label = f"{detector.kind.name}, {detector.kind.side}"
                areas[label] = _area(detector, inliers[label], values)
                if detector is best:
                    found = power(detector.p_value_of(values), 0.05)
        what = f"`{name}`: AUROC, {len(outliers)} {kind} among {len(digits.inliers)} digits"
        if best is not None:
            area = areas.pop(f"{best.kind.name}, {best.kind.side}")
            reached = area.value >= 0.98
            report.row(f"{what}: recommended", f"{area}; power at 5 %: {_percent(found)}", "0.98", reached)
        report.row(f"{what}: others", "; ".join(f"{label} {area.value:.3f}" for label, area in areas.items()))


def _reverse(report: Report, digits: _Digits, clothes: Tensor) -> None:
    """Digits under a prior of clothes, which is likelier of digits than of clothes."""
    learned, calibration, inliers = clothes.split(CLOTHES)
    prior = ig.priors.ContextTable.fit(learned)
    known = LikelihoodRatio(), LogLikelihood(), LogLikelihood("both"), Typicality()
    for statistic in (recommended(prior), DensityOfStates(), InputComplexity(), *known):
        detector = AnomalyDetector(prior, calibration, statistic)
        label = f"context table of 600 clothes, {statistic.name}, {statistic.side}"
        area = _area(detector, detector.statistic(inliers), detector.statistic(digits.inliers))
        best = statistic == recommended(prior)
        raw = statistic == LogLikelihood()
        report.row(
            f"{'**recommended** ' * best}{label}: AUROC, {INLIERS} digits among {len(inliers)} clothes",
            f"{area}{' [0.09]' * raw}{' [0.99]' * (statistic == LikelihoodRatio())}",
            "0.9" if best else "",
            area.value >= 0.9 if best else None,
        )


def _area(detector: AnomalyDetector, inliers: Tensor, outliers: Tensor) -> Proportion:
    """Of the statistic, or where it is two-sided, of minus the p-value."""
    if detector.kind.side == "both":
        return auroc(-detector.p_value_of(inliers), -detector.p_value_of(outliers))
    return auroc(inliers, outliers)


def _bounds(level: float, count: int, known: int, side: str) -> tuple[float, float]:
    """Bounds of the fraction of p-values at most the level: beta-binomial, as calibration is by chance, too.

    The rejected part of the distribution has the law of the sum of as many of the N + 1 spacings of N
    calibration statistics as there are p-values at most the level.
    """
    sides = 2 if side == "both" else 1
    rejected = sides * math.floor(level / sides * (known + 1) + 1e-9)
    if not rejected:
        return 0.0, 0.0
    law = betabinom(count, rejected, known + 1 - rejected)
    tail = (1 - BOUNDS) / 2
    return float(law.ppf(tail)) / count, float(law.ppf(1 - tail)) / count


def _percent(rate: Proportion) -> str:
    return f"{100 * rate.value:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f}) %"


def _clothes(report: Report) -> Tensor | None:
    """The 900 pictures of the sprite of Fashion-MNIST, (900, 28, 28), shuffled: they lie by class."""
    path = sources.data(report, "digits/fashion-mnist-sprite.png")
    if path is None:
        return None
    with Image.open(path) as sprite:
        pixels = np.asarray(sprite.convert("L"), dtype=np.float32) / 255
    images = (
        torch.from_numpy(pixels).unflatten(0, (30, 28)).unflatten(2, (30, 28)).transpose(1, 2).flatten(0, 1)
    )
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))].contiguous()
