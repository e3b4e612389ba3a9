"""Small scans, and a prior of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import invgen as ig
from invgen.priors.nets import EDM, UNet
from invgen.simulate import simulate_ct, simulate_mri

from .cluster_cases import CASES, threads


@pytest.fixture(scope="session")
def scans(tmp_path_factory) -> dict[str, Path]:
    """A parallel, a fan and a cone beam, and MRI on a grid."""
    folder = tmp_path_factory.mktemp("scans")
    files = {name: folder / f"{name}.h5" for name in ("parallel", "fan", "cone", "grid")}
    simulate_ct(files["parallel"], "shepp-logan", size=24, views=20, slices=4, center_offset=1.5)
    simulate_ct(files["fan"], "shepp-logan", geometry="fan", size=24, views=90, pixel_size=0.1)
    simulate_ct(files["cone"], "shepp-logan", geometry="cone", size=16, views=30, slices=4)
    simulate_mri(files["grid"], size=(28, 24), coils=3, acceleration=2, calibration=12, slices=3)
    return files


@pytest.fixture(scope="session")
def prior(tmp_path_factory) -> Path:
    """A network of real images before its training: its denoiser is that of white Gaussian images."""
    torch.manual_seed(0)
    network = EDM(UNet(1, 1, widths=(8,), blocks=1), 0.5)
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    ig.priors.Diffusion(network, sigma_data=0.5).save(path)
    return path


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    """A folder of three pictures."""
    values = (np.random.default_rng(0).random((3, 24, 20)) * 255).astype(np.uint8)
    folder = tmp_path_factory.mktemp("pictures")
    for number, each in enumerate(values):
        Image.fromarray(each).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def client():
    with threads() as client:
        yield client


@pytest.fixture
def reconstructed(scans, prior, picture):
    """Reconstruct one of the cases."""

    def run(name, *output, **where):
        scan = {**scans, "picture": picture, "samples": scans["parallel"]}[name]
        learned = {"prior": prior} if name == "samples" else {}
        return ig.reconstruct(scan, *output, device="cpu", **CASES[name], **learned, **where)

    return run
