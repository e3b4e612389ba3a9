"""Restarts and measurements at once, against one after the other."""

from __future__ import annotations

import time
from typing import Any

import invgen as ig
from benchmarks.priors.sources import data, prior
from benchmarks.report import Report
from invgen.bench.suites.cs_digits import SHAPE, published
from invgen.bench.suites.data import digits, folder
from invgen.operators import GaussianMatrix
from invgen.solvers import LatentOptimization

#: Measurements, restarts of each, and steps.
BATCH, RESTARTS, STEPS = 64, 10, 500

#: Of the runs one after the other, which are made; the time of the others follows.
MADE = 3


def speed(report: Report) -> None:
    """64 measurements x 10 restarts x 500 steps of Adam: a convolutional and a fully connected decoder."""
    paths = [data(report, name) for name in ("digits/mnist8k-images-idx3-ubyte.gz", "weights/mnist_vae.pth")]
    vae = prior(report, "digits-vae")
    if None in paths or vae is None:
        return
    truth, other = digits(folder())[:BATCH], published(folder(), "published VAE")
    A, noise = GaussianMatrix(SHAPE, 100, seed=0), ig.noise.Gaussian(0.05)
    measured = noise.sample(A(truth), seed=0)
    for name, generator in {"digits-vae": vae, "published VAE": other}.items():
        settings: dict[str, Any] = {
            "optimizer": "adam",
            "learning_rate": 0.03,
            "iterations": STEPS,
            "scale": 1.0,
            "tolerance": 0.0,
        }
        began = time.perf_counter()
        together = LatentOptimization(generator, restarts=RESTARTS, **settings)(
            ig.Problem(A, measured, noise), seed=0
        )
        batched = time.perf_counter() - began
        single, apart = 0.0, 0.0
        for i in range(MADE):
            kept = int(together.stats["restart_kept"][i])
            began = time.perf_counter()
            alone = LatentOptimization(generator, restarts=1, **settings)(
                ig.Problem(A, measured[i], noise), seed=kept
            )
            single += (time.perf_counter() - began) / MADE
            apart = max(apart, float((alone.x - together.x[i]).abs().amax()))
        times = single * BATCH * RESTARTS / batched
        title = f"{BATCH} measurements x {RESTARTS} restarts x {STEPS} steps, {name}"
        report.row(
            f"{title}: at once; one after the other, from {MADE} of {BATCH * RESTARTS}",
            f"{batched:.0f} s; {single * BATCH * RESTARTS:.0f} s: {times:.1f} times as fast",
            "10",
            times >= 10,
        )
        report.row(f"{title}: largest difference of a pixel", f"{apart:.1e}", "1e-4", apart <= 1e-4)
