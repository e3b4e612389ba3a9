"""Whole numbers: those of NumPy are taken, True and 5.0 are not."""

import numpy as np
import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import ParameterError
from invgen.priors import (
    L1,
    CycleSpunWavelets,
    Diffusion,
    Gaussian,
    GaussianMixture,
    GroupSparsity,
    KernelDensity,
    NetworkDenoiser,
    NonLocalMeans,
    PatchMixture,
    ProxDenoiser,
    TotalVariation,
    TVDenoiser,
)
from invgen.priors.diffusion.reverse import flow_log_prob, noise_levels
from invgen.priors.nets import UNet
from invgen.priors.training import Batches, Noise2Self, Splitting, Training, Update

from ..contracts.numbers import normal

IMAGES = [torch.rand(1, 8, 8) for _ in range(4)]
PHOTOGRAPHS = [torch.rand(12, 12, generator=torch.Generator().manual_seed(0))]
MASK = torch.ones(4, 4, dtype=torch.bool)
PROBLEM = ig.Problem(ig.operators.Mask(MASK), torch.rand(4, 4))
GAUSSIAN = Gaussian(torch.zeros(2, 3), 1.0)


class Net(nn.Module):
    def forward(self, x, sigma, label=None, extra=None):
        return x / (1 + sigma[:, None, None, None] ** 2)


NET = Net()


def flow(**numbers):
    return flow_log_prob(GAUSSIAN.denoise, torch.zeros(1, 2, 3), 0.1, 1.0, std=1.0, **{"steps": 2, **numbers})


#: What takes a whole number, with one that it takes.
COUNTS = {
    "TVDenoiser iterations": (lambda n: TVDenoiser(iterations=n), 5),
    "NonLocalMeans patch": (lambda n: NonLocalMeans(patch_size=n), 5),
    "NonLocalMeans distance": (lambda n: NonLocalMeans(patch_distance=n), 5),
    "CycleSpunWavelets levels": (lambda n: CycleSpunWavelets(levels=n), 2),
    "ProxDenoiser axes": (lambda n: ProxDenoiser(L1(), axes=n), 2),
    "ProxDenoiser iterations": (lambda n: ProxDenoiser(L1(), iterations=n), 5),
    "NetworkDenoiser channels": (lambda n: NetworkDenoiser(NET, (0, 1), channels=n), 3),
    "NetworkDenoiser multiple": (lambda n: NetworkDenoiser(NET, (0, 1), multiple=n), 3),
    "Diffusion channels": (lambda n: Diffusion(NET, channels=n), 3),
    "Diffusion shape": (lambda n: Diffusion(NET, (n, 5)), 3),
    "Diffusion classes": (lambda n: Diffusion(NET, classes=n), 3),
    "a class": (lambda n: Diffusion(NET, classes=9).of_class(n), 2),
    "levels": (lambda n: noise_levels(n, 0.1, 1.0), 3),
    "steps of the flow": (lambda n: flow(steps=n), 2),
    "probes of the flow": (lambda n: flow(probes=n), 2),
    "samples": (lambda n: GAUSSIAN.sample(n, 0), 3),
    "samples of a network": (lambda n: Diffusion(NET, (4, 5)).sample(n, 0, steps=2), 1),
    "fit components": (lambda n: GaussianMixture.fit(normal(9, 2), n), 2),
    "fit iterations": (lambda n: GaussianMixture.fit(normal(9, 2), 1, iterations=n), 9),
    "neighbors": (lambda n: KernelDensity(normal(9, 2), "neighbors", n), 2),
    "patch": (lambda n: PatchMixture.fit(PHOTOGRAPHS, n, 2, patches=90, iterations=1), 3),
    "patch components": (lambda n: PatchMixture.fit(PHOTOGRAPHS, 3, n, patches=90, iterations=1), 2),
    "patches": (lambda n: PatchMixture.fit(PHOTOGRAPHS, 3, 2, patches=n, iterations=1), 90),
    "patch iterations": (lambda n: PatchMixture.fit(PHOTOGRAPHS, 3, 2, patches=90, iterations=n), 1),
    "stride": (lambda n: ig.priors.load("patches-gray").restore(PHOTOGRAPHS[0], 0.1, n), 8),
    "axis": (lambda n: GroupSparsity(axis=n), -3),
    "axes": (lambda n: TotalVariation(axes=(-1, n)), -2),
    "joint": (lambda n: TotalVariation(joint=n), -3),
    "batch": (lambda n: Batches(IMAGES, batch_size=n), 2),
    "crop": (lambda n: Batches(IMAGES, patch=n), 4),
    "grid": (lambda n: Noise2Self(IMAGES, noise_std=0.1, grid=n), 4),
    "batch of scans": (lambda n: Splitting([PROBLEM], [MASK], 0.1, batch_size=n), 2),
    "steps": (lambda n: Training(steps=n), 5),
    "warmup": (lambda n: Training(warmup=n), 5),
    "seed": (lambda n: Training(seed=n), 5),
    "rows of the log": (lambda n: Training(log_every=n), 5),
    "validation": (lambda n: Training(validate_every=n), 5),
    "updates": (lambda n: Update(NET, None, n), 5),
    "UNet inputs": (lambda n: UNet(inputs=n), 2),
    "UNet widths": (lambda n: UNet(widths=(n, 8)), 4),
    "UNet blocks": (lambda n: UNet(widths=(4,), blocks=n), 1),
    "UNet unshuffle": (lambda n: UNet(widths=(4,), unshuffle=n), 2),
    "UNet attention": (lambda n: UNet(widths=(4,), attention=(n,)), 0),
    "UNet classes": (lambda n: UNet(widths=(4,), classes=n), 3),
}


@pytest.mark.parametrize("name", COUNTS)
def test_whole_numbers_are_those_of_python_and_numpy(name):
    make, count = COUNTS[name]
    make(count)
    make(np.int64(count))
    for wrong in (True, float(count), -7.5, str(count), None):
        if wrong is None and name in (
            "joint",
            "crop",
            "a class",
            "NetworkDenoiser channels",
            "Diffusion channels",
        ):
            continue
        with pytest.raises(ParameterError, match=r"whole number|from the end|classes are|each side"):
            make(wrong)
