"""Inpainting, super-resolution and compressed sensing of digits by every latent solver, beside the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import invgen as ig
from benchmarks.latent.digits import SHAPE, InBfloat16, published, unseen_digits
from benchmarks.posterior.comparison import Method, Task, non_local_means, total_variation, wavelets
from benchmarks.posterior.digits import psnr
from benchmarks.priors.sources import prior
from benchmarks.report import Report
from invgen.operators import Downsample, GaussianMatrix, LinearOperator, Mask
from invgen.solvers import (
    DAPS,
    DDS,
    PULSE,
    DiffPIR,
    FlowMAP,
    ImageAdaptive,
    IntermediateLayerOptimization,
    LatentHMC,
    LatentLangevin,
    LatentOptimization,
    SparseDeviation,
    SplitGibbs,
)

#: Standard deviation of the noise, and digits: those reported on, and those that penalties are tuned on.
STD, DIGITS, TUNING = 0.05, 16, 16

#: Samples of each sampler.
SAMPLES = 8


@dataclass(frozen=True)
class Result:
    """What a table has of a method: figures in dB, a fraction, seconds, evaluations for each digit."""

    estimate: float
    mean: float | None
    coverage: float | None
    seconds: float
    evaluations: float

    def __str__(self) -> str:
        mean = "" if self.mean is None else f", mean of {SAMPLES} {self.mean:.2f} dB"
        coverage = "" if self.coverage is None else f", 90 % intervals cover {self.coverage:.3f}"
        cost = f", {self.seconds:.1f} s, {self.evaluations:.0f} evaluations"
        return f"{self.estimate:.2f} dB{mean}{coverage}{cost}"


def operators() -> dict[str, LinearOperator]:
    """The three tasks."""
    upper = torch.zeros(SHAPE)
    upper[:14] = 1
    return {
        "the upper half": Mask(upper),
        "4x super-resolution": Downsample(SHAPE, 4),
        "100 Gaussian measurements": GaussianMatrix(SHAPE, 100, seed=0),
    }


def solvers(report: Report) -> dict[str, Callable[[ig.Problem], Any]] | None:
    """Every latent solver, of a published VAE or GAN or a flow; diffusion samplers of `digits`; or None."""
    generators, flow, diffusion = published(report), prior(report, "digits-flow"), prior(report, "digits")
    if generators is None or flow is None or diffusion is None:
        return None
    vae, some, fast = generators["VAE"], {"scale": 1.0}, InBfloat16(diffusion)
    return {
        "LatentOptimization, VAE": LatentOptimization(vae, **some),
        "LatentOptimization, GAN": LatentOptimization(generators["GAN"], **some),
        "PULSE, VAE": PULSE(vae, **some),
        "IntermediateLayerOptimization, VAE": IntermediateLayerOptimization(vae, layers=1, **some),
        "SparseDeviation, VAE": SparseDeviation(vae, **some),
        "ImageAdaptive, VAE": ImageAdaptive(vae, **some),
        "FlowMAP, flow": FlowMAP(flow, iterations=200, **some),
        "LatentLangevin, VAE": LatentLangevin(vae, iterations=2000, annealed=True, **some),
        "LatentHMC, VAE": LatentHMC(vae, annealed=True, **some),
        "DiffPIR": DiffPIR(fast, **some),
        "DDS": DDS(fast, **some),
        "DAPS": DAPS(fast, **some),
        "SplitGibbs": SplitGibbs(fast, iterations=50, prior_steps=2, **some),
    }


def judged(solver: Any, problem: ig.Problem, truth: Tensor) -> Result:
    """One solver on one task; the estimate of a sampler is a single sample."""
    samples = SAMPLES if solver.draws_samples else 1
    found = solver(problem, samples=samples, seed=0)
    seconds, evaluations = found.stats["seconds"], found.stats["network_evaluations"]
    if not solver.draws_samples:
        return Result(psnr(found.x, truth), None, None, seconds, evaluations)
    coverage = float(found.coverage(truth, 0.9))
    return Result(psnr(found.samples[0], truth), psnr(found.x, truth), coverage, seconds, evaluations)


def penalties(report: Report, task: Task) -> None:
    """The best of the penalties, each with the weight that is best on other digits."""

    def reached(method: Method) -> float:
        return psnr(method.solve(task.test[0], method.tuned(task, psnr), True), task.test[1])

    found = {method.name: reached(method) for method in (total_variation(), wavelets(2), non_local_means())}
    best = max(found, key=lambda name: found[name])
    report.row(f"{task.name}: {best}, the best penalty", f"{found[best]:.2f} dB")


def tasks(report: Report) -> None:
    """16 test digits, noise 0.05."""
    truth, tuning = unseen_digits(report, DIGITS), unseen_digits(report, TUNING, first=7500)
    methods = solvers(report)
    if truth is None or tuning is None or methods is None:
        return
    noise = ig.noise.Gaussian(STD)
    for name, A in operators().items():
        problem = ig.Problem(A, noise.sample(A(truth), seed=0), noise)
        others = ig.Problem(A, noise.sample(A(tuning), seed=1), noise)
        for title, solver in methods.items():
            report.row(f"{name}: {title}", str(judged(solver, problem, truth)))
        penalties(report, Task(name, (others, tuning), (problem, truth)))
