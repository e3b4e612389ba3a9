"""Phase retrieval from the command line: the attenuation of an object behind which edges are enhanced."""

from __future__ import annotations

import math
import shlex

import h5py
import numpy as np
import pytest
from scipy.fft import dctn, idctn

from invgen.io import read_reconstruction

VIEWS, ROWS, COLUMNS, PIXEL, WIDTH = 45, 24, 64, 2.0, 14.0  # um
ANGLES = np.arange(VIEWS) * np.pi / VIEWS
PHASE = ("--paganin", 400 * math.pi, "--distance", 0.02, "--energy", 12.39841984)
ALPHA = 200.0  # um^2: 12.4 keV are 1e-10 m, times 0.02 m and 100
BLOBS = ((20.0, 0.3, 4.0), (-15.0, 1.2, -9.0))  # of Gaussian attenuation: x, y, z
PEAK = 0.006  # 1/um: no more than leaves light everywhere


@pytest.fixture
def scans(tmp_path):
    """Data Exchange, without noise, at the object and behind it; and the attenuation."""
    s, z = (np.arange(COLUMNS) - (COLUMNS - 1) / 2) * PIXEL, (np.arange(ROWS) - (ROWS - 1) / 2) * PIXEL
    lines, truth = np.zeros((VIEWS, ROWS, COLUMNS)), np.zeros((ROWS, COLUMNS, COLUMNS))
    for x0, y0, z0 in BLOBS:
        place = s - (x0 * np.cos(ANGLES) + y0 * np.sin(ANGLES))[:, None, None]
        height = (z[:, None] - z0) ** 2
        lines += PEAK * WIDTH * math.sqrt(2 * math.pi) * np.exp(-(place**2 + height) / (2 * WIDTH**2))
        square = (s - x0) ** 2 + (-s[:, None] - y0) ** 2
        truth += PEAK * np.exp(-(square + height[:, :, None]) / (2 * WIDTH**2))
    y, x = np.pi * np.arange(ROWS) / (ROWS * PIXEL), np.pi * np.arange(COLUMNS) / (COLUMNS * PIXEL)
    waves = dctn(np.exp(-lines), axes=(1, 2))
    images = {
        "at": np.exp(-lines),
        "behind": idctn(waves * (1 + ALPHA * (x**2 + y[:, None] ** 2)), axes=(1, 2)),
    }
    for name, image in images.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["exchange/data"] = (30000 * image).astype(np.float32)
            file["exchange/data_white"] = np.full((3, ROWS, COLUMNS), 30000, np.float32)
            file["exchange/data_dark"] = np.zeros((3, ROWS, COLUMNS), np.float32)
            file["exchange/theta"] = np.rad2deg(ANGLES)
            for axis in "xy":
                size = file.create_dataset(
                    f"measurement/instrument/detector/actual_pixel_size_{axis}", data=PIXEL
                )
                size.attrs["units"] = "um"
    return tmp_path, truth


def test_the_attenuation_behind_enhanced_edges_is_that_at_the_object(invgen, scans):
    folder, truth = scans
    common = ("--center", (COLUMNS - 1) / 2, "--air", "off", "--size", COLUMNS, "--slices", 9)
    errors = {}
    for name, scan, words in (("at", "at", ()), ("behind", "behind", ()), ("retrieved", "behind", PHASE)):
        out = folder / f"{name}_out.h5"
        result = invgen("recon", folder / f"{scan}.h5", "-o", out, *common, *words)
        assert result.exit_code == 0, result.output
        with read_reconstruction(out) as file:
            image, command, report = file.volume[:], file.settings["command"], " ".join(file.report(0))
        errors[name] = np.linalg.norm(image - truth[9:10]) / np.linalg.norm(truth[9:10])
    assert errors["behind"] > 0.3
    assert errors["retrieved"] < errors["at"] + 1e-3
    assert "retrieved the phase" in report
    words = shlex.split(command)
    assert [float(words[words.index(word) + 1]) for word in PHASE[::2]] == list(PHASE[1::2])


def test_a_part_of_the_physics_is_refused(refused, scan, mri, tmp_path):
    message = refused("recon", scan, "-o", tmp_path / "out.h5", "--paganin", 100)
    assert "--paganin, --distance and --energy are given together" in message
    message = refused("recon", scan, "-o", tmp_path / "out.h5", *PHASE)
    assert "pixel size" in message
    message = refused("recon", scan, "-o", tmp_path / "out.h5", *PHASE[:4], "--energy", 0)
    assert "positive energy" in message
    assert "is for CT scans" in refused("recon", mri, "-o", tmp_path / "out.h5", *PHASE)
