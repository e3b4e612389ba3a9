"""MRI by `brain-mr`: a patient who was held out, and heads that are further from those it has seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor
from torch.nn import functional as F

import invgen as ig
from benchmarks.posterior.comparison import Method, Task, compare, sampler, total_variation, wavelets
from benchmarks.priors.held_out import HEADS
from benchmarks.priors.sources import data, head, prior
from benchmarks.report import Report
from invgen.operators import MRI, Fourier, sampling
from invgen.solvers import DAPS, DiffPIR, SplitGibbs

SHAPE = (256, 192)
COILS, STD = 8, 0.01
LEVELS, FINER = (0.002, 0.3), 2
SETTINGS: dict[str, Any] = {"iterations": 30, "scale": 1.0, "sigma_range": LEVELS}


def top_of_head(report: Report) -> Tensor | None:
    """Slices ``(n, 256, 192)`` of the top quarter less ten of NiiVue's head, upright, over its maximum.

    Those that earlier weights, which had learned from the rest of this head, were measured by.
    """
    path = data(report, "volumes/chris_t1.nii.gz")
    if path is None:
        return None
    volume = torch.stack([torch.from_numpy(x) for x in ig.io.read_images(path)])
    slices = (volume / volume.max())[3 * len(volume) // 4 + 10 :].transpose(1, 2).flip(1)
    missing = [n - m for n, m in zip(SHAPE, slices.shape[1:], strict=True)]
    return F.pad(slices, (missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, missing[0] // 2))


def places(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows and columns of pixels from -1 to 1, zero at the pixel ``N // 2``."""
    rows, columns = ((torch.arange(n) - n // 2) / (n / 2) for n in shape)
    return rows[:, None].expand(shape), columns[None].expand(shape)


def coil_maps(shape: tuple[int, int]) -> Tensor:
    """Smooth maps of coils around the head, whose squares sum to one."""
    rows, columns = places(shape)
    turns = [2 * math.pi * c / COILS for c in range(COILS)]
    maps = torch.stack(
        [
            torch.exp(-((columns - math.cos(t)) ** 2) - (rows - math.sin(t)) ** 2 + 1j * (t + columns))
            for t in turns
        ]
    )
    return maps / torch.linalg.vector_norm(maps, dim=0)


def finer(slices: Tensor) -> Tensor:
    """Slices on a grid twice as fine, by cubic splines."""
    grid = torch.meshgrid(*(torch.arange(FINER * n) / FINER for n in SHAPE), indexing="ij")
    return torch.stack([torch.from_numpy(map_coordinates(x.numpy(), grid, order=3)) for x in slices])


def measured(drawn: Tensor, mask: Tensor, seed: int) -> tuple[ig.Problem, Tensor]:
    """k-space of images on the finer grid, with a phase, and the image of all of it."""
    fine = tuple(drawn.shape[1:])
    rows, columns = places(fine)
    image = drawn * torch.polar(
        torch.ones(fine), 1.5 * torch.cos(2 * rows + columns) + math.pi * columns * rows
    )

    def cropped(x: Tensor) -> Tensor:
        k = Fourier(fine)(x) / FINER
        top, left = ((n - m) // 2 for n, m in zip(fine, SHAPE, strict=True))
        return k[..., top : top + SHAPE[0], left : left + SHAPE[1]]

    truth = Fourier(SHAPE).H(cropped(image))
    kspace = cropped(coil_maps(fine) * image[:, None]) * mask
    noise = ig.noise.Gaussian(STD)
    A = MRI(SHAPE, mask, coil_maps(SHAPE))
    return ig.Problem(A, noise.sample(kspace, seed) * mask, noise), truth


def inside(truth: Tensor) -> Tensor:
    """The head of each slice: what is brighter than a twentieth, and what that surrounds."""
    from scipy.ndimage import binary_closing, binary_fill_holes

    masks = [binary_fill_holes(binary_closing(x.abs().numpy() > 0.05, iterations=2)) for x in truth]
    return torch.stack([torch.from_numpy(mask) for mask in masks])


def psnr(image: Tensor, truth: Tensor) -> float:
    """Of magnitudes within the head, mean over the slices, peak one."""
    pairs = zip(image.abs(), truth.abs(), inside(truth), strict=True)
    values = [ig.metrics.psnr(x, t, data_range=1.0, mask=mask) for x, t, mask in pairs]
    return float(torch.stack(values).mean())


def posterior(
    report: Report, name: str, model: Any, test: tuple[ig.Problem, Tensor], baseline: Tensor
) -> None:
    """Samplers that have no knob: their means, over the tuned baseline, and their intervals."""
    problem, truth = test
    others = psnr(baseline, truth)
    for solver in (
        DAPS(model, ode_steps=1, **SETTINGS),
        SplitGibbs(model, iterations=30, prior_steps=2, scale=1.0, rho_range=(0.005, LEVELS[1])),
    ):
        drawn = solver(problem, samples=8, seed=0)
        found = psnr(drawn.x, truth)
        report.row(f"{name}: {solver.name}, over wavelets", f"{found:.2f} dB, {found - others:+.2f} dB")
        for level in (0.5, 0.9):
            covered = float(drawn.coverage(truth, level, inside(truth)))
            report.row(f"{name}: {solver.name}, coverage of {100 * level:.0f} % intervals", f"{covered:.3f}")


def methods(model: Any) -> list[Method]:
    """Those that have a knob."""
    return [
        wavelets(4),
        total_variation(),
        sampler("DiffPIR", lambda lam: DiffPIR(model, weight=lam, **SETTINGS), 0.1, 10.0, 8),
    ]


def magnetic_resonance(report: Report) -> None:
    """Four slices of a patient, two phase encodings, R = 4 and 8, and lines; knobs tuned on two others."""
    model, slices = prior(report, "brain-mr"), head(report, *HEADS["the patient held out"][:2])
    if model is None or slices is None:
        return
    tuning, test = finer(slices[[7, 15]]), finer(slices[[5, 9, 13, 17]])
    masks = {
        "R = 4": (sampling.poisson_disc(SHAPE, 4, seed=0), None),
        "R = 8": (sampling.poisson_disc(SHAPE, 8, seed=0), 1.5),
        "R = 8.7, lines": (sampling.random_lines(SHAPE, 8, center_fraction=0.04, seed=0), None),
    }
    for name, (mask, gain) in masks.items():
        task = Task(f"MRI, {name}", measured(tuning, mask, 1), measured(test, mask, 0))
        images = compare(report, task, methods(model), psnr)
        over = psnr(images["DiffPIR"], task.test[1]) - psnr(images["wavelets"], task.test[1])
        wanted = () if gain is None else (f"{gain:+g} dB", over >= gain)
        report.row(f"{task.name}: DiffPIR over wavelets", f"{over:+.2f} dB", *wanted)
        posterior(report, task.name, model, task.test, images["wavelets"])


def other_heads(report: Report) -> None:
    """The top of another head, and a brain in another contrast, T2*: further from what the prior knows."""
    model, slices = prior(report, "brain-mr"), top_of_head(report)
    path = data(report, "mri/pysap_example_mri_ref_image_2d.npy")
    if model is None or slices is None or path is None:
        return
    brain = torch.from_numpy(np.load(path)).float()[None, :, 64:448]  # at the shape of others
    brain = brain / brain.quantile(0.999)
    mask = sampling.poisson_disc(SHAPE, 8, seed=0)
    tuning = measured(finer(slices[[4, 20]]), mask, 1)
    for name, drawn in (("the top of a head", finer(slices[[0, 8, 16, 24]])), ("T2*-weighted", brain)):
        task = Task(f"MRI, R = 8, {name}", tuning, measured(drawn, mask, 0))
        images = compare(report, task, methods(model), psnr)
        posterior(report, task.name, model, task.test, images["wavelets"])
