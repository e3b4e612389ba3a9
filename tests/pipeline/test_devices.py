"""Devices: which there are, and that it does not matter on how many of them a scan is reconstructed.

Two devices are two threads, each with the scan open for itself: here both compute on the CPU.
"""

import threading

import h5py
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, MemoryLimitError, ParameterError
from invgen.pipeline import Recipe, progress
from invgen.pipeline.ct import SliceBySlice
from invgen.pipeline.devices import Worker, chosen, devices_of, in_order
from invgen.pipeline.place import folder_of

CPU = torch.device("cpu")


@pytest.fixture
def two_devices(monkeypatch):
    """What ``cuda:0,1`` is called is there, and is the CPU twice; afterwards no thread of it is left."""
    before = set(threading.enumerate())
    monkeypatch.setattr("invgen.pipeline.work.chosen", lambda name: name)
    monkeypatch.setattr(
        "invgen.pipeline.work.devices_of", lambda name: (CPU, CPU) if name == "cuda:0,1" else (CPU,)
    )
    yield "cuda:0,1"
    # Threads of an earlier test may end meanwhile: what counts is that none was added.
    assert set(threading.enumerate()) <= before


def test_devices_by_name():
    for name in ("auto", "cpu", "cuda", "cuda:1", "cuda:0,1", "cuda:3,0,2"):
        assert Recipe(device=name).device == name
    for wrong in ("gpu", "cuda:", "cuda:0,", "cuda:0,0", "cuda:-1", "cpu,cpu", "cpu:0", "cuda:0,cuda:1", ""):
        with pytest.raises(ParameterError, match=r"--device: .* is no device: auto, cpu, cuda"):
            Recipe(device=wrong)
    assert devices_of("cuda:3,0") == (torch.device("cuda", 3), torch.device("cuda", 0))
    assert devices_of("cpu") == (CPU,)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_that_is_said(scans):
    for name in ("cuda", "cuda:0,1"):
        with pytest.raises(ParameterError, match=f"--device {name}: PyTorch finds no CUDA device here"):
            ig.reconstruct(scans["parallel"], device=name)
    assert chosen("auto") == "cpu"


def test_devices_that_are_not_there_are_told_from_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen("cuda:1,0") == "cuda:1,0"
    assert chosen("auto") == "cuda"
    with pytest.raises(
        ParameterError, match=r"--device cuda:0,2: the CUDA devices here are cuda:0, cuda:1\."
    ):
        chosen("cuda:0,2")


CASES = {
    "parallel": {"solver": "tv", "iterations": 5},
    "grid": {"solver": "cg-sense", "iterations": 4},
    "fan": {"solver": "fbp"},  # fewer slices than devices
    "cone": {"solver": "sirt", "iterations": 2},
}


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("name", CASES)
def test_slices_are_the_same_on_one_device_and_on_two(scans, two_devices, name):
    alone = ig.reconstruct(scans[name], device="cpu", **CASES[name])
    apart = ig.reconstruct(scans[name], device=two_devices, **CASES[name])
    assert torch.equal(apart.images, alone.images)
    assert (apart.iterations, apart.slices) == (alone.iterations, alone.slices)
    assert apart.recipe.device == two_devices


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("slices", [slice(1, 2), slice(0, 3)])
def test_samples_are_the_same_on_one_device_and_on_two(scans, prior, two_devices, slices):
    """Of one slice they are drawn on both, by their seeds: a network rounds by the number of its images."""
    recipe = {"solver": "dds", "prior": prior, "samples": 3, "iterations": 4, "slices": slices, "seed": 7}
    alone = ig.reconstruct(scans["parallel"], device="cpu", **recipe)
    apart = ig.reconstruct(scans["parallel"], device=two_devices, **recipe)
    torch.testing.assert_close(apart.samples, alone.samples)
    torch.testing.assert_close(apart.images, alone.samples.mean(0))


@pytest.mark.filterwarnings("ignore::invgen.core.errors.SamplingWarning")  # of few particles
def test_samples_that_are_drawn_together_are_on_one_device(scans, prior, two_devices):
    recipe = {"solver": "twisted-smc", "prior": prior, "samples": 2, "iterations": 2, "slices": 1}
    recipe["settings"] = {"particles": 3}
    alone = ig.reconstruct(scans["parallel"], device="cpu", **recipe)
    assert torch.equal(ig.reconstruct(scans["parallel"], device=two_devices, **recipe).samples, alone.samples)


def test_files_are_the_same(scans, two_devices, tmp_path):
    found = []
    for name in ("cpu", two_devices):
        ig.reconstruct(scans["parallel"], tmp_path / "image.h5", solver="fbp", device=name)
        with h5py.File(tmp_path / "image.h5") as file:
            found.append(file["reconstruction"][:].tobytes())
    assert found[0] == found[1]


def test_a_damaged_slice_is_named_and_leaves_no_file(scans, two_devices, tmp_path, monkeypatch):
    plain = SliceBySlice.read

    def damaged(self, slices):
        if slices[0] == 3 and threading.current_thread() is not threading.main_thread():
            raise DataError("Slice 3: the sinogram holds NaN.")
        return plain(self, slices)

    monkeypatch.setattr(SliceBySlice, "read", damaged)
    output = tmp_path / "image.h5"
    with pytest.raises(DataError, match="Slice 3: the sinogram holds NaN"):
        ig.reconstruct(scans["parallel"], output, solver="fbp", device=two_devices)
    assert not list(tmp_path.iterdir())


def test_a_keyboard_interrupt_ends_what_computes_and_leaves_no_file(scans, two_devices, tmp_path):
    def interrupt(done, total):
        if 0 < done < 1:
            raise KeyboardInterrupt

    recipe = {"solver": "tv", "iterations": 1_000_000, "settings": {"tolerance": 0.0}, "weight": 0.01}
    with pytest.raises(KeyboardInterrupt):
        ig.reconstruct(
            scans["parallel"], tmp_path / "image.h5", device=two_devices, advance=interrupt, **recipe
        )
    assert not list(tmp_path.iterdir())


def test_slices_on_two_devices_go_on_from_where_they_were_stopped(scans, two_devices, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "now", lambda: "2026-01-02T03:04:05+00:00")
    output = tmp_path / "image.h5"

    def run(**how):
        recipe = {"solver": "tv", "iterations": 200, "settings": {"tolerance": 0.0}, "weight": 0.01}
        ig.reconstruct(scans["parallel"], output, device=two_devices, **recipe, **how)

    def interrupt(done, total):
        if done % 1 > 0.02:
            raise KeyboardInterrupt

    run()
    undisturbed = output.read_bytes()
    output.unlink()
    with pytest.raises(KeyboardInterrupt, match="the same command goes on with --resume"):
        run(advance=interrupt)
    assert list(folder_of(output).glob("[!.]*.state"))
    run(resume=True)
    assert output.read_bytes() == undisturbed


def test_a_keyboard_interrupt_ends_samples_of_one_slice_on_two_devices(scans, prior, two_devices):
    def interrupt(done, total):
        if done > 0:
            raise KeyboardInterrupt

    recipe = {"solver": "dds", "prior": prior, "samples": 2, "iterations": 1_000_000, "slices": 1}
    with pytest.raises(KeyboardInterrupt):
        ig.reconstruct(scans["parallel"], device=two_devices, advance=interrupt, **recipe)


def test_threads_that_read_have_the_callers_bound_of_memory(scans, two_devices, monkeypatch):
    plain, bounds = SliceBySlice.read, []

    def bounded(self, slices):
        if threading.current_thread() is threading.main_thread():
            return plain(self, slices)
        with pytest.raises(MemoryLimitError) as error:
            ig.core.memory.require_memory(2**30, "A slice")
        bounds.append(str(error.value))
        return plain(self, slices)

    monkeypatch.setattr(SliceBySlice, "read", bounded)
    with ig.memory_limit("512M"):
        ig.reconstruct(scans["parallel"], solver="fbp", device=two_devices)
    assert len(bounds) == 4
    assert all("512 MiB, the bound that is given" in each for each in bounds)


def test_progress_rises_to_all_slices(scans, two_devices):
    reported = []
    ig.reconstruct(
        scans["parallel"],
        solver="sirt",
        iterations=3,
        device=two_devices,
        advance=lambda done, total: reported.append((done, total)),
    )
    assert reported == sorted(reported)
    assert reported[-1] == (4, 4)


def test_each_worker_reads_one_job_ahead_and_no_more():
    read, computed = [], []
    workers = [
        Worker(CPU, lambda job: read.append(job) or job, lambda job, part: computed.append(job) or job)
    ]
    results = in_order(range(100), workers, lambda done: None, lambda job: 1)
    for place in range(3):
        assert next(results)[1] == place
        assert len(read) <= place + 3
    results.close()
    assert len(read) <= 5
