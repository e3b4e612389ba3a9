"""Simulated scans of a smooth object by coils around it."""

import numpy as np
import pytest
import torch

from invgen.operators import Fourier


def coordinates(shape):
    return torch.meshgrid(*[(torch.arange(n).double() - n // 2) / (n / 2) for n in shape], indexing="ij")


def coil_maps(shape, coils, reach=1.2):
    """Sensitivities that fall off like Gaussians around places on a circle, turning in phase."""
    maps = []
    for c in range(coils):
        place, turn = 2 * np.pi * c / coils, 2 * np.pi * c / coils
        center = [np.sin(place), np.cos(place), 0.3][: len(shape)]
        near = sum((r - p) ** 2 for r, p in zip(coordinates(shape), center, strict=True))
        slope = sum(r * p for r, p in zip(coordinates(shape), center, strict=True))
        maps.append(torch.polar(torch.exp(-near / reach**2), turn + 0.8 * slope))
    return torch.stack(maps)


def object_within(shape):
    """An ellipsoid with a soft edge and structure, and with a phase."""
    places = coordinates(shape)
    radius = sum((r / 0.75) ** 2 for r in places).sqrt()
    inside = torch.sigmoid((1 - radius) * 15)
    structure = 1 + 0.3 * torch.cos(9 * places[0]) * torch.cos(7 * places[1])
    return torch.polar(inside * structure, 0.5 * places[0] + places[1] ** 2), radius < 0.95


@pytest.fixture
def scan():
    """k-space (coils, *shape), the true maps of unit norm, and where the object is."""

    def make(shape=(48, 40), coils=5, std=0.0, seed=0):
        maps, (x, inside) = coil_maps(shape, coils), object_within(shape)
        y = Fourier(shape)(maps * x)
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
        return y + std * 2**0.5 * noise, maps / maps.abs().square().sum(0).sqrt(), inside

    return make


@pytest.fixture
def angle():
    """Sine of the angle between the vectors of two sets of maps, whatever the phase of each pixel."""

    def between(maps, truth):
        return (maps - truth * (truth.conj() * maps).sum(0)).norm(dim=0)

    return between


@pytest.fixture
def brain(measured_file):
    """Measured k-space (8, 230, 180) of a head, complex64, with a middle that is fully sampled."""
    return torch.from_numpy(np.load(measured_file("mri/sigpy_cartesian_ksp.npy")))
