"""The scripts that train on digits, for a step each of a small network."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import invgen as ig

SCRIPTS = Path(__file__).parents[3] / "examples" / "training"
SMALL = ["--steps", "1", "--batch", "2", "--widths", "4", "8", "--output", "prior.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["energy", "autoencoder"])
def test_a_script_writes_a_prior_pictures_and_the_license(family, tmp_path):
    digits = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    with gzip.open(tmp_path / "digits-idx3-ubyte.gz", "wb") as file:
        file.write(struct.pack(">BBBB3I", 0, 0, 8, 3, *digits.shape) + digits.tobytes())
    command = [
        sys.executable,
        str(SCRIPTS / f"digits_{family}.py"),
        "--images",
        "digits-idx3-ubyte.gz",
        *SMALL,
    ]
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=threads, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    header = ig.priors.about(tmp_path / "prior.safetensors")
    assert header["family"] == family
    assert "CC BY-SA" in header["data"]
    assert ig.priors.load(tmp_path / "prior.safetensors").image_format.shape == (28, 28)
    assert len(list(tmp_path.glob("*/step-1.png"))) == 1
