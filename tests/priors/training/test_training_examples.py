"""The scripts that train the weights that ship, for a step each of a small network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import invgen as ig

#: Several tests run at a time, and threads that share a core wait for each other.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
SCRIPTS = Path(__file__).parents[3] / "examples" / "training"
SMALL = ["--steps", "1", "--batch", "2", "--widths", "8", "8", "--output", "prior.safetensors"]
ARGUMENTS = {
    "ct_phantoms.py": ["--objects", "3", "--size", "32"],
    "brain_mr.py": ["HEAD", "--shape", "64", "48", "--patch", "16"],
}


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_training_script_writes_a_prior_and_what_it_was_made_of(name, tmp_path, measured_file):
    arguments = [str(measured_file("volumes/chris_t1.nii.gz")) if a == "HEAD" else a for a in ARGUMENTS[name]]
    command = [sys.executable, str(SCRIPTS / name), *arguments, *SMALL]
    done = subprocess.run(command, cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "dB" in done.stdout
    header = ig.priors.about(tmp_path / "prior.safetensors")
    assert header["data"]
    assert header["training"] == {"steps": 1, "batch": 2, "seed": 0}
    assert header["quality"]
    prior = ig.priors.load(tmp_path / "prior.safetensors")
    assert prior.image_format.field == ("complex" if name == "brain_mr.py" else "real")
    assert len(list(tmp_path.glob("*/step-1.png"))) == 1
