"""Digits that were not learned from: half an image, few pixels, much noise, few random projections."""

from __future__ import annotations

import torch
from torch import Tensor

import invgen as ig
from benchmarks.posterior.comparison import Task, compare, non_local_means, sampler, total_variation, wavelets
from benchmarks.priors.sources import data, prior
from benchmarks.report import Report
from invgen.operators import Downsample, GaussianMatrix, Identity, LinearOperator, Mask
from invgen.solvers import DiffPIR

SHAPE = (28, 28)
TUNING, TEST = slice(7500, 7516), slice(7600, 7700)


def tasks() -> dict[str, tuple[LinearOperator, float]]:
    """Operators and the noise of what they measure."""
    upper = torch.zeros(SHAPE)
    upper[:14] = 1
    return {
        "the upper half": (Mask(upper), 0.05),
        "4x super-resolution": (Downsample(SHAPE, 4), 0.05),
        "denoising": (Identity(SHAPE), 0.5),
        "100 Gaussian measurements": (GaussianMatrix(SHAPE, 100, seed=0), 0.05),
    }


def psnr(image: Tensor, truth: Tensor) -> float:
    """Mean over the images, of values from 0 to 1."""
    return float(ig.metrics.psnr(image.clamp(0, 1), truth, data_range=1.0).mean())


def digits(report: Report) -> None:
    """100 digits, the mean of 8 samples; knobs are tuned on 16 others."""
    model = prior(report, "digits")
    path = data(report, "digits/mnist8k-images-idx3-ubyte.gz")
    if model is None or path is None:
        return
    images = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(path)])
    methods = [
        total_variation(),
        wavelets(2),
        non_local_means(),
        sampler("DiffPIR", lambda lam: DiffPIR(model, iterations=50, weight=lam, scale=1.0), 0.1, 10.0, 8),
    ]
    for name, (A, std) in tasks().items():
        noise = ig.noise.Gaussian(std)

        def measured(truth: Tensor, seed: int, A=A, noise=noise) -> tuple[ig.Problem, Tensor]:
            return ig.Problem(A, noise.sample(A(truth), seed), noise), truth

        task = Task(f"digits, {name}", measured(images[TUNING], 1), measured(images[TEST], 0))
        compare(report, task, methods, psnr, 1.0)
