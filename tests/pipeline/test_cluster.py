"""Clusters: where slices are computed does not matter, and what is lost is computed again or said.

Most tests have a scheduler and two workers as threads of this process, which talk to each other by TCP as
those of a cluster do: what they compute with can be replaced here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from uuid import uuid4

import h5py
import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import ClusterError, DataError, FileError, InvgenWarning, ParameterError
from invgen.pipeline import chunks, cluster, connection, progress
from invgen.pipeline.chunks import Host, Run
from invgen.pipeline.ct import SliceBySlice
from invgen.pipeline.devices import own_device
from invgen.pipeline.jobs import Job

from .cluster_cases import CASES, threads

dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")


def in_a_worker():
    return threading.current_thread() is not threading.main_thread()


def assert_same(found, expected):
    assert torch.equal(found.images, expected.images)
    assert (found.samples is None) == (expected.samples is None)
    if expected.samples is not None:
        assert torch.equal(found.samples, expected.samples)
    assert (found.recipe, found.slices, found.iterations) == (
        expected.recipe,
        expected.slices,
        expected.iterations,
    )
    assert found.statistics == expected.statistics


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", CASES)
def test_a_cluster_gives_the_bits_of_this_process(reconstructed, client, name):
    assert_same(reconstructed(name, executor=client), reconstructed(name))


@pytest.mark.slow
def test_processes_of_this_machine_give_the_bits_of_this_one(reconstructed, set_threads):
    set_threads(1)
    with connection.connected(None, workers=2) as client:
        for name in CASES:
            assert_same(reconstructed(name, executor=client), reconstructed(name))


def content(path):
    """All that a file holds but the time."""
    with h5py.File(path) as file:
        found = {f"@{name}": value for name, value in file.attrs.items() if name != "created"}
        file.visititems(lambda name, each: found.update({name: each[()]}) if hasattr(each, "shape") else None)
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def test_files_are_the_same(reconstructed, client, tmp_path):
    output, found = tmp_path / "image.h5", []
    for where in ({}, {"executor": client}):
        reconstructed("parallel", output, **where)
        found.append(content(output))
    assert {"reconstruction", "report", "@settings"} <= set(found[0])
    assert found[0] == found[1]


def test_so_many_jobs_are_sent_as_there_are_threads_twice(tmp_path, client, monkeypatch):
    ig.simulate.simulate_ct(tmp_path / "scan.h5", "shepp-logan", size=24, views=20, slices=24)
    sent, written, most = [], [], []
    submit, taken = distributed.cfexecutor.ClientExecutor.submit, cluster._taken

    def counted(self, *job):
        sent.append(job)
        most.append(len(sent) - len(written))
        return submit(self, *job)

    monkeypatch.setattr(distributed.cfexecutor.ClientExecutor, "submit", counted)
    monkeypatch.setattr(cluster, "_taken", lambda *job: written.append(job) or taken(*job))
    ig.reconstruct(tmp_path / "scan.h5", center=11.5, executor=client)
    assert len(sent) == len(written) == 24
    assert max(most) <= 2 * 2 + 1


def test_progress_rises_to_all_slices(reconstructed, client):
    reported = []
    reconstructed("parallel", executor=client, advance=lambda done, total: reported.append((done, total)))
    assert reported == sorted(reported)
    assert reported[-1] == (4, 4)


def test_a_scan_is_opened_once_by_each_worker_and_closed_in_the_end(reconstructed, client, monkeypatch):
    opened, closed = [], []

    class Watched(chunks._Open):
        def __init__(self, *of):
            super().__init__(*of)
            opened.append(self)
            close = self.close
            self.close = lambda: closed.append(self) or close()

    monkeypatch.setattr(chunks, "_Open", Watched)
    reconstructed("parallel", executor=client)
    assert 1 <= len(opened) <= 2
    assert set(closed) == set(opened)


def test_errors_of_a_job_arrive_as_themselves_and_leave_no_file(reconstructed, client, tmp_path, monkeypatch):
    plain = SliceBySlice.read

    def damaged(self, slices):
        if slices[0] == 3 and in_a_worker():
            raise DataError("Slice 3: the sinogram holds NaN.")
        return plain(self, slices)

    monkeypatch.setattr(SliceBySlice, "read", damaged)
    with pytest.raises(DataError, match=r"^Slice 3: the sinogram holds NaN\.$"):
        reconstructed("parallel", tmp_path / "image.h5", executor=client)
    assert not list(tmp_path.iterdir())


def test_errors_that_were_not_foreseen_arrive_with_what_is_known_of_their_place(
    reconstructed, client, monkeypatch
):
    """Also where dask cannot pickle their traceback."""
    plain = SliceBySlice.read

    def endless(self, slices):
        return endless(self, slices) if in_a_worker() else plain(self, slices)

    monkeypatch.setattr(SliceBySlice, "read", endless)
    with pytest.raises(RecursionError, match="maximum recursion depth") as found:
        reconstructed("parallel", executor=client)
    assert "in endless" in found.value.__notes__[0]


def test_a_keyboard_interrupt_stops_what_computes_and_leaves_no_file(scans, client, tmp_path, monkeypatch):
    began, plain = threading.Event(), SliceBySlice.compute

    def compute(self, read, part):
        if in_a_worker():
            began.set()
        return plain(self, read, part)

    def interrupt(done, total):
        if began.is_set():
            raise KeyboardInterrupt

    monkeypatch.setattr(SliceBySlice, "compute", compute)
    endless = {"solver": "tv", "iterations": 1_000_000, "settings": {"tolerance": 0.0}, "weight": 0.01}
    with pytest.raises(KeyboardInterrupt):
        ig.reconstruct(
            scans["parallel"], tmp_path / "image.h5", executor=client, advance=interrupt, **endless
        )
    assert not list(tmp_path.iterdir())
    deadline = time.monotonic() + 30
    while any(map(len, client.call_stack().values())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(len, client.call_stack().values()))
    assert not chunks._kept._idle


def test_a_file_that_workers_do_not_see_is_named(reconstructed, client, scans, monkeypatch):
    plain = chunks._size

    def size(path):
        if in_a_worker():
            raise FileNotFoundError(2, "No such file or directory")
        return plain(path)

    monkeypatch.setattr(chunks, "_size", size)
    with pytest.raises(
        FileError, match=r"parallel\.h5 cannot be read on .*: No such file.*all workers share"
    ):
        reconstructed("parallel", executor=client)


def test_another_file_under_the_same_name_is_refused(tmp_path):
    path = tmp_path / "scan.h5"
    path.write_bytes(b"four")
    run = Run.new([path, tmp_path], None)
    run.check()
    path.write_bytes(b"other")
    with pytest.raises(FileError, match=r"scan\.h5 is another file on"):
        run.check()


def test_workers_with_another_version_are_refused(reconstructed, client, monkeypatch):
    monkeypatch.setattr(chunks, "_version", lambda: "2" if in_a_worker() else "1")
    with pytest.raises(ClusterError, match=r"invgen is 2 on .*, and 1 where the run was started"):
        reconstructed("parallel", executor=client)


def test_another_version_of_pytorch_is_said():
    here = torch.__version__.partition("+")[0]
    with pytest.warns(InvgenWarning, match=rf"PyTorch is {here} here, and 1\.0 on workers"):
        cluster._warn_of_versions([Host("a", "cpu", here), Host("b", "cpu", "1.0")])


def test_nothing_answers_at_the_address(monkeypatch):
    monkeypatch.setattr(connection, "ANSWER", 0.5)
    for address in ("tcp://127.0.0.1:1", "nonsense", "carrier-pigeon://coop"):
        with (
            pytest.raises(ClusterError, match=f"--dask {address}: no scheduler answers there"),
            connection.connected(address),
        ):
            pass


def test_a_scheduler_that_goes_away_is_an_error(reconstructed, tmp_path, monkeypatch):
    """Before there is anything that is worth keeping."""
    monkeypatch.setattr(progress, "_SECONDS", 1e9)
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), threads() as client:

        def close(done, total):
            if done:
                client.cluster.scheduler.loop.add_callback(client.cluster.scheduler.close)

        began = time.monotonic()
        with pytest.raises(ClusterError, match="scheduler of dask"):
            reconstructed("parallel", tmp_path / "image.h5", executor=client, advance=close)
        assert time.monotonic() - began < 20
    assert not list(tmp_path.iterdir())


def test_workers_that_do_not_come_back_are_an_error(reconstructed, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1.0)
    monkeypatch.setattr(cluster, "_HEALTH", 0.1)
    with threads() as client:

        def end(done, total):
            while done and client.cluster.workers:
                _, worker = client.cluster.workers.popitem()
                worker.loop.add_callback(worker.close)

        with pytest.raises(ClusterError, match="has had no worker for 1 s"):
            reconstructed("parallel", executor=client, advance=end)


def test_a_result_that_is_lost_as_dask_looks_at_it_is_known_from_an_error_of_the_job():
    class Arrived:
        status = "pending"  # again: it was there, and its worker was lost

        async def _result(self, raiseit):
            return object()

    async def passed_on(found):
        await distributed.cfexecutor._cascade_future(Arrived(), found)

    lost, failed = Future(), Future()
    with ThreadPoolExecutor(1) as thread:  # whatever loop of events runs in this one
        thread.submit(lambda: asyncio.run(passed_on(lost))).result()
    with pytest.raises(TypeError) as error:
        len(3)
    failed.set_exception(error.value)
    assert cluster._is_lost(lost)
    assert not cluster._is_lost(failed)


def test_workers_of_a_machine_share_the_bound_of_memory(reconstructed, client, monkeypatch):
    bounds, plain = [], chunks._Open

    def bounded(*of):
        bounds.append(ig.core.memory.memory_bound())
        return plain(*of)

    monkeypatch.setattr(chunks, "_Open", bounded)
    with ig.memory_limit("512M"):
        reconstructed("parallel", executor=client)
    assert set(bounds) == {2**28}


def test_what_is_no_client_is_refused(reconstructed):
    with pytest.raises(ParameterError, match=r"distributed\.Client\(address\); got a str"):
        reconstructed("parallel", executor="tcp://127.0.0.1:8786")


def test_devices_of_this_machine_are_refused(scans, client):
    with pytest.raises(ParameterError, match="--device cuda:0 is of this machine"):
        ig.reconstruct(scans["parallel"], executor=client, device="cuda:0")


@pytest.fixture
def two_gpus(monkeypatch):
    """Two GPUs that this machine seems to have; afterwards their names."""
    names = [str(uuid4()) for _ in range(2)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=names[number])
    )
    return names


def test_workers_that_see_several_gpus_share_them(two_gpus):
    with own_device("auto") as first:
        with own_device("auto") as second, own_device("auto") as third, own_device("auto") as fourth:
            assert [first, second, third, fourth] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
        with own_device("auto") as again, own_device("cpu") as other:
            assert (again, other) == ("cuda:1", "cpu")


def test_one_gpu_is_that_of_all_workers_that_see_it(two_gpus, monkeypatch):
    """As where each has its own in CUDA_VISIBLE_DEVICES: to each it is the first."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with own_device("auto") as first, own_device("auto") as second:
        assert (first, second) == ("cuda", "cuda")


_HOLD = """
import sys, torch
from types import SimpleNamespace
from invgen.pipeline.devices import own_device
from invgen.pipeline.jobs import Job
from invgen.pipeline.jobs import Job
names = sys.argv[1:]
torch.cuda.is_available, torch.cuda.device_count = lambda: True, lambda: len(names)
torch.cuda.get_device_properties = lambda number: SimpleNamespace(uuid=names[number])
with own_device("auto") as device:
    print(device, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_the_gpu_of_a_worker_that_was_killed_is_free_again(two_gpus):
    """Of processes which see them in another order, as CUDA_VISIBLE_DEVICES may have it."""

    def start(names):
        command = [sys.executable, "-c", _HOLD, *names]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return process, process.stdout.readline().strip()

    first, device = start(two_gpus)
    assert device == "cuda:0"
    second, device = start(two_gpus[::-1])
    assert device == "cuda:0"  # the other one
    with own_device("auto") as device:
        assert device == "cuda:0"
    second.kill()
    second.wait()
    with own_device("auto") as device:
        assert device == "cuda:1"
    for process in (first, second):
        process.kill()
        process.communicate()


def test_each_worker_computes_on_a_gpu_of_its_own(scans, client, two_gpus, tmp_path, monkeypatch):
    """What is called a GPU here computes on the CPU."""
    here = ig.reconstruct(scans["parallel"], solver="fbp", device="cpu")
    devices, both, plain = [], threading.Barrier(2), Job.opened

    def opened(job, device):
        devices.append(device)
        both.wait(30)  # until the other one has its device
        return plain(job, device)

    monkeypatch.setattr(Job, "opened", opened)
    monkeypatch.setattr(chunks, "within", lambda device: nullcontext())
    monkeypatch.setattr("invgen.pipeline.work.devices_of", lambda name: (torch.device("cpu"),))
    said = []
    found = ig.reconstruct(scans["parallel"], solver="fbp", executor=client, notice=said.append)
    assert sorted(devices) == ["cuda:0", "cuda:1"]
    assert said[0] == "Slices are computed by 2 workers on GPUs, of 1 machine."
    assert found.recipe.device == "cuda"
    assert torch.equal(found.images, here.images)


@contextmanager
def processes(*preload):
    """Two worker processes, which run a script before they begin, also when they begin again."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", preload=[*map(str, preload)]
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.mark.slow
def test_what_workers_that_are_killed_had_to_do_is_done_again(reconstructed, tmp_path, set_threads):
    set_threads(1)
    output, killed = tmp_path / "image.h5", []
    reconstructed("parallel", output)
    here = content(output)
    with processes() as client:
        alive = list(client.run(os.getpid).values())

        def kill(done, total):
            if len(killed) < min(done, 2):
                killed.append(alive.pop())
                os.kill(killed[-1], signal.SIGKILL)

        reconstructed("parallel", output, executor=client, advance=kill)
    assert len(killed) == 2
    assert content(output) == here


@pytest.mark.slow
def test_a_slice_that_ends_every_worker_is_named(reconstructed, tmp_path):
    script, folder = tmp_path / "deadly.py", tmp_path / "output"
    folder.mkdir()
    script.write_text(
        "import os\n"
        "from invgen.pipeline.ct import SliceBySlice\n"
        "compute = SliceBySlice.compute\n"
        "def deadly(self, read, part):\n"
        "    os._exit(1) if read.slices[0] == 3 else None\n"
        "    return SliceBySlice._compute(self, read, part)\n"
        "if compute.__name__ != 'deadly':\n"  # it may be run twice
        "    SliceBySlice._compute, SliceBySlice.compute = compute, deadly\n"
    )
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        processes(script) as client,
        pytest.raises(ClusterError, match="Slice 3: each of 2 workers ended while it had this to do"),
    ):
        reconstructed("parallel", folder / "image.h5", executor=client)
    assert not list(folder.iterdir())


def test_previews_and_windows_of_a_cluster(reconstructed, client):
    given = {"preview": True, "roi": (slice(1, 9), slice(2, None))}
    assert_same(reconstructed("parallel", executor=client, **given), reconstructed("parallel", **given))
