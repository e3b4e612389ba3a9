"""Every Triton kernel compiles for GPUs that are not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

SCRIPT = Path(__file__).with_name("compile_kernels.py")


@pytest.mark.parametrize("words", [("--quick",), pytest.param((), marks=pytest.mark.slow)])
def test_kernels_compile_for_nvidia_s_gpus(words):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, SCRIPT, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
