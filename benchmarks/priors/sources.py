"""Weights and data, where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

import invgen as ig
from benchmarks.report import Report
from invgen.priors.files import checkpoints

_DATA = Path(os.environ.get("INVGEN_DATA", Path(__file__).parents[3] / "shared" / "data"))


def prior(report: Report, name: str) -> Any:
    """The prior of that name from the folder ``INVGEN_WEIGHTS``, else the one that ships, else None."""
    path = Path(os.environ.get("INVGEN_WEIGHTS", ".")) / f"{name}.safetensors"
    if path.exists():
        report.row(f"`{name}`", f"of {path}")
        return ig.priors.load(path)
    if name in checkpoints.shipped():
        return ig.priors.load(name)
    report.row(f"`{name}`", "skipped: this version comes without it")
    return None


def data(report: Report, name: str) -> Path | None:
    """A file of the folder of sample data, or None where it is not there."""
    if not (_DATA / name).exists():
        report.row(name, "skipped: set INVGEN_DATA to the folder of sample data")
        return None
    return _DATA / name


def head(report: Report, path: str, pixel: float) -> Tensor | None:
    """Axial slices ``(n, 256, 192)`` of a head with pixels of 0.9 mm, the front at the top; or None.

    Over the percentile 99.8 of the volume, as `brain-mr` learned its heads, and around their center.

    Parameters
    ----------
    report, path
        Of a volume in NIfTI whose axes are sideways, to the front, and up.
    pixel : float
        The side of its pixels in mm.
    """
    found = data(report, path)
    if found is None:
        return None
    volume = np.stack(ig.io.read_images(found))
    volume = volume / np.percentile(volume, 99.8)
    center = [np.average(n, weights=volume > 0.2) for n in np.indices(volume.shape)[1:]]
    rows, columns = ((np.arange(n) - (n - 1) / 2) * 0.9 / pixel for n in (256, 192))
    places = np.meshgrid(center[1] - rows, center[0] + columns, indexing="ij")
    slices = [map_coordinates(each.T, places, order=3).clip(0) for each in volume]
    return torch.from_numpy(np.stack(slices)).float()


def chests(report: Report) -> tuple[Tensor, Tensor] | None:
    """Slices (n, 512, 512) that `chest-ct` has learned from, and those of six patients held out; or None.

    Attenuation over that of water, from that of air to 1500 HU.
    """
    paths = [data(report, f"ct_slices/tcga_chest_train_{i}.npz") for i in range(3)]
    found = [np.load(path)["hu"] for path in paths if path]
    if len(found) < 3:
        return None
    slices = torch.from_numpy(np.concatenate(found)).div(1000).add(1).clamp(0, 2.5)
    held_out = torch.arange(len(slices)) % 4 == 3
    return slices[~held_out], slices[held_out]


def digits(report: Report) -> tuple[Tensor, Tensor] | None:
    """MNIST's 60,000 training digits and 8,000 of its test digits, (n, 28, 28) in 8 bits; or None."""
    paths = [data(report, f"digits/mnist-train-{i}-images-idx3-ubyte.gz") for i in range(6)]
    found = [path for path in (*paths, data(report, "digits/mnist8k-images-idx3-ubyte.gz")) if path]
    if len(found) < 7:
        return None
    sets = [np.stack(ig.io.read_images(path)) for path in found]
    levels = [torch.from_numpy((255 * images).round().astype(np.uint8)) for images in sets]
    return torch.cat(levels[:-1]), levels[-1]
