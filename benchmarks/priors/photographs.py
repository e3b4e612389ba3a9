"""`denoiser-gray` on photographs of Kodak that it has not seen, beside what needs no training."""

from __future__ import annotations

import statistics
from importlib.util import find_spec

import torch

import invgen as ig
from benchmarks.priors.baselines import non_local_means, psnr, total_variation
from benchmarks.priors.sources import data, prior
from benchmarks.report import Report, race
from invgen.priors import BM3D

SIGMA = 25 / 255
NAMES = ("kodim01", "kodim04", "kodim20", "kodim23")


def photographs(report: Report) -> None:
    """Whole images of 768x512 pixels in gray, noise of 25 of 255 gray levels of seed 0."""
    model = prior(report, "denoiser-gray")
    paths = [data(report, f"images/{name}.png") for name in NAMES]
    if model is None or None in paths:
        return
    others = {"non-local means": non_local_means, "total variation at its best weight": total_variation}
    gains: dict[str, list[float]] = {name: [] for name in others}
    misstated: dict[float, list[float]] = {0.8: [], 1.2: []}
    if find_spec("bm3d"):
        others["BM3D"] = lambda noisy, truth, sigma: psnr(BM3D().denoise(noisy, sigma), truth)
        gains["BM3D"] = []
    for name, path in zip(NAMES, paths, strict=True):
        truth = torch.from_numpy(ig.io.read_images(path, gray=True)[0])
        noisy = ig.noise.Gaussian(SIGMA).sample(truth, seed=0)
        ours = psnr(model.denoise(noisy, SIGMA), truth)
        theirs = {other: measure(noisy, truth, SIGMA) for other, measure in others.items()}
        beside = ", ".join(f"{other} {value:.2f}" for other, value in theirs.items())
        report.row(f"{name}, sigma 25/255: PSNR", f"{ours:.2f} dB; {beside}")
        for other, value in theirs.items():
            gains[other].append(ours - value)
        for factor, losses in misstated.items():
            losses.append(ours - psnr(model.denoise(noisy, factor * SIGMA), truth))
    least = {"non-local means": 1.0, "total variation at its best weight": 1.5, "BM3D": -0.3}
    for other, found in gains.items():
        gain, wanted = statistics.mean(found), least[other]
        report.row(f"mean gain over {other}", f"{gain:+.2f} dB", f"{wanted:+g} dB", gain >= wanted)
    if "BM3D" not in gains:
        report.row("mean gain over BM3D", "skipped: the package bm3d is not installed")
    for factor, losses in misstated.items():
        loss = statistics.mean(losses)
        report.row(f"lost by a noise level stated {factor:g} times", f"{loss:.2f} dB", "0.7 dB", loss <= 0.7)

    threads, image = torch.get_num_threads(), torch.rand(512, 512)
    torch.set_num_threads(2)
    with torch.no_grad():
        time = race(lambda: model.denoise(image, SIGMA), rounds=5)[0]
    torch.set_num_threads(threads)
    report.row("one evaluation, 512x512, 2 threads, the shortest of five", f"{time:.2f} s", "3 s", time < 3)
