"""Files appear under their name when they are whole; a limit on the size of files stands for a full disk."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap

import pytest

from invgen.core.errors import FileError
from invgen.core.files import atomic_hdf5, atomic_path, check_regular, sweep, temporary_folder

WRITERS = {
    "reconstruction of a scan": """
        from invgen.io import ReconstructionWriter
        with ReconstructionWriter(path, slices=50, image_shape=(100, 100), pixel_size=1, unit="pixel",
                                  source="s", settings={}, angles=[0.0], center=1.0) as writer:
            for index in range(50):
                writer.write(index, torch.ones(100, 100))
    """,
    "result of a solver": """
        import invgen
        invgen.Reconstruction(torch.ones(700, 700)).save(path)
    """,
    "prior": """
        import invgen
        invgen.priors.load("ct-phantoms").save(path)
    """,
    "checkpoint": """
        from invgen.solvers.checkpoint import Checkpoint, Checkpoints
        from pathlib import Path
        Checkpoint(Checkpoints(Path(path)), lambda: "a").save({"x": torch.ones(700, 700)})
    """,
    "simulated scan": """
        from invgen.simulate import simulate_ct
        simulate_ct(path, size=96, slices=8, views=40)
    """,
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_an_error_in_words_and_no_file(tmp_path, writer):
    script = f"""
import resource, sys, torch
from invgen.core.errors import FileError
path = sys.argv[1]
torch.set_num_threads(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
{textwrap.indent(textwrap.dedent(writer), "    ")}
except FileError as error:
    print(error)
    sys.exit(7)
"""
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out.h5")], capture_output=True, text=True
    )
    assert run.returncode == 7, run.stderr
    assert "cannot be written: File too large" in run.stdout
    assert not run.stderr
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path):
    for path, words in {tmp_path: "a folder", tmp_path / "no" / "out.h5": "cannot be written"}.items():
        with pytest.raises(FileError, match=words), atomic_path(path):
            pass
    with pytest.raises(FileError, match="cannot be written"), atomic_path("/proc/out.h5"):
        pass


def test_output_has_the_usual_permissions_and_follows_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_path(tmp_path / "link") as beside:
        beside.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    (tmp_path / "ordinary").touch()
    assert (tmp_path / "real").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_an_error_while_writing_is_its_own_and_leaves_the_old_file(tmp_path):
    (tmp_path / "out.h5").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_hdf5(tmp_path / "out.h5") as file:
        file["x"] = [1.0, 1 / 0]
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_what_is_no_file_is_refused_in_words(tmp_path):
    (tmp_path / "empty").touch()
    for path, words in {
        tmp_path: "is a folder",
        tmp_path / "no": "not exist",
        tmp_path / "empty": "empty",
    }.items():
        with pytest.raises(FileError, match=words) as error:
            check_regular(path)
        assert "scan" not in str(error.value).replace(str(tmp_path), "")


def test_importing_the_package_does_not_import_hdf5():
    script = "import sys, invgen, invgen.simulate, invgen.reconstruction; sys.exit('h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


KILLED = """
import os, signal, sys
from invgen.core.files import atomic_path, temporary_folder
with temporary_folder() as folder, atomic_path(sys.argv[1]) as beside:
    beside.write_text("half")
    (folder / "half").touch()
    print(flush=True)
    if len(sys.argv) > 2:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
"""


def test_what_killed_processes_leave_is_removed_by_the_next(tmp_path, monkeypatch):
    """Not what a process that is at work has, nor the files of others."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    outputs, place = tmp_path / "outputs", tmp_path / "temporary"
    outputs.mkdir(), place.mkdir()
    path = outputs / "out [1].h5"
    others = {".out [1].h5.part", ".out [1].h5.12345678.txt", ".out.h5.12345678.part.h5", "note.part"}
    for name in others:
        (outputs / name).write_text("of others")
    (place / "invgen-12345678.part").mkdir()
    command = [sys.executable, "-c", KILLED, str(path)]
    for _ in range(2):
        run = subprocess.run([*command, "killed"], env=environment, stdout=subprocess.PIPE)
        assert run.returncode == -signal.SIGKILL
        assert len(list(outputs.iterdir())) == len(others) + 1  # the one before is gone
        assert len(list(place.iterdir())) == 2
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as at_work:
        try:
            at_work.stdout.readline()
            with atomic_path(path) as beside, temporary_folder() as folder:
                beside.write_text("whole")
                assert len(list(outputs.iterdir())) == len(others) + 2
                assert len(list(place.iterdir())) == 3
                assert folder.is_dir()
            sweep(outputs)
            assert len(list(outputs.iterdir())) == len(others) + 1
        finally:
            at_work.kill()
    sweep(outputs)
    assert {entry.name for entry in outputs.iterdir()} == {path.name} | others - {".out.h5.12345678.part.h5"}
    assert path.read_text() == "whole"
    with temporary_folder():
        pass
    assert [entry.name for entry in place.iterdir()] == ["invgen-12345678.part"]


def test_content_is_flushed_before_it_is_renamed_and_the_name_after(tmp_path, monkeypatch):
    """Without this a file can be empty after a power failure, or not there yet."""
    done, fsync, replace = [], os.fsync, os.replace

    def flush(handle):
        done.append(("flush", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def rename(before, after):
        done.append(("rename", str(before)))
        replace(before, after)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    with atomic_path(tmp_path / "out.h5") as beside:
        beside.write_text("whole")
    assert done == [("flush", str(beside)), ("rename", str(beside)), ("flush", str(tmp_path))]
