"""Folders that one process has at a time."""

import subprocess
import sys

import pytest

from invgen.core.claims import Claim
from invgen.core.errors import FileError

HOLD = """
import sys, pathlib
from invgen.core.claims import Claim
claim = Claim(pathlib.Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


def test_a_folder_is_that_of_a_process_until_it_is_killed(tmp_path):
    folder = tmp_path / "folder"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(FileError, match="is that of another process"):
            Claim(folder)
        process.kill()
    with Claim(folder) as claim:
        (folder / "content").write_text("x")
        (folder / "below").mkdir()
        claim.clear()
        assert [path.name for path in folder.iterdir()] == ["lock"]
        with pytest.raises(FileError, match="is that of another process"):
            Claim(folder)
    claim = Claim(folder)
    claim.remove()
    assert not folder.exists()


def test_what_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "no" / "folder"):
        with pytest.raises(FileError, match="cannot be written"):
            Claim(folder)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "lock").symlink_to(tmp_path / "file")
    with pytest.raises(FileError, match="cannot be written"):
        Claim(tmp_path / "folder")
