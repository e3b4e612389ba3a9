"""`recon --dask` and `--workers`: the same file from other processes, and what goes wrong on the way."""

import os
import signal
import time
from contextlib import suppress

import psutil
import pytest

from invgen.io.output import read_reconstruction
from invgen.pipeline import connection

distributed = pytest.importorskip("distributed")


def images(path):
    with read_reconstruction(path) as file:
        return file.volume[:], file.settings["command"]


def assert_same(found, expected):
    assert found[1] == expected[1]
    assert found[0].tobytes() == expected[0].tobytes()


@pytest.fixture(scope="module")
def address():
    """Of a scheduler with two workers, threads of this process."""
    options = {"processes": False, "protocol": "tcp", "dashboard_address": ":0"}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as local:
        yield local.scheduler_address


def test_a_cluster_writes_the_same_file(invgen, scan, address, tmp_path):
    output, found = tmp_path / "image.h5", []
    for where in ([], ["--dask", address]):
        result = invgen("recon", scan, "-o", output, "--center", "37", "--slices", "2:5", *where)
        assert result.exit_code == 0, result.output
        found.append(images(output))
    assert "Slices are computed by 2 workers on CPUs, of 1 machine." in result.output
    assert_same(*found)


def test_workers_of_this_machine_or_those_of_a_cluster(refused, scan, tmp_path):
    message = refused("recon", scan, "-o", tmp_path / "a.h5", "--workers", "2", "--dask", "tcp://127.0.0.1:1")
    assert "give one" in message


def test_no_scheduler_is_a_line(refused, scan, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "ANSWER", 0.5)
    gone = ("--dask", "tcp://127.0.0.1:1")
    for command in (
        ("recon", scan, "-o", tmp_path / "image.h5"),
        ("bench", "certify", "--quick", "-o", tmp_path / "results"),
    ):
        assert "no scheduler answers there" in refused(*command, *gone)
    assert not (tmp_path / "image.h5").exists()


def left_of(group):
    """Processes of a group, without those that have ended and wait for their parent to see it."""
    found = []
    for each in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getpgid(each.pid) == group and each.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


@pytest.mark.slow
def test_processes_write_the_same_file(start, scan, tmp_path):
    output, found = tmp_path / "image.h5", []
    for where in ([], ["--workers", "2"]):
        process = start("recon", scan, "-o", output, "--solver", "tv", "--iterations", "10", *where)
        said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        found.append(images(output))
    assert_same(*found)


@pytest.mark.slow
def test_ctrl_c_ends_processes_and_leaves_nothing(start, scan, tmp_path):
    """A terminal sends it to all of them."""
    endless = ["--solver", "tv", "--iterations", "10000000", "--set", "tolerance=0", "--weight", "1"]
    process = start(
        *("recon", scan, "-o", tmp_path / "image.h5", *endless, "--workers", "2"),
        prelude="import os\nos.setsid()",
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.iterdir()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "Interrupted; nothing half-written is left."
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
    while left_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left_of(process.pid)
