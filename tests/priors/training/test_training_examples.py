"""The scripts that train the weights that ship, for a step each of a small network."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

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
            "hierarchical_vae",
            ["--widths", "8", "8", "--latent", "2", "1", "--weighted", "4"],
            "the first 4: 100 importance-weighted samples: ",
        ),
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
    name = f"digits-{name.replace('_', '-')}"
    prior = ig.priors.load(tmp_path / f"{name}.safetensors")
    assert prior.card["training"].items() >= {"steps": 1, "batch": 4, "seed": 0}.items()
    assert list((tmp_path / name).rglob("step-*1.png"))


def test_a_file_gets_what_a_test_of_anomalies_needs_and_keeps_its_tensors(tmp_path):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (100, 28, 28), dtype=np.uint8)
    for part, images in (("train", pixels[:60]), ("test", pixels[60:])):
        header = struct.pack(">4B3i", 0, 0, 8, 3, len(images), 28, 28)
        (tmp_path / f"{part}-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    learned = torch.from_numpy(pixels[:60] / np.float32(255))
    ig.priors.ContextTable.fit(learned).with_card(data="noise").save(tmp_path / "prior.safetensors")
    (tmp_path / "out").mkdir()
    command = [
        *(sys.executable, str(SCRIPTS / "digits_calibration.py"), "prior.safetensors", "--folder", "out"),
        *("--learned", "train-idx3-ubyte.gz", "--held-out", "test-idx3-ubyte.gz", "--every", "2"),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (before, tensors), (after, same) = (
        ig.priors.files.checkpoints.read(tmp_path / name / "prior.safetensors") for name in (".", "out")
    )
    assert {name for name in after if after[name] != before.get(name)} == {"calibration"}
    assert all(torch.equal(tensors[name], same[name]) for name in tensors)
    detector = ig.plausibility.AnomalyDetector(ig.priors.load(tmp_path / "out" / "prior.safetensors"))
    assert len(detector.calibration) == 13  # of 20, seven were fitted to
    assert after["training_data"]["count"] == 60
