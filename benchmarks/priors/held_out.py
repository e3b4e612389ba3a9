"""`ct-phantoms` and `brain-mr` on what they have not seen, beside what needs no training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import invgen as ig
from benchmarks.priors.baselines import non_local_means, psnr, total_variation
from benchmarks.priors.sources import data, prior
from benchmarks.report import Report


def ct_phantoms(report: Report) -> None:
    """Eight random objects of seeds that were not learned from, 128x128."""
    model = prior(report, "ct-phantoms")
    if model is None:
        return
    pictures = [ig.phantoms.random(1_000_000 + i).image((128, 128), 2 / 128) for i in range(8)]
    _beside(report, "random objects", model, torch.stack(pictures).float(), (0.05, 0.1, 0.2))


def brain_mr(report: Report) -> None:
    """Slices of the top quarter less ten, upright, over the maximum of the head, with a smooth phase."""
    model, path = prior(report, "brain-mr"), data(report, "volumes/chris_t1.nii.gz")
    if model is None or path is None:
        return
    volume = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(path)])
    slices = (volume / volume.max())[3 * len(volume) // 4 + 10 :: 8].transpose(1, 2).flip(1)
    rows, columns = (torch.linspace(-1, 1, n) for n in slices.shape[1:])
    phase = 1.5 * torch.cos(2 * rows[:, None] + columns) + math.pi * columns * rows[:, None]
    truth = torch.polar(slices, phase.expand_as(slices).contiguous())
    missing = (256 - truth.shape[1], 192 - truth.shape[2])
    truth = F.pad(truth, (missing[1] // 2, missing[1] - missing[1] // 2, 0, missing[0]))
    _beside(report, "slices of the top of a head, complex", model, truth, (0.025, 0.05, 0.1))


def _beside(report: Report, what: str, model: Any, truth: Tensor, sigmas: tuple[float, ...]) -> None:
    """Denoising at several noise levels; noise of complex images is that of either part."""
    for sigma in sigmas:
        noisy = ig.noise.Gaussian(sigma).sample(truth, seed=0)
        ours = psnr(model.denoise(noisy, sigma), truth)
        tv, means = total_variation(noisy, truth, sigma), non_local_means(noisy, truth, sigma)
        report.row(
            f"{len(truth)} {what}, sigma {sigma:g}: PSNR",
            f"{ours:.2f} dB; total variation at its best weight {tv:.2f}, non-local means {means:.2f}",
            "above both",
            ours > max(tv, means),
        )
