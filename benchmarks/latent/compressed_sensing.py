"""Error against the number of measurements: the figure of compressed sensing, Bora et al. (2017), fig. 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

import invgen as ig
from benchmarks.latent.digits import SHAPE, InBfloat16, published, unseen_digits
from benchmarks.posterior.comparison import level
from benchmarks.priors.sources import prior
from benchmarks.report import Report
from invgen.operators import DCT, GaussianMatrix, Identity, LinearOperator, MatrixOperator, Wavelet
from invgen.solvers import DiffPIR, Lasso, LatentHMC, LatentOptimization

#: Measurements of each digit; norm of their noise; weight of the latent variables; digits.
COUNTS = (10, 25, 50, 75, 100, 200, 400, 500, 750)
NOISE, LAMBDA, DIGITS = 0.1, 0.1, 300

#: What a run of the paper's code has: its VAE.
PAPER = {25: 0.028, 50: 0.012, 100: 0.0083, 400: 0.0072}

#: Standard deviation that what the VAE cannot make is taken to have: a little more than it has, 0.076, on
#: 40 other test digits that it is fitted to.
MISSED = 0.09

#: ColorBrewer Dark2.
COLORS = ("#1b9e77", "#d95f02", "#7570b3", "#a6761d", "#666666", "#e7298a")

OURS = "VAE's posterior, then diffusion"


def optimized(generator: Any, problem: ig.Problem) -> Tensor:
    """The paper's algorithm: Adam from ten starts, the best by its own objective."""
    return LatentOptimization(
        generator,
        optimizer="adam",
        learning_rate=0.01,
        iterations=1000,
        restarts=10,
        weight=LAMBDA / level(problem) ** 2,
        scale=1.0,
        tolerance=0.0,
    )(problem, seed=0).x


def then_diffusion(generator: Any, diffusion: Any, problem: ig.Problem) -> Tensor:
    """The mean of samples: of the latent variables, then, from each of these images, of a diffusion model.

    What the generator cannot make counts as noise of the measurements while latent variables are drawn, and
    is the noise level that the diffusion starts from: it adds what the generator lacks.
    """
    A, m = problem.operator, problem.operator.range.size
    # of a matrix whose rows have unit variance in sum: |A e|^2 is |e|^2 in expectation
    seen = math.sqrt(level(problem) ** 2 + math.prod(SHAPE) * MISSED**2 / m)
    coarse = LatentHMC(generator, iterations=100, leapfrog_steps=5, annealed=True, scale=1.0)
    images = coarse(ig.Problem(A, problem.measurement, ig.noise.Gaussian(seen)), samples=8, seed=0).samples
    fine = DiffPIR(InBfloat16(diffusion), iterations=16, sigma_range=(0.01, MISSED), scale=1.0)
    return fine(problem, x0=images, samples=8, seed=0).x


def lasso(transform: LinearOperator, problem: ig.Problem) -> Tensor:
    """Of what is sparse in an orthonormal basis: of the coefficients, which a dense matrix measures."""
    A = problem.linear_operator
    rows = transform(A.H(torch.eye(A.range.size)))
    coefficients = ig.Problem(MatrixOperator(rows.flatten(1), SHAPE), problem.measurement, problem.noise)
    return transform.H(Lasso()(coefficients).x)


def compressed_sensing(report: Report) -> None:
    """Squared error per pixel of 300 test digits, mean over them; the figure shows quartiles as well.

    Figure and errors of each digit are written after each number of measurements.
    """
    truth, generators = unseen_digits(report, DIGITS), published(report)
    diffusion = prior(report, "digits")
    if truth is None or generators is None or diffusion is None:
        return
    methods: dict[str, Callable[[ig.Problem], Tensor]] = {
        **{name: partial(optimized, generator) for name, generator in generators.items()},
        "Lasso, pixels": partial(lasso, Identity(SHAPE)),
        "Lasso, cosines": partial(lasso, DCT(SHAPE)),
        "Lasso, wavelets": partial(lasso, Wavelet(SHAPE, levels=2)),
        OURS: partial(then_diffusion, generators["VAE"], diffusion),
    }
    errors: dict[str, dict[int, Tensor]] = {name: {} for name in methods}
    for m in COUNTS:
        A, noise = GaussianMatrix(SHAPE, m, seed=0), ig.noise.Gaussian(NOISE / math.sqrt(m))
        problem = ig.Problem(A, noise.sample(A(truth), seed=0), noise)
        for name, method in methods.items():
            errors[name][m] = (method(problem) - truth).square().mean((1, 2))
        mean = {name: float(errors[name][m].mean()) for name in methods}
        for name in methods:
            wanted: tuple[Any, ...] = ()
            if name == "VAE" and m in PAPER:
                wanted = (f"at most {1.15 * PAPER[m]:.4f}", mean[name] <= 1.15 * PAPER[m])
            if name == OURS:
                best = min(mean[other] for other in mean if other != OURS)
                wanted = (f"at most {best:.6f}, the best of the others", mean[name] <= best)
            quartiles = errors[name][m].quantile(torch.tensor([0.25, 0.75])).tolist()
            value = f"{mean[name]:.6f} (quartiles {quartiles[0]:.6f} to {quartiles[1]:.6f})"
            report.row(f"{m} measurements: {name}", value, *wanted)
        torch.save(errors, "compressed_sensing_curves.pt")
        draw(errors)
    crossings(report, errors)


def crossings(report: Report, errors: dict[str, dict[int, Tensor]]) -> None:
    """How many measurements the best lasso takes for what the VAE does with 75, and where it passes it."""
    vae = torch.stack([x.mean() for x in errors["VAE"].values()])
    best = torch.stack(
        [torch.stack([x.mean() for x in errors[n].values()]) for n in errors if n.startswith("Lasso")]
    ).amin(0)
    log, at = torch.tensor(COUNTS).log(), COUNTS.index(75)

    def where(error: Tensor) -> float:
        """Measurements at which the best lasso comes down to an error, between those measured."""
        k = int((best > error).sum())
        share = (best[k - 1].log() - error.log()) / (best[k - 1].log() - best[k].log())
        return float((log[k - 1] + share * (log[k] - log[k - 1])).exp())

    equal = where(vae[at])
    report.row("the best lasso equals the VAE of 75 measurements with", f"{equal:.0f}", "300", equal >= 300)
    report.row("the best lasso passes the VAE at", f"{where(vae[-1]):.0f} measurements")


def draw(errors: dict[str, dict[int, Tensor]]) -> None:
    """Mean error against the number of measurements, with quartiles, in logarithmic scales."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    for color, (name, found) in zip(COLORS, errors.items(), strict=True):
        counts, values = list(found), torch.stack(list(found.values()))
        low, high = values.quantile(torch.tensor([0.25, 0.75]), dim=1)
        width = 2.5 if name == OURS else 1.5
        axes.plot(counts, values.mean(1), marker="o", label=name, color=color, linewidth=width)
        axes.fill_between(counts, low, high, facecolor=color, alpha=0.15, linewidth=0)
    axes.set(
        xscale="log", yscale="log", xlabel="measurements of 784 pixels", ylabel="squared error per pixel"
    )
    axes.set_xticks(COUNTS, [str(m) for m in COUNTS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    ig.figures.save(figure, "compressed_sensing_curves.png")
