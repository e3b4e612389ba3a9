"""MNIST's test digits with their labels."""

from __future__ import annotations

import torch
from torch import Tensor

import invgen as ig
from benchmarks.priors import sources
from benchmarks.report import Report

__all__ = ["test_digits"]


def test_digits(report: Report, first: int, count: int) -> tuple[Tensor, Tensor] | None:
    """Some of the first 8,000, float32 from 0 to 1, and their labels; or None where they are not there."""
    paths = [
        sources.data(report, f"digits/mnist8k-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
    ]
    if None in paths:
        return None
    images = ig.io.read_images(paths[0])[first : first + count]
    labels = ig.io.read_labels(paths[1])[first : first + count]
    return torch.stack([torch.from_numpy(x) for x in images]).float(), torch.from_numpy(labels).long()
