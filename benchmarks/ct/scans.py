"""Measured scans, where the folder of sample data is there."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.io import loadmat
from skimage.filters import threshold_otsu

import invgen as ig
from benchmarks.report import Report, relative
from invgen.bench.suites.data import folder
from invgen.priors import TotalVariation
from invgen.solvers import FBP, FISTA, PDHG

_DATA = folder() / "ct"
_SKIPPED = "skipped: set INVGEN_DATA to the folder of sample data"


def scan(report: Report) -> None:
    """A tooth from a quarter of its views: the others are the judges."""
    path = _DATA / "tooth.h5"
    if not path.exists():
        report.row("tooth.h5", _SKIPPED)
        return
    with ig.io.open_scan(path) as tooth:
        center = tooth.find_center()
        report.row(
            "tooth.h5: centre of rotation",
            f"{float(center):.2f}",
            "296 +- 0.5",
            abs(float(center) - 296) <= 0.5,
        )
        every = tooth.problem(0, center=float(center))
        fourth = tooth.problem(0, center=float(center), views=slice(0, None, 4))
    withheld = torch.ones(len(every.operator.angles), dtype=torch.bool)
    withheld[::4] = False
    images = {
        "Hann-windowed FBP": FBP(window="hann")(fourth).x,
        "TV": PDHG(TotalVariation())(fourth).x,
        "TV, non-negative": PDHG(TotalVariation(nonnegative=True))(fourth).x,
    }
    errors = {
        name: relative(every.operator(x)[withheld], every.measurement[withheld]) for name, x in images.items()
    }
    reference = errors["Hann-windowed FBP"]
    for name, error in errors.items():
        wanted = ("0.8 of FBP's", error <= 0.8 * reference) if "TV" in name else ("", None)
        report.row(
            f"tooth.h5, every 4th view: error at withheld views, {name}",
            f"{error:.4f} ({error / reference:.2f})",
            *wanted,
        )


#: Weights of the total variation, in the objective ``|A x - y|^2 / 2 + weight TV(x)`` in millimetres.
_WEIGHTS = (0.02, 0.03, 0.05)


def htc(report: Report) -> None:
    """The Helsinki Tomography Challenge 2022: discs with holes, from all around and from 90 degrees."""
    scans = {name: _DATA / f"htc2022_{name}_full.mat" for name in ("ta", "tc", "solid_disc")}
    if not all(path.exists() for path in scans.values()):
        report.row("HTC2022", _SKIPPED)
        return
    fbp, tv = {}, {}
    for name, path in scans.items():
        truth = loadmat(path.with_name(path.stem + "_recon_fbp_seg.mat"))["reconFullFbpSeg"].astype(bool)
        with ig.io.open_scan(path) as opened:
            full = _overlap(FBP()(opened.problem(0)).x, truth)
            quarter = opened.problem(0, angles_range=(0.0, math.pi / 2))
        report.row(f"HTC2022 {name}, 360 degrees, FBP: IoU", f"{full:.4f}", "0.995", full >= 0.995)
        fbp[name] = _overlap(FBP()(quarter).x, truth)
        for weight in _WEIGHTS:
            solver = FISTA(TotalVariation(weight, nonnegative=True), iterations=200, tolerance=0)
            tv[name, weight] = _overlap(solver(quarter).x, truth)
    for name in scans:
        others = [other for other in scans if other != name]
        weight = max(_WEIGHTS, key=lambda w: sum(tv[other, w] for other in others))
        gain = tv[name, weight] - fbp[name]
        report.row(
            f"HTC2022 {name}, 90 degrees, TV of weight {weight}: IoU",
            f"{tv[name, weight]:.4f}, FBP's {fbp[name]:.4f} + {gain:.3f}",
            "FBP's + 0.15",
            gain >= 0.15,
        )


def _overlap(image: torch.Tensor, truth: np.ndarray) -> float:
    """Intersection over union of what is above Otsu's threshold with a segmentation."""
    found = image.numpy() > threshold_otsu(image.numpy())
    return float((found & truth).sum() / (found | truth).sum())
