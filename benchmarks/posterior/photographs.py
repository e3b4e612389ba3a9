"""Photographs of Kodak by `denoiser-gray`: lost pixels, few pixels, blur."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import invgen as ig
from benchmarks.posterior.comparison import Task, compare, non_local_means, sampler, total_variation, wavelets
from benchmarks.priors.photographs import NAMES
from benchmarks.priors.sources import data, prior
from benchmarks.report import Report
from invgen.operators import Blur, Downsample, Grayscale, LinearOperator, Mask, kernels, masks
from invgen.solvers import DiffPIR

SIZE = 256
STD = 0.02
#: From half of white on: what more noise would hide, the data determine.
SETTINGS: dict[str, Any] = {"iterations": 25, "scale": 1.0, "sigma_range": (0.005, 0.5)}
#: Pictures to tune on, which the prior knows.
TUNING = ("skimage_camera", "skimage_astronaut")


def operators() -> dict[str, LinearOperator]:
    """Half of the pixels, a sixteenth of them as means, and a blur of 1.6 pixels."""
    shape = (SIZE, SIZE)
    return {
        "inpainting 50 %": Mask(masks.random_pixels(shape, 0.5, seed=0)),
        "4x super-resolution": Downsample(shape, 4),
        "deblurring": Blur(shape, kernels.gaussian_kernel(1.6)),
    }


def psnr(image: Tensor, truth: Tensor) -> float:
    """Mean over the images, of values from 0 to 1."""
    return float(ig.metrics.psnr(image, truth, data_range=1.0).mean())


def middle(report: Report, name: str, gray: bool = True) -> Tensor | None:
    """The middle of a picture."""
    path = data(report, f"images/{name}.png")
    if path is None:
        return None
    image = torch.from_numpy(ig.io.read_images(path, gray=gray)[0])
    top, left = ((n - SIZE) // 2 for n in image.shape[-2:])
    return image[..., top : top + SIZE, left : left + SIZE]


def photographs(report: Report) -> None:
    """The middle of four photographs, 256x256, noise 0.02; knobs are tuned on other pictures."""
    model = prior(report, "denoiser-gray")
    images = {name: middle(report, name) for name in (*NAMES, *TUNING)}
    if model is None or any(image is None for image in images.values()):
        return
    test, tuning = (torch.stack([images[name] for name in names]) for names in (NAMES, TUNING))
    methods = [
        total_variation(),
        wavelets(4),
        non_local_means(),
        sampler("DiffPIR", lambda lam: DiffPIR(model, weight=lam, **SETTINGS), 0.1, 10.0, 8),
    ]
    noise = ig.noise.Gaussian(STD)
    for name, A in operators().items():
        tasks = [
            (ig.Problem(A, noise.sample(A(truth), seed), noise), truth)
            for truth, seed in ((tuning, 1), (test, 0))
        ]
        compare(report, Task(f"photographs, {name}", *tasks), methods, psnr, 0.5)


def colorization(report: Report) -> None:
    """Colours of four photographs from their brightness, by `denoiser-color`; grey is what knows nothing."""
    model = prior(report, "denoiser-color")
    images = [middle(report, name, gray=False) for name in NAMES]
    if model is None or any(image is None for image in images):
        return
    truth = torch.stack(images)
    A, noise = Grayscale((3, SIZE, SIZE)), ig.noise.Gaussian(0.01)
    problem = ig.Problem(A, noise.sample(A(truth), 0), noise)
    grey = problem.measurement[:, None].expand_as(truth)
    found = DiffPIR(model, iterations=50, scale=1.0)(problem, samples=4, seed=0)
    for name, x in {"grey": grey, "one sample": found.samples[0], "mean of 4 samples": found.x}.items():
        report.row(f"colorization of photographs: {name}", f"{psnr(x, truth):.2f} dB")
