"""Intervals with a guarantee."""

from __future__ import annotations

import torch
from torch import Tensor

import invgen as ig
from invgen.noise import Gaussian
from invgen.operators import GaussianMatrix, Mask, Radon

#: Numbers of digits, of phantoms, and of samples of each.
DIGITS, PHANTOMS, SAMPLES = 400, 120, 8


def digit_problem(name: str, truth: Tensor) -> ig.Problem:
    """Digits that one operator has measured, a batch: their upper half, or 100 Gaussian projections."""
    if name == "upper half":
        known = torch.zeros(28, 28)
        known[:14] = 1
        A: ig.operators.LinearOperator = Mask(known)
    else:
        A = GaussianMatrix((28, 28), 100, seed=0)
    noise = Gaussian(0.05)
    return ig.Problem(A, noise.sample(A(truth), seed=1), noise)


def phantoms(count: int) -> tuple[ig.Problem, Tensor]:
    """Random objects, 128 x 128, that `ct-phantoms` has not learned from, of 30 views in closed form."""
    A, noise = Radon((128, 128), angles=30), Gaussian(0.5)
    angles, bins = A.geometry.angles, A.range.shape[-1]
    objects = [ig.phantoms.random(3_000_000 + k, half_width=64.0) for k in range(count)]
    truth = torch.stack([each.image((128, 128), 1.0).float() for each in objects])
    clean = torch.stack([each.sinogram(angles, bins).float() for each in objects])
    return ig.Problem(A, noise.sample(clean, seed=1), noise), truth
