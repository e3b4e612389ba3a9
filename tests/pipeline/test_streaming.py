"""Reading, computing and writing at once: the same bits, in memory that is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import h5py
import pytest
import torch

import invgen as ig
from invgen.core.errors import DivergenceError
from invgen.core.threads import pool_of_one
from invgen.pipeline import Reading, Recipe
from invgen.pipeline.ct import SliceBySlice
from invgen.pipeline.jobs import jobs_of, run_jobs, work_on


@pytest.fixture
def computing(monkeypatch):
    """The threads that slices are computed in, and the largest number of them at one time."""
    plain, seen, busy, most = SliceBySlice.compute, set(), [0], [0]

    def watched(self, read, part):
        busy[0] += 1
        most[0] = max(most[0], busy[0])
        seen.add(threading.current_thread())
        try:
            return plain(self, read, part)
        finally:
            busy[0] -= 1

    monkeypatch.setattr(SliceBySlice, "compute", watched)
    return seen


@pytest.mark.parametrize("name", ["parallel", "fan"])
def test_direct_methods_on_several_threads_compute_slices_beside_one_another(
    scans, set_threads, computing, name
):
    set_threads(1)
    alone = ig.reconstruct(scans[name], solver="fbp")
    computing.clear()
    set_threads(3)
    together = ig.reconstruct(scans[name], solver="fbp")
    assert torch.equal(together.images, alone.images)
    if len(alone.slices) > 1:
        assert len(computing) == 3
        assert threading.main_thread() not in computing
    assert torch.get_num_threads() == 3


def test_iterative_methods_compute_one_slice_on_all_threads(scans, set_threads, computing):
    set_threads(2)
    ig.reconstruct(scans["parallel"], solver="sirt", iterations=2)
    assert len(computing) == 1
    assert threading.main_thread() not in computing


def test_without_memory_for_a_second_slice_they_are_computed_one_after_another(
    scans, set_threads, computing, monkeypatch
):
    set_threads(2)
    with Reading().open(scans["parallel"]) as scan:
        work = work_on(scan, Reading(), Recipe(solver="fbp"))
        first = work.first(1, lambda text: None)
        work.settle(first, 1, lambda text: None)
        needed = work._needed
        for left, count in ((0, 0), (needed - 1, 0), (needed, 1), (5 * needed, 2)):
            monkeypatch.setattr("invgen.pipeline.ct.memory_left", lambda left=left: left)
            assert work.at_once == count
        monkeypatch.setattr("invgen.pipeline.ct.memory_left", lambda: 0)
        jobs = jobs_of(scans["parallel"], Reading(), work, range(4))
        assert len(list(run_jobs(jobs, work, lambda done: None))) == 4
    assert computing == {threading.main_thread()}


def test_slices_are_written_while_others_are_computed(scans, tmp_path, set_threads, monkeypatch):
    """The first is in the file before the last has been read."""
    set_threads(1)
    plain, written = SliceBySlice.read, []

    def watched(self, slices):
        if slices[0] == 3 and threading.current_thread() is not threading.main_thread():
            deadline = threading.Event()
            for _ in range(100):
                if written:
                    break
                deadline.wait(0.1)
            assert written
        return plain(self, slices)

    monkeypatch.setattr(SliceBySlice, "read", watched)
    ig.reconstruct(
        scans["parallel"],
        tmp_path / "image.h5",
        solver="fbp",
        advance=lambda done, total: written.append(done) if done >= 1 else None,
    )
    with h5py.File(tmp_path / "image.h5") as file:
        assert bool(file["reconstruction"][:].any(axis=(1, 2)).all())


def test_a_direct_method_estimates_what_it_is_called_for():
    A = ig.operators.Radon((20, 20), angles=12)
    y = torch.randn(3, *A.range.shape, generator=torch.Generator().manual_seed(0))
    solver, problem = ig.solvers.FBP(), ig.Problem(A, y)
    found = solver.estimate(problem)
    assert torch.equal(found.x, solver(problem).x)
    assert found.stats["iterations"] == 1
    with pytest.raises(DivergenceError):
        solver.estimate(ig.Problem(A, torch.full(A.range.shape, 1e38)))


def test_threads_share_an_operator(set_threads):
    set_threads(1)
    A = ig.operators.Radon((40, 40), angles=30)
    x = torch.rand(8, 40, 40, generator=torch.Generator().manual_seed(0))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda image: A.H(A(image)), x))
    assert torch.equal(torch.stack(found), A.H(A(x)))


def test_a_thread_has_a_number_of_threads_of_its_own(set_threads):
    set_threads(2)
    with pool_of_one(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1
        assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 2
