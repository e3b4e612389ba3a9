"""CT by `ct-phantoms`: random objects from 30 views, and measured discs; chests by `chest-ct`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import invgen as ig
from benchmarks.posterior.comparison import Method, Task, compare, sampler, total_variation
from benchmarks.priors.sources import chests, data, prior
from benchmarks.report import Report
from invgen.operators import Radon
from invgen.solvers import DiffPIR

SIZE, VIEWS = 128, 30
SETTINGS: dict[str, Any] = {"iterations": 30, "scale": 1.0, "sigma_range": (0.003, 0.5)}
HELD_OUT = 1_000_000  # seeds from here on were not learned from


def measured(seeds: range, noise_seed: int) -> tuple[ig.Problem, Tensor]:
    """Objects and their projections in closed form, with noise of one percent of the largest of all."""
    A = Radon((SIZE, SIZE), angles=VIEWS)
    objects = [ig.phantoms.random(seed, half_width=SIZE / 2) for seed in seeds]
    truth = torch.stack([thing.image((SIZE, SIZE), 1.0) for thing in objects]).float()
    count = A.range.shape[-1]
    clean = torch.stack([thing.sinogram(A.angles, count) for thing in objects]).float()
    noise = ig.noise.Gaussian(0.01 * float(clean.max()))
    return ig.Problem(A, noise.sample(clean, noise_seed), noise), truth


def projected(slices: Tensor, noise_seed: int) -> tuple[ig.Problem, Tensor]:
    """40 views of slices on their own grid, seen on one of pixels twice as large; noise of one percent."""
    n = slices.shape[-1]
    A = Radon((n // 2, n // 2), angles=40)
    count = A.range.shape[-1]
    clean = Radon((n, n), angles=40, detector_count=count, detector_spacing=1.0, pixel_size=0.5)(slices)
    noise = ig.noise.Gaussian(0.01 * float(clean.max()))
    return ig.Problem(A, noise.sample(clean, noise_seed), noise), F.avg_pool2d(slices, 2)


def psnr(image: Tensor, truth: Tensor) -> float:
    """Mean over the images, of values from 0 to 1; none is negative."""
    return float(ig.metrics.psnr(image.clamp(min=0), truth, data_range=1.0).mean())


def methods(model: object, samples: int) -> list[Method]:
    """Total variation without negative values, and the samplers."""
    return [
        total_variation(nonnegative=True),
        sampler("DiffPIR", lambda lam: DiffPIR(model, weight=lam, **SETTINGS), 0.1, 10.0, samples),
    ]


def tomography(report: Report) -> None:
    """50 random objects, 128x128, projected exactly, 30 views; knobs are tuned on 4 others."""
    model = prior(report, "ct-phantoms")
    if model is None:
        return
    tuning = measured(range(HELD_OUT + 100, HELD_OUT + 104), 1)
    test = measured(range(HELD_OUT + 200, HELD_OUT + 250), 0)
    compare(report, Task("CT of random objects, 30 views", tuning, test), methods(model, 4), psnr, 1.0)


def chest(report: Report) -> None:
    """Slices of six patients held out, 256x256, 40 views; knobs are tuned on two that the prior knows."""
    model, slices = prior(report, "chest-ct"), chests(report)
    if model is None or slices is None:
        return
    learned, held_out = slices
    task = Task("CT of chests, 40 views", projected(learned[[1, 5]], 1), projected(held_out, 0))
    compare(report, task, methods(model, 8), psnr, 1.0)


def discs(report: Report) -> None:
    """Acrylic discs with holes of the Helsinki challenge: 30 of the 720 views of a full turn.

    The knobs are tuned on one disc, by the image that all views give.
    """
    model = prior(report, "ct-phantoms")
    paths = [data(report, f"ct/htc2022_{name}_full.mat") for name in ("ta", "tc")]
    if model is None or None in paths:
        return
    tasks = []
    for path in paths:
        with ig.io.open_scan(path) as scan:
            full = scan.problem(0, bin=4, image_shape=(SIZE, SIZE))
            few = scan.problem(0, bin=4, image_shape=(SIZE, SIZE), views=slice(None, None, 24))
        truth = ig.solvers.CG()(full).x
        # what the image of all views leaves of them is noise, and what the model lacks
        misfit = full.operator(truth) - full.measurement
        problem = ig.Problem(few.operator, few.measurement, ig.noise.Gaussian(float(misfit.std())))
        unit = 0.6 / float(truth.flatten().quantile(0.95))  # acrylic, in the prior's unit
        tasks.append((problem.scaled(unit), unit * truth))
    compare(report, Task("HTC2022 disc, 30 views", *tasks), methods(model, 4), psnr)
