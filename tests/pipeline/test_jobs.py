"""Jobs: what a slice becomes does not depend on the process that reconstructs it."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import pytest
import torch

from invgen.pipeline import Reading, Recipe
from invgen.pipeline.jobs import Job, jobs_of, run_here, work_on


@contextmanager
def settled(path, recipe, slices=None):
    """Work on a scan on which all is chosen, and its jobs."""
    with Reading().open(path) as scan:
        work = work_on(scan, Reading(), recipe)
        rows = range(work.count)[slices or slice(None)]
        middle = rows[len(rows) // 2]
        work.settle(work.first(middle, lambda text: None), middle, lambda text: None)
        yield work, jobs_of(path, Reading(), work, rows)


def assert_same(found, expected):
    assert torch.equal(found.images, expected.images)
    assert (found.samples is None) == (expected.samples is None)
    if expected.samples is not None:
        assert torch.equal(found.samples, expected.samples)
    assert found.reports == expected.reports
    assert found.iterations == expected.iterations


RECIPES = {
    "parallel": Recipe(solver="tv", iterations=6, slices=slice(1, 4)),
    "fan": Recipe(solver="tv", iterations=4),
    "cone": Recipe(solver="sirt", iterations=3, slices=slice(1, 5, 2)),
    "grid": Recipe(solver="tv", iterations=5, slices=slice(0, 2)),
}


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_job_alone_is_what_it_is_among_others(scans, name):
    """It opens the scan, and makes the operator and the solver from the recipe."""
    with settled(scans[name], RECIPES[name], RECIPES[name].slices) as (work, jobs):
        for job, expected in zip(jobs, run_here(jobs, work, lambda done: None), strict=True):
            assert_same(pickle.loads(pickle.dumps(job))(), expected)


@pytest.mark.slow
def test_a_spawned_process_gives_the_same(scans, prior):
    """Of a sampler, whose random numbers follow from its seed, and of a solver with a chosen weight."""
    recipes = [
        Recipe(solver="dds", prior=str(prior), samples=2, iterations=3, seed=5, slices=slice(2, 3)),
        Recipe(solver="tv", iterations=6, slices=slice(2, 3)),
    ]
    pairs: list[tuple[Job, object]] = []
    for recipe in recipes:
        with settled(scans["parallel"], recipe, recipe.slices) as (work, jobs):
            pairs += zip(jobs, run_here(jobs, work, lambda done: None), strict=True)
    context = multiprocessing.get_context("spawn")
    threads = {"initializer": torch.set_num_threads, "initargs": (torch.get_num_threads(),)}
    with ProcessPoolExecutor(
        1, mp_context=context, **threads
    ) as pool:  # networks round by the number of threads
        for future, (_, expected) in [(pool.submit(job), (job, there)) for job, there in pairs]:
            assert_same(future.result(timeout=120), expected)


def test_slices_that_are_measured_together_are_one_job(scans):
    for name, count in (("parallel", 4), ("cone", 1), ("grid", 3)):
        with settled(scans[name], Recipe(device="cpu")) as (work, jobs):
            assert len(jobs) == count
            assert [row for job in jobs for row in job.slices] == list(range(work.count))


def test_jobs_are_run_one_at_a_time_as_their_results_are_taken(scans):
    """So that memory does not grow with their number."""
    begun = []

    def watched(jobs):
        for job in jobs:
            begun.append(job)
            yield job

    with settled(scans["parallel"], Recipe(solver="fbp")) as (work, jobs):
        results = run_here(watched(jobs), work, lambda done: None)
        assert not begun
        next(results)
        assert begun == jobs[:1]
        next(results)
        assert begun == jobs[:2]


def test_progress_counts_slices(scans):
    reported = []
    with settled(scans["parallel"], Recipe(solver="sirt", iterations=3)) as (work, jobs):
        for _ in run_here(jobs, work, reported.append):
            pass
    assert reported == sorted(reported)
    assert reported[-1] == len(jobs)
    assert {1, 2, 3, 4} <= set(reported)
