"""Every example runs from top to bottom."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "tomography.py": ["--size", "64", "--views", "20", "--output", "picture.png"],
    "fan_beam.py": ["--size", "64", "--views", "90", "--output", "picture.png"],
    "cone_beam.py": ["--size", "24", "--views", "20", "--output", "picture.png"],
    "imaging.py": ["--size", "32", "--output", "picture.png"],
    "mri.py": ["--size", "64", "--output", "picture.png"],
    "own_physics.py": ["--size", "32"],
}


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example_runs(name, tmp_path):
    command = [sys.executable, str(EXAMPLES / name), *ARGUMENTS[name]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "dB" in done.stdout
