"""The same bytes from one and two threads, and from processors with and without wide registers."""

import os
import subprocess
import sys

import numpy as np
import pytest

import invgen as ig
from invgen.plausibility import compress

#: Compresses arrays by priors, pairs of files, reads them again, and writes the bytes beside the arrays.
CODE = """
import sys
from pathlib import Path
import numpy as np, torch
from invgen.plausibility import compress, decompress
torch.set_num_threads(int(sys.argv[1]))
with torch.backends.mkldnn.flags(enabled=sys.argv[2] == "mkldnn"):
    for prior, file in zip(sys.argv[3::2], sys.argv[4::2]):
        images = np.load(file)
        data = compress(images, prior)
        assert (decompress(data, prior) == images).all()
        Path(file).with_suffix(".ivg").write_bytes(data)
"""

#: Threads, oneDNN, and what PyTorch, MKL and oneDNN take the processor for.
MACHINES = [
    ("1", "plain", {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}),
    ("2", "plain", {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}),
    ("1", "mkldnn", {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}),
    ("2", "mkldnn", {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    ("2", "mkldnn", {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}),
    ("1", "plain", {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "AVX512"}),
]


def compressed_on(machine, pairs):
    """The bytes of arrays that a process of its own writes, which takes the processor for another."""
    threads, library, variables = machine
    words = [str(word) for pair in pairs for word in pair]
    done = subprocess.run(
        [sys.executable, "-c", CODE, threads, library, *words],
        env={**os.environ, "OMP_NUM_THREADS": threads, **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [file.with_suffix(".ivg").read_bytes() for _, file in pairs]


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    "machine", MACHINES, ids=lambda machine: " ".join((machine[0], *machine[2].values()))
)
def test_bytes_are_the_same_on_another_machine(families, pictures, tmp_path, machine):
    """Weights come from files: those that are drawn depend on the processor."""
    pairs = []
    for name, prior in families.items():
        prior.save(tmp_path / f"{name}.safetensors")
        np.save(tmp_path / f"{name}.npy", pictures(prior.image_format.shape, 6))
        pairs.append((tmp_path / f"{name}.safetensors", tmp_path / f"{name}.npy"))
    expected = [compress(np.load(file), ig.priors.load(prior)) for prior, file in pairs]
    assert compressed_on(machine, pairs) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "machine", MACHINES, ids=lambda machine: " ".join((machine[0], *machine[2].values()))
)
def test_bytes_of_digits_are_the_same_on_another_machine(measured_file, tmp_path, machine):
    images = ig.io.read_images(measured_file("digits/mnist8k-images-idx3-ubyte.gz"))[:8]
    digits, pairs = (255 * np.stack(images)).round().astype(np.uint8), []
    for name in ("digits-autoregressive", "digits-vae"):
        np.save(tmp_path / f"{name}.npy", digits)
        pairs.append((name, tmp_path / f"{name}.npy"))
    assert compressed_on(machine, pairs) == [compress(digits, name) for name, _ in pairs]
