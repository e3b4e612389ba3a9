"""`ct-phantoms`, `brain-mr` and `chest-ct` on what they have not seen, beside what needs no training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import invgen as ig
from benchmarks.priors.baselines import non_local_means, psnr, total_variation
from benchmarks.priors.heads import solidity, vortices
from benchmarks.priors.sources import chests, head, prior
from benchmarks.report import Report


def ct_phantoms(report: Report) -> None:
    """Eight random objects of seeds that were not learned from, 128x128."""
    model = prior(report, "ct-phantoms")
    if model is None:
        return
    pictures = [ig.phantoms.random(1_000_000 + i).image((128, 128), 2 / 128) for i in range(8)]
    _beside(report, "random objects", model, torch.stack(pictures).float(), (0.05, 0.1, 0.2))


#: Of heads that `brain-mr` has not seen: file, side of a pixel in mm, and every how many slices.
HEADS = {
    "the patient held out": ("heads/i_t1_tumour.nii.gz", 0.78125, 3),
    "a third head": ("volumes/chris_t1.nii.gz", 0.88, 24),
}


def brain_mr(report: Report) -> None:
    """Slices of two heads, with a smooth phase, and samples without data."""
    model = prior(report, "brain-mr")
    if model is None:
        return
    for name, (path, pixel, step) in HEADS.items():
        slices = head(report, path, pixel)
        if slices is None:
            continue
        # of those that show more than a little of it
        seen = slices[(slices > 0.2).float().mean((1, 2)) > 0.1]
        rows, columns = (torch.linspace(-1, 1, n) for n in seen.shape[1:])
        phase = 1.5 * torch.cos(2 * rows[:, None] + columns) + math.pi * columns * rows[:, None]
        truth = torch.polar(seen, phase.expand_as(seen).contiguous())
        _beside(report, f"slices of {name}, complex", model, truth[1::step], (0.025, 0.05, 0.1))
        _like_heads(report, f"slices of {name}", truth)
    _like_heads(report, "samples without data", model.sample(24, seed=0, image_shape=(256, 192)))


def _like_heads(report: Report, what: str, images: Tensor) -> None:
    """Outlines and phases."""
    found = torch.tensor([solidity(image) for image in images])
    report.row(
        f"{len(images)} {what}: solidity of the outline",
        f"median {found.median():.3f}, least {found.min():.3f}",
    )
    turned = [vortices(image) for image in images]
    measured = f"{sum(turned)}, in {sum(n > 0 for n in turned)} of them"
    report.row(f"{len(images)} {what}: vortices of the phase", measured, "none", not any(turned))


def chest_ct(report: Report) -> None:
    """The slices of six patients held out, 256x256; noise of 50 to 200 HU."""
    model, slices = prior(report, "chest-ct"), chests(report)
    if model is not None and slices is not None:
        held_out = F.avg_pool2d(slices[1], 2)
        _beside(report, "chests, attenuation over water's", model, held_out, (0.05, 0.1, 0.2))


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
