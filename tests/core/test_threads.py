"""Operators give the same bits in any thread and in any process, and leave the numbers of threads alone."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from invgen.core.threads import thread_count
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
