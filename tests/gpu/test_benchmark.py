"""The benchmark of GPUs runs to its end where there is none, and counts what is known in closed form."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.gpu.__main__ import main  # noqa: E402
from benchmarks.gpu.bench import Bench  # noqa: E402
from benchmarks.gpu.peers import _AstraVolumes, deepinv_mri, deepinv_radon  # noqa: E402
from benchmarks.gpu.work import Work, counted  # noqa: E402
from invgen.operators import MRI, ConeBeam, Gradient, Radon  # noqa: E402

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which it measures")


def check(output, least):
    """Every row is expected or rehearsed, and none measured."""
    lines = [line for line in output.splitlines() if line.startswith("| ")]
    rows = [line.split(" | ") for line in lines if not line.startswith("| what ")]
    assert len(rows) >= least
    assert all("expected" in row[1] or "rehearsal" in row[1] for row in rows)
    assert "measured" not in output


def test_a_section_runs_to_its_end_without_a_gpu(capsys):
    assert main(["--quick", "dual"]) == 0
    check(capsys.readouterr().out, 1)


@pytest.mark.slow
def test_it_runs_to_its_end_without_a_gpu_and_measures_nothing():
    words = ["-m", "benchmarks.gpu", "--quick"]
    run = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    check(run.stdout, 25)


def work_of(function, execute=True):
    with Bench(tiny=True, execute=execute) as bench:
        return counted(function(bench), execute)


def test_a_pair_of_transforms():
    """Each axis of each moves all numbers there and back, with five operations for each factor of two."""

    def pair(bench):
        z = bench.place(torch.zeros(3, 8, 16, dtype=torch.complex64))
        return lambda: torch.fft.ifft2(torch.fft.fft2(z, norm="ortho"), norm="ortho")

    size = 3 * 8 * 16
    assert work_of(pair) == Work(4, 4 * 2 * 8 * size, 2 * 5 * size * math.log2(8 * 16))


def test_products_of_matrices_in_both_precisions():
    def product(dtype):
        def make(bench):
            a, b = (bench.place(torch.zeros(n, m, dtype=dtype)) for n, m in ((3, 5), (5, 7)))
            return lambda: a @ b

        return make

    flops, numbers = 2 * 3 * 5 * 7, 3 * 5 + 5 * 7 + 3 * 7
    assert work_of(product(torch.float32)) == Work(1, 4 * numbers, flops)
    assert work_of(product(torch.bfloat16)) == Work(1, 2 * numbers, 0, flops)


def test_views_and_what_is_computed_on_the_host_are_no_work():
    def nothing(bench):
        z = bench.place(torch.zeros(4, 6))
        return lambda: (z.reshape(3, 8).T[1:], torch.ones(5) + 1)

    assert work_of(nothing) == Work()


@pytest.mark.parametrize("execute", [True, False])
def test_launches_count_whether_or_not_kernels_run(execute):
    """A gradient reads an image and writes two."""
    A = Gradient((8, 16))

    def adjoint(bench):
        y = bench.random(A.range, 1)
        A.H(y)
        return lambda: A.H(y)

    work = work_of(adjoint, execute)
    assert work.kernels >= 1
    assert work.moved >= 4 * 3 * 8 * 16


def test_the_longest_of_the_limits_is_expected():
    assert Work(moved=3.0e9).seconds == pytest.approx(1e-3)
    assert Work(kernels=400, moved=3.0e9).seconds == pytest.approx(2e-3)
    assert Work(operations=67e9, products=989e9, cached=33e9).seconds == pytest.approx(1e-3)
    assert "400 kernels" in Work(kernels=400, moved=3.0e9).derivation.partition(";")[0]


@pytest.mark.parametrize("A", [Radon((8, 6), 5), ConeBeam((3, 8, 6), 4, 20.0, 30.0)], ids=repr)
def test_astra_takes_tensors_as_they_are(A):
    """Slices of a batch are those of a volume; its projections have the rows of the panel first."""
    pytest.importorskip("astra")
    peer = _AstraVolumes(A, torch.zeros(3, 8, 6))
    rows, views, columns = peer._y.shape
    assert (views, columns) == (A.range.shape[0], A.range.shape[-1])
    assert rows == (A.range.shape[1] if isinstance(A, ConeBeam) else 3)


@pytest.mark.parametrize(
    ("peer", "A"),
    [
        (lambda A, x: deepinv_radon(A, x, "A", "A_adjoint"), Radon((8, 8), 5)),
        (lambda A, x: deepinv_mri(A, x), MRI((8, 6), torch.ones(8, 6), torch.ones(2, 8, 6) + 0j)),
    ],
    ids=["Radon", "MRI"],
)
def test_packages_on_pytorch_run_on_the_images_of_ours(peer, A):
    call = peer(A, A.domain.random((2,), seed=0, dtype=torch.float32))()
    if call is None:
        pytest.skip("DeepInverse is not installed")
    call()
