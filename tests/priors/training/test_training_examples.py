"""The scripts that train the weights that ship, for a step each of a small network."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import invgen as ig

#: Several tests run at a time, and threads that share a core wait for each other.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
SCRIPTS = Path(__file__).parents[3] / "examples" / "training"
SMALL = ["--steps", "1", "--batch", "2", "--widths", "8", "8", "--output", "prior.safetensors"]
ARGUMENTS = {
    "ct_phantoms.py": ["--objects", "3", "--size", "32"],
    "brain_mr.py": [
        *("heads/g_flair.nii.gz", "heads/i_t1_tumour.nii.gz", "--slices", "3", "--coarse-slices", "3"),
        *("--shape", "64", "48", "--pixel", "3.6", "--patch", "16", "--grid-steps", "1"),
    ],
    "chest_ct.py": ["ct_slices/tcga_chest_train_0.npz"],
}


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_training_script_writes_a_prior_and_what_it_was_made_of(name, tmp_path, measured_file):
    arguments = [str(measured_file(a)) if "/" in a else a for a in ARGUMENTS[name]]
    command = [sys.executable, str(SCRIPTS / name), *arguments, *SMALL]
    done = subprocess.run(command, cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "dB" in done.stdout
    header = ig.priors.about(tmp_path / "prior.safetensors")
    assert header["data"]
    assert header["training"].items() >= {"steps": 1, "batch": 2, "seed": 0}.items()
    assert header["quality"]
    prior = ig.priors.load(tmp_path / "prior.safetensors")
    assert prior.image_format.field == ("complex" if name == "brain_mr.py" else "real")
    assert len(list(tmp_path.glob("*/step-1.png"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        # of noise, and before it learns, all eight bits
        ("flow", ["--width", "8"], "20 test digits: 8."),
        ("vae", ["--widths", "8", "8", "--weighted", "4"], "the first 4: 100 importance-weighted samples: "),
        (
            "autoregressive",
            ["--width", "8", "--layers", "1", "--softmax", "1"],
            "bits per dimension of 20 test digits",
        ),
    ],
)
def test_a_density_of_digits_is_trained_and_its_file_measured(name, options, said, tmp_path):
    generator = np.random.default_rng(0)
    for part, count in (("train", 70), ("test", 20)):
        header = struct.pack(">4B3i", 0, 0, 8, 3, count, 28, 28)
        pixels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8).tobytes()
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pixels))
    command = [
        *(sys.executable, str(SCRIPTS / f"digits_{name}.py"), "train-images-idx3-ubyte.gz"),
        *("--test", "test-images-idx3-ubyte.gz", "--steps", "1", "--batch", "4", *options),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    prior = ig.priors.load(tmp_path / f"digits-{name}.safetensors")
    assert prior.card["training"].items() >= {"steps": 1, "batch": 4, "seed": 0}.items()
    assert list((tmp_path / f"digits-{name}").rglob("step-*1.png"))
