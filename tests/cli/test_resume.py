"""`recon --resume` in processes that are killed and stopped."""

from __future__ import annotations

import re
import signal
import time

import pytest

from invgen.pipeline import progress

#: Results are kept one by one, by runs that all began at one time.
AT_ONCE = """
from invgen.pipeline import progress
progress._SECONDS, progress.now = 0.0, lambda: "2026-01-02T03:04:05+00:00"
"""


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "now", lambda: "2026-01-02T03:04:05+00:00")


def shards(folder):
    return list(folder.glob(".image.h5.progress/[!.]*.npz"))


def wait_for(process, met):
    deadline = time.monotonic() + 300
    while not met() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()


@pytest.mark.usefixtures("at_once")
def test_resume_where_nothing_is_kept_and_with_other_options(invgen, refused, scan, tmp_path):
    words = ("recon", scan, "-o", tmp_path / "image.h5", "--center", 37, "--slices", "0:2", "--resume")
    result = invgen(*words)
    assert result.exit_code == 0, result.output
    assert (
        f"Nothing is kept of a run that made {tmp_path / 'image.h5'}: this one begins anew." in result.output
    )
    folder = tmp_path / ".image.h5.progress"
    folder.mkdir()
    for text in ("", "[]", '{"run": 1}', "x" * 100):  # of a kill while it was made, or of no run
        (folder / "run.json").write_text(text)
        result = invgen(*words)
        assert result.exit_code == 0, result.output
        assert not folder.exists()
        folder.mkdir()
    assert "--checkpoint-every" in invgen(*words, "--checkpoint-every", -1).output


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_killed_and_resumed(start, invgen, scan, tmp_path):
    out = tmp_path / "image.h5"
    words = ("recon", scan, "-o", out, "--solver", "tv", "--iterations", 40, "--set", "tolerance=0")
    assert invgen(*words).exit_code == 0
    undisturbed = out.read_bytes()
    out.unlink()
    for count in (2, 4):
        process = start(*words, "--resume", prelude=AT_ONCE)
        wait_for(process, lambda count=count: len(shards(tmp_path)) >= count)
        process.kill()
        process.wait()
        assert not out.exists()
    assert "--weight was" in invgen(*words, "--resume", "--weight", 2).output
    assert "would go on from there; this one begins anew" in invgen(*words[:4], "--slices", "0").output
    out.unlink()
    process = start(*words, prelude=AT_ONCE)
    wait_for(process, lambda: len(shards(tmp_path)) >= 2)
    process.kill()
    process.wait()
    result = invgen(*words, "--resume")
    assert result.exit_code == 0, result.output
    assert re.search(r"[2-7] of 8 slices are kept; the others are computed", result.output)
    assert out.read_bytes() == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["image.h5"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_says_how_to_go_on(start, scan, tmp_path, number):
    out = tmp_path / "image.h5"
    endless = ("--solver", "tv", "--iterations", 10**6, "--set", "tolerance=0", "--weight", 1)
    before = None

    def is_saved():
        return any(state.stat().st_ino != before for state in tmp_path.glob(".image.h5.progress/0-0.state"))

    for resume in ((), ("--resume",)):
        process = start("recon", scan, "-o", out, *endless, "--checkpoint-every", 0, *resume, prelude=AT_ONCE)
        wait_for(process, is_saved)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130
        line = f"Stopped. 0 of 8 slices of {out} are kept: the same command goes on with --resume."
        assert said.splitlines()[-1] == line
        assert "Traceback" not in said
        before = (tmp_path / ".image.h5.progress" / "0-0.state").stat().st_ino


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(start, scan, tmp_path):
    """Also where the method reports nothing for long."""
    sleeping = """
import time
from invgen.pipeline.ct import SliceBySlice
def compute(self, read, part):
    print("begun", flush=True)
    time.sleep(1000)
SliceBySlice.compute = compute
"""
    process = start("recon", scan, "-o", tmp_path / "image.h5", prelude=sleeping)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    with pytest.raises(Exception, match="timed out"):
        process.communicate(timeout=2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "Interrupted; nothing half-written is left."
    assert not list(tmp_path.iterdir())
