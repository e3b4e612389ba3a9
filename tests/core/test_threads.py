"""Operators give the same bits in any thread and in any process, and leave the numbers of threads alone."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch

from invgen.core.threads import deterministic, thread_count
from invgen.operators import Gradient, Radon


def run(where, layer):
    program = Path(__file__).with_name("operators_everywhere.py")
    return subprocess.run(
        [sys.executable, program, where],
        env={**os.environ, "NUMBA_THREADING_LAYER": layer},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_eight_threads_at_once_give_the_same_bits(layer):
    result = run("threads", layer)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_children_give_the_same_bits():
    result = run("forks", "default")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_spawned_children_give_the_same_bits():
    result = run("spawned_processes", "default")
    assert result.returncode == 0, result.stderr


@pytest.fixture
def two_threads(set_threads):
    set_threads(2)


def test_kernels_run_on_as_many_threads_as_pytorch_and_change_no_number(two_threads):
    import numba

    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread")
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert thread_count() == 2
        Gradient((16, 16)).H(torch.ones(2, 16, 16))
        assert numba.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        numba.set_num_threads(before)


def test_operators_give_the_same_bits_on_another_number_of_threads(two_threads):
    def results(A):
        return A(x), A.H(y)

    A = Radon((256, 240), 600)  # points enough for a thread each half
    x, y = (space.random(seed=0, dtype=torch.float32) for space in (A.domain, A.range))
    expected = results(A)
    torch.set_num_threads(1)
    for same in (A, pickle.loads(pickle.dumps(A)), Radon((256, 240), 600)):
        for result, reference in zip(results(same), expected, strict=True):
            assert torch.equal(result, reference)


def digests(threads, *methods):
    """What methods of `solvers_on_threads` compute, by default all, on so many threads of each kind."""
    program = Path(__file__).with_name("solvers_on_threads.py")
    many = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    result = subprocess.run(
        [sys.executable, program, str(threads), *methods],
        env={**os.environ, **many, "OMP_WAIT_POLICY": "PASSIVE"},  # else threads that wait keep cores busy
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    ("threads", "methods"),
    [(3, ["SIRT", "CG-SENSE"]), (2, []), (3, []), (4, ["TV", "SIRT", "CG-SENSE, radial", "DPS"])],
)
def test_deterministic_solvers_give_the_same_bits_on_any_number_of_threads(threads, methods):
    expected = digests(1, *methods)
    assert len(expected) == (len(methods) or 8)
    assert digests(threads, *methods) == expected


def test_deterministic_sums_are_the_same_on_any_number_of_threads(set_threads):
    x = torch.randn(70_001, generator=torch.Generator().manual_seed(0))

    def sums():
        return torch.stack([x.sum(), x.square().sum(), torch.linalg.vector_norm(x)])

    expected, differ = sums(), False  # on one thread
    for threads in range(1, 9):
        set_threads(threads)
        differ |= not torch.equal(sums(), expected)
        with deterministic():
            assert torch.equal(sums(), expected)
        assert torch.get_num_threads() == threads
    assert differ  # without the block; else it would have nothing to do


def test_within_a_deterministic_block_compiled_kernels_keep_their_threads(set_threads):
    set_threads(3)
    with deterministic():
        with deterministic():
            assert (torch.get_num_threads(), thread_count()) == (1, 3)
        assert (torch.get_num_threads(), thread_count()) == (1, 3)
    assert (torch.get_num_threads(), thread_count()) == (3, 3)
    with pytest.raises(ZeroDivisionError), deterministic():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 3


def test_blocks_of_several_python_threads_compute_on_one_thread_each(set_threads):
    set_threads(3)
    entered, left = Barrier(2, timeout=60), Barrier(2, timeout=60)

    def leaves_first():
        with deterministic():
            entered.wait()
            inside = torch.get_num_threads()
        left.wait()
        return inside

    def stays():
        with deterministic():
            entered.wait()
            left.wait()
            return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        found = pool.submit(leaves_first), pool.submit(stays)
        assert [each.result() for each in found] == [1, 1]
    assert thread_count() == torch.get_num_threads() == 3
