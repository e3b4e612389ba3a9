"""Particles: distances from exact posteriors over what chance gives, and whether failures are announced."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch

import invgen as ig
from benchmarks.report import Report
from invgen.certification import CASES, DenoiserView, measures
from invgen.certification.cases import Setting
from invgen.core.errors import SamplingWarning
from invgen.operators import MatrixOperator
from invgen.priors import Gaussian, GaussianMixture
from invgen.solvers import FPS, MCGDiff, TwistedSMC

#: Samples of each problem, sets of exact ones, and the first seed of the problems: none was tuned on.
SAMPLES, SETS, FIRST = 1000, 20, 50_000

#: Problems of each kind in 8 and 80 dimensions, those of them for the other methods, and particles.
PROBLEMS, OTHERS, PARTICLES = {8: 20, 80: 6}, {8: 5, 80: 1}, {8: 6000, 80: 6000}


class Products:
    """The denoiser of a mixture of Gaussians of variance one, by products of matrices: many times faster.

    With ``s = sigma^2`` and r the probabilities of the components given x, ``(x + s sum r_i m_i) / (1 + s)``.
    """

    def __init__(self, prior: GaussianMixture) -> None:
        self.space, self.image_format = prior.space, prior.image_format
        self._means, self._logs = prior.means, prior.weights.log().to(prior.means)

    def denoise(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Posterior mean of x0, given ``x = x0 + sigma n``."""
        m, s = self._means, sigma**2
        inner = x @ m.mT - m.square().sum(1) / 2
        r = torch.softmax(inner / (1 + s) + self._logs, -1)
        return (x + s * (r @ m)) / (1 + s)


def sampled(
    make: Callable[[Any], Any], prior: Any, std: float, problem: ig.Problem, seed: int
) -> tuple[Any, float, bool]:
    """Samples as rows, evaluations for each, and whether they came with a warning."""
    view = DenoiserView(prior, std)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SamplingWarning)
        drawn = make(view)(problem, samples=SAMPLES, seed=seed).samples
    warned = any(issubclass(one.category, SamplingWarning) for one in caught)
    return drawn.flatten(1), view.evaluations / SAMPLES, warned


def distances(rows: Any, posterior: Any) -> tuple[float, float]:
    """Distance from exact samples over that of two sets of them, and the latter's 99th percentile."""
    exact = posterior.sample(2 * SETS * SAMPLES, 1).flatten(1).split(SAMPLES)
    pairs = [(i, j) for i in range(SETS) for j in (SETS + i, (i + 1) % SETS, SETS + (i + 7) % SETS)]
    floor = torch.tensor([measures.sliced_wasserstein(exact[i], exact[j], seed=i) for i, j in pairs])
    found = [measures.sliced_wasserstein(rows, exact[i], seed=i) for i in range(SETS)]
    return math.fsum(found) / SETS / float(floor.mean()), float(floor.quantile(0.99) / floor.mean())


def measured(setting: Setting, seed: int) -> ig.Problem:
    """The measurement of one image."""
    A, truth = setting.operator, setting.prior.sample(1, seed)[0]
    return ig.Problem(A, setting.noise.sample(A(truth), seed + 1), setting.noise)


def mixtures(report: Report, dimensions: int) -> None:
    """The mixture of 25 Gaussians: distance over the floor, each method at the evaluations of TwistedSMC."""
    for case in (case for name, case in CASES.items() if name.startswith(f"mixture-{dimensions}-")):
        rows: dict[str, list[tuple[float, float, bool, float]]] = {}
        for seed in range(FIRST, FIRST + PROBLEMS[dimensions]):
            setting = case.setting(seed)
            problem = measured(setting, seed)
            posterior, equal = setting.prior.posterior(problem), PARTICLES[dimensions]
            others = (MCGDiff, FPS) if seed < FIRST + OTHERS[dimensions] else ()
            for method in (TwistedSMC, *others):
                particles = equal
                drawn, evaluations, warned = sampled(
                    lambda view, m=method, n=particles: m(view, particles=n),
                    Products(setting.prior),
                    case.std,
                    problem,
                    seed,
                )
                ratio, most = distances(drawn, posterior)
                rows.setdefault(method.__name__, []).append((ratio, most, warned, evaluations))
                equal = round(evaluations * SAMPLES / 100)
        for name, found in rows.items():
            ratios = torch.tensor([row[0] for row in found])
            silent = sum(ratio > most and not warned for ratio, most, warned, _ in found)
            far = sum(ratio > most for ratio, most, _, _ in found)
            figures = (
                f"mean {ratios.mean():.2f}, median {ratios.median():.2f}, largest {ratios.max():.2f}; "
                f"{far} of {len(found)} beyond the 99th percentile, {silent} silently; "
                f"{sum(row[2] for row in found)} warnings; {max(row[3] for row in found):.0f} evaluations"
            )
            if name == "TwistedSMC":
                right = float(ratios.mean()) <= 1.15 and silent == 0
                report.row(f"{case.name}: {name}", figures, "1.15, none silently", right)
            else:
                report.row(f"{case.name}: {name}", figures)


def gaussian(dimensions: int, measurements: int, std: float, seed: int) -> Setting:
    """Variances from 0.1 to 1.9 along random directions, and random measurements."""
    g = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=g, dtype=torch.float64)).Q
    covariance = (Q * torch.linspace(0.1, 1.9, dimensions, dtype=torch.float64)) @ Q.mT
    A = torch.randn(measurements, dimensions, generator=g) / math.sqrt(dimensions)
    prior = Gaussian(torch.randn(dimensions, generator=g), covariance)
    return Setting(prior, MatrixOperator(A), ig.noise.Gaussian(std))


def small_noise(report: Report) -> None:
    """Mean and variance of Gaussian posteriors along their principal axes, whatever their lengths."""
    for dimensions, measurements in ((2, 1), (8, 4), (32, 8), (32, 16)):
        for std in (0.001, 0.003, 0.01):
            setting = gaussian(dimensions, measurements, std, FIRST)
            problem = measured(setting, FIRST)
            view = DenoiserView(setting.prior, 1.0)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SamplingWarning)
                result = TwistedSMC(view, particles=5000)(problem, samples=5000, seed=FIRST)
            posterior = setting.prior.posterior(problem)
            values, axes = torch.linalg.eigh(posterior.covariance())
            scores = (result.samples.double() - posterior.mean()) @ axes / values.sqrt()
            zero, one = torch.zeros(dimensions), torch.ones(dimensions)
            mean = math.sqrt(max(0.0, measures.mean_bias(scores, zero, one)))
            variance = math.sqrt(max(0.0, measures.variance_error(scores, one)))
            figures = (
                f"mean {100 * mean:.1f} %, variance {100 * variance:.1f} %, "
                f"{float(result.stats['independent_particles']):.0f} independent of 5,000"
            )
            right = (mean <= 0.03 and variance <= 0.05) or bool(caught)
            report.row(
                f"noise {std}, {dimensions} dimensions, {measurements} measured", figures, "3 %, 5 %", right
            )


def mixtures_8(report: Report) -> None:
    """In 8 dimensions."""
    mixtures(report, 8)


def mixtures_80(report: Report) -> None:
    """In 80 dimensions."""
    mixtures(report, 80)
