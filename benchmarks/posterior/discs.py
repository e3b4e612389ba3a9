"""CT by `ct-phantoms`: measured discs."""

from __future__ import annotations

from typing import Any

from torch import Tensor

import invgen as ig
from benchmarks.posterior.comparison import Method, Task, compare, sampler, total_variation
from benchmarks.priors.sources import data, prior
from benchmarks.report import Report
from invgen.solvers import DiffPIR

SIZE = 128
SETTINGS: dict[str, Any] = {"iterations": 30, "scale": 1.0, "sigma_range": (0.003, 0.5)}


def psnr(image: Tensor, truth: Tensor) -> float:
    """Mean over the images, of values from 0 to 1; none is negative."""
    return float(ig.metrics.psnr(image.clamp(min=0), truth, data_range=1.0).mean())


def methods(model: object, samples: int) -> list[Method]:
    """Total variation without negative values, and the samplers."""
    return [
        total_variation(nonnegative=True),
        sampler("DiffPIR", lambda lam: DiffPIR(model, weight=lam, **SETTINGS), 0.1, 10.0, samples),
    ]


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
