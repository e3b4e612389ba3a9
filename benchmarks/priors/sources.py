"""Weights and data, where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import invgen as ig
from benchmarks.report import Report
from invgen.bench.suites import data as sources
from invgen.priors.files import checkpoints

_DATA = sources.folder()


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
    """The slices of `invgen.bench.suites.data.head`; or None."""
    return sources.head(_DATA, path, pixel) if data(report, path) else None


def chests(report: Report) -> tuple[Tensor, Tensor] | None:
    """The slices of `invgen.bench.suites.data.chests`; or None."""
    return sources.chests(_DATA) if data(report, "ct_slices/tcga_chest_train_0.npz") else None


def digits(report: Report) -> tuple[Tensor, Tensor] | None:
    """MNIST's 60,000 training digits and 8,000 of its test digits, (n, 28, 28) in 8 bits; or None."""
    paths = [data(report, f"digits/mnist-train-{i}-images-idx3-ubyte.gz") for i in range(6)]
    found = [path for path in (*paths, data(report, "digits/mnist8k-images-idx3-ubyte.gz")) if path]
    if len(found) < 7:
        return None
    sets = [np.stack(ig.io.read_images(path)) for path in found]
    levels = [torch.from_numpy((255 * images).round().astype(np.uint8)) for images in sets]
    return torch.cat(levels[:-1]), levels[-1]
