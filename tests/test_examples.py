"""Every example runs from top to bottom."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Several tests run at a time, and threads that share a core wait for each other.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
EXAMPLES = Path(__file__).parents[1] / "examples"
FEW = ["--samples", "2", "--output", "picture.png"]
PICTURE = ["--output", "picture.png"]
ARGUMENTS = {
    "tomography.py": ["--size", "64", "--views", "20", "--output", "picture.png"],
    "fan_beam.py": ["--size", "64", "--views", "90", "--output", "picture.png"],
    "cone_beam.py": ["--size", "24", "--views", "20", "--output", "picture.png"],
    "imaging.py": ["--size", "32", "--output", "picture.png"],
    "density_rates.py": ["--seeds", "2", "--sizes", "2", "--most", "400", "--steps", "50", *PICTURE],
    "many_machines.py": ["--size", "32", "--slices", "3", "--output", "picture.png"],
    "mri.py": ["--size", "64", "--output", "picture.png"],
    "own_physics.py": ["--size", "32"],
    "compressed_sensing.py": ["--size", "32", "--digits", "DIGITS", "--output", "picture.png"],
    "purification.py": ["DIGITS", "LABELS", "--count", "1", "--output", "picture.png"],
    "generative.py": ["DIGITS", "digits-vae", "--count", "2", *PICTURE],
    "misfit.py": ["--views", "20", "--iterations", "3", *PICTURE],
    "plausibility.py": ["DIGITS", "--count", "40", *PICTURE],
    "published_generators.py": [
        *("--gan", "GAN", "--vae", "VAE", "--digits", "DIGITS"),
        *("--starts", "1", "--output", "picture.png"),
    ],
    "real_scans.py": ["--bin", "8", "--tooth", "TOOTH", "--basalt", "BASALT", "--output", "picture.png"],
    "posterior/inpainting.py": ["PHOTOGRAPH", "--size", "48", *FEW],
    "posterior/super_resolution.py": ["PHOTOGRAPH", "--size", "48", *FEW],
    "posterior/colorization.py": ["PHOTOGRAPH", "--size", "48", *FEW],
    "posterior/compressed_sensing.py": ["DIGITS", *FEW],
    "posterior/intervals.py": ["--size", "48", "--count", "9", *FEW],
    "posterior/tomography.py": ["--size", "48", *FEW],
    "posterior/mri.py": ["HEAD", *FEW],
}
#: What examples print that have no decibels.
SAID = {"density_rates.py": "slope", "misfit.py": "p-value", "plausibility.py": "p-value"}
#: Arguments that stand for measured data.
MEASURED = {
    "DIGITS": "digits/mnist8k-images-idx3-ubyte.gz",
    "LABELS": "digits/mnist8k-labels-idx1-ubyte.gz",
    "TOOTH": "ct/tooth.h5",
    "BASALT": "ct/sino_basalt.mat",
    "PHOTOGRAPH": "images/kodim23.png",
    "HEAD": "volumes/chris_t1.nii.gz",
    "GAN": "weights/mnist_gan_mlp_G.ckpt",
    "VAE": "weights/mnist_vae.pth",
}


def test_every_example_is_run():
    found = (path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.py"))
    assert {str(path) for path in found if path.parts[0] != "training"} == set(ARGUMENTS)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", ARGUMENTS)
def test_example_runs(name, tmp_path, measured_file):
    arguments = [str(measured_file(MEASURED[a])) if a in MEASURED else a for a in ARGUMENTS[name]]
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert SAID.get(name, "dB") in done.stdout
    assert name == "own_physics.py" or (tmp_path / "picture.png").stat().st_size > 1000
