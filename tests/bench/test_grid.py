"""A run from the first cell to the last: what fails is a record, what is known is not run again."""

import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
import torch

from invgen.bench.grid import Grid
from invgen.bench.jobs import Limits
from invgen.bench.store import Results
from invgen.bench.worker import Request, answer
from invgen.core.errors import FileError, ParameterError


def plain(record):
    """A record without when it ran and how long it took."""
    costs = {n: v for n, v in record.costs.items() if n not in ("seconds", "peak_memory")}
    return replace(record, costs=costs, finished="", traceback=None)


def test_every_method_has_a_row_for_every_image_as_it_comes_and_tuned(toy, benchmark):
    records = benchmark(toy.Toy(images=2), seeds=(0, 1), trials=5)
    rows = {(r.cell.method, r.cell.run, r.cell.task, r.cell.image, r.cell.seed) for r in records}
    assert len(rows) == len(records) == 4 * 2 * 2 * 2  # runs, tasks, images, seeds
    damped = {r.cell.run: r for r in records if r.cell.method == "damped" and r.cell.task.startswith("1 ")}
    # the least squared error is near a factor of one: of the values 0.1 to 10 that are tried, and middles
    assert 0.7 < damped["tuned"].cell.settings["factor"] < 1.3
    assert damped["tuned"].measures["psnr"] > damped["default"].measures["psnr"] + 3
    noisy = next(r for r in records if r.cell.method == "noisy")
    assert noisy.costs["network_evaluations"] == 3
    assert noisy.costs["peak_memory"] > 2**20
    assert noisy.measures["coverage_90"] > 0.3
    absent = next(r for r in records if r.cell.method == "absent")
    assert absent.failed
    assert "pip install" in absent.error


@pytest.mark.slow
def test_what_fails_is_a_row_and_the_run_goes_on(toy, benchmark):
    suite = toy.Toy(entries=(*toy.BAD, toy.GOOD[1]), images=1, parts=(1.0,))
    records = benchmark(suite, limits=Limits(20.0, 1200 * 2**20), workers=2)
    found = {r.cell.method: r for r in records}
    reasons = {
        "raises": "no method today",
        "not_a_number": "NaN",
        "of_another_shape": "(3, 3)",
        "hangs": "TimeLimit",
        "fills_memory": "MemoryLimit",
        "dies": "exit code 7",
        "crashes": "exit code -11",
    }
    for name, reason in reasons.items():
        assert found[name].failed
        assert not found[name].measures
        assert reason in found[name].error, name
    assert "no method today" in found["raises"].traceback
    assert "in raises" in found["raises"].traceback
    assert "about to die" in found["dies"].traceback
    assert not found["noisy"].failed


@pytest.mark.slow
def test_failures_stand_until_they_are_retried(toy, benchmark, monkeypatch):
    suite = toy.Toy(entries=(toy.BAD[0],), images=1)
    first, again = benchmark(suite), benchmark(suite)
    assert [r.finished for r in first] == [r.finished for r in again]
    assert all(r.failed for r in again)
    monkeypatch.setattr("invgen.bench.grid.machine", lambda: "another machine")
    assert {r.machine for r in benchmark(suite)} == {r.machine for r in first}
    assert {r.machine for r in benchmark(suite, retry=True)} == {"another machine"}


@pytest.mark.slow
def test_a_knob_that_never_works_is_a_failure_with_the_first_reason(toy, benchmark):
    def fussy(problem, settings, seed):
        if settings:
            raise ValueError(f"not with {settings['factor']}")
        return problem.measurement

    entry = replace(toy.GOOD[0], name="fussy", solve=fussy)
    records = benchmark(toy.Toy(entries=(entry,), images=1), trials=2)
    tuned = [r for r in records if r.cell.run == "tuned"]
    assert all(r.failed for r in tuned)
    assert all("no value of factor" in r.error and "not with 0.1" in r.error for r in tuned)
    assert not any(r.failed for r in records if r.cell.run == "default")


@pytest.mark.slow
def test_what_is_known_is_not_run_again_whatever_the_order(toy, benchmark, tmp_path):
    suite = toy.Toy(images=2)
    first = benchmark(suite, trials=3)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "images").rglob("*.h5")}
    again = benchmark(suite, entries=suite.entries[::-1], trials=3)
    assert first == again
    assert files == {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.slow
def test_another_setting_image_or_seed_is_another_cell(toy, benchmark):
    suite = toy.Toy(images=1, entries=(toy.GOOD[1],))

    def louder(problem, settings, seed):
        return 2 * problem.measurement

    first = {r.identity for r in benchmark(suite)}
    more = {r.identity for r in benchmark(replace(suite, images=2), seeds=(0, 1))}
    assert len(first) == 2
    assert len(more) == 8
    assert first < more
    other = replace(suite, entries=(replace(toy.GOOD[1], solve=louder),))
    assert len({r.identity for r in benchmark(other)} - more) == 2


@pytest.mark.slow
def test_two_workers_give_the_records_of_one(toy, benchmark):
    suite = toy.Toy(images=2)
    one = benchmark(suite, "one", trials=3)
    two = benchmark(suite, "two", trials=3, workers=2)
    assert [plain(r) for r in one] == [plain(r) for r in two]


@pytest.mark.slow
def test_a_cluster_gives_the_records_of_this_machine(toy, benchmark):
    distributed = pytest.importorskip("distributed")
    suite = toy.Toy(images=2)
    here = benchmark(suite, "here", trials=3)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        there = benchmark(suite, "there", trials=3, executor=client)
    assert [plain(r) for r in here] == [plain(r) for r in there]


_SCRIPT = """
import importlib.util, sys, cloudpickle
spec = importlib.util.spec_from_file_location("bench_toy", {toy!r})
toy = importlib.util.module_from_spec(spec)
sys.modules["bench_toy"] = toy
spec.loader.exec_module(toy)
cloudpickle.register_pickle_by_value(toy)
from invgen.bench.jobs import Limits
from invgen.bench.grid import Grid
from invgen.bench.grid import Grid, run_grid
from invgen.bench.store import Results
from invgen.bench.worker import Request, answer
suite = toy.Toy(images=2)
with Results({folder!r}) as results:
    run_grid(Grid([(suite, suite.entries)], trials=3), results, Limits(60.0, 8 * 2**30), workers=1)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_gives_the_records_of_one_that_is_not(toy, benchmark, tmp_path):
    undisturbed = benchmark(toy.Toy(images=2), "undisturbed", trials=3)
    folder = tmp_path / "killed"
    script = _SCRIPT.format(toy=toy.__file__, folder=str(folder))
    kills = 0
    while True:
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
        before = _count(folder)
        while process.poll() is None and (kills >= 10 or _count(folder) < before + 1):
            time.sleep(0.01)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read().decode()
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills == 10
    with Results(folder) as results:
        assert [plain(r) for r in results.records()] == [plain(r) for r in undisturbed]
        assert all(results.arrays(r.identity) for r in results.records() if not r.failed)


def _count(folder):
    """The number of records of a folder."""
    if not (folder / "records.sqlite").exists():
        return 0
    try:
        with Results(folder, create=False) as results:
            return len(results.records()) + len(results.records(split="tuning"))
    except FileError:
        return 0


@pytest.mark.slow
def test_a_worker_ends_with_its_parent(toy, tmp_path):
    script = _SCRIPT.format(toy=toy.__file__, folder=str(tmp_path / "r")).replace(
        "toy.Toy(images=2)", "toy.Toy(entries=(toy.BAD[3],), images=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    began = time.monotonic()
    while len(children := psutil.Process(process.pid).children()) < 1 and time.monotonic() < began + 60:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


@pytest.mark.slow
def test_a_problem_that_cannot_be_made_ends_the_run_with_its_reason(toy, benchmark):
    class Broken(toy.Toy):
        def instance(self, task, image, seed):
            raise FileError("kodim01.png is not there: get it from nowhere")

    with pytest.raises(FileError, match="get it from nowhere") as raised:
        benchmark(Broken())
    assert "Traceback" not in str(raised.value)


def test_fewer_images_are_the_same_cells(toy):
    suite = toy.Toy(images=3)
    few, every = (Grid([(suite, suite.entries)], images=n).plans() for n in (1, None))
    assert [plan.task.test for plan in few] == [plan.task.test[:1] for plan in every]
    assert [plan.task.tuning for plan in few] == [plan.task.tuning[:1] for plan in every]
    assert [plan.run for plan in every] == sorted(plan.run for plan in every)  # all defaults first


def test_without_trials_knobs_stay_as_they_come(toy):
    suite = toy.Toy()
    assert {plan.run for plan in Grid([(suite, suite.entries)], trials=0).plans()} == {"default"}


def test_images_that_are_tuned_on_are_not_reported_on(toy, benchmark):
    class Leaking(toy.Toy):
        @property
        def tasks(self):
            return tuple(replace(task, tuning=task.test[:1]) for task in super().tasks)

    with pytest.raises(ParameterError, match="tuned on and reported on"):
        benchmark(Leaking())


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_what_has_finished_is_kept(toy, benchmark, tmp_path, monkeypatch):
    added, add = [], Results.add

    def until_full(self, record, arrays=None):
        if len(added) == 3:
            raise FileError("the disk is full")
        added.append(record)
        add(self, record, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(Results, "add", until_full)
        with pytest.raises(FileError, match="the disk is full"):
            benchmark(toy.Toy(images=2), trials=3)
    with Results(tmp_path / "results") as results:
        kept = results.records() + results.records(split="tuning")
    assert {r.identity for r in kept} == {r.identity for r in added}
    assert [plain(r) for r in benchmark(toy.Toy(images=2), trials=3)] == [
        plain(r) for r in benchmark(toy.Toy(images=2), "other", trials=3)
    ]


def test_of_images_that_are_views_a_worker_sends_no_more_than_is_seen(toy, monkeypatch):
    """One image of a thousand that were read."""
    suite = toy.Toy()
    thousand = torch.rand(1000, 16, 16)
    found = replace(suite.instance(suite.tasks[0], "test 0", 0), truth=thousand[7])
    monkeypatch.setattr(toy.Toy, "instance", lambda *_: found)
    request = Request("suite", "entry", {}, suite.tasks[0], "test 0", 0)
    reply = answer(request, {"suite": suite, "entry": suite.entries[0]})
    assert reply.error is None, reply.traceback
    assert torch.equal(reply.outcome.arrays["truth"], thousand[7])
    assert len(pickle.dumps(reply)) < 10 * 16 * 16 * 4
