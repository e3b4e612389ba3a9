"""The fuzzer of all readers, in short: it is itself right, and finds nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.fuzz.runner import FAILURES, Mutant, choose, make, run_mutant  # noqa: E402


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """A text that angles are read from, and no more: the whole takes seconds."""
    import numpy as np

    folder = tmp_path_factory.mktemp("seeds") / "suite"
    folder.mkdir()
    np.save(folder / "scan.npy", np.ones((3, 2, 16), "f4"))
    (folder / "angles.txt").write_text("0 60 120")
    (folder / "run.json").write_text('{"family": "diffusion", "seed": 0}')
    return {"settings": [folder / "angles.txt", folder / "run.json"]}


def test_a_mutant_follows_from_its_number(seeds, tmp_path):
    contents = []
    for name in "ab":
        (tmp_path / name).mkdir()
        mutant, original = choose(seeds, 3, 14)
        contents.append((mutant, make(mutant, original, tmp_path / name).read_bytes()))
    assert contents[0] == contents[1]
    others = {choose(seeds, 3, number)[0].kind for number in range(50)}
    assert len(others) == 5


VERDICTS = {
    "fine": ("pass", "fine"),
    "refused": ("raise FileError('no scan')", "refused"),
    "traceback": ("raise KeyError('a')", "traceback"),
    "two lines": ("raise FileError('a\\nb')", "message"),
    "long": ("raise FileError('a' * 1000)", "message"),
    "memory": ("raise MemoryError", "memory"),
    "much memory": ("[bytearray(2**27) for _ in range(20)]", "memory"),
    "crash": ("os.kill(os.getpid(), 9)", "crash"),
    "hang": ("while True: pass", "hang"),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(seeds, tmp_path, monkeypatch, name):
    import os

    from benchmarks.fuzz import runner
    from invgen.core.errors import FileError

    code, expected = VERDICTS[name]

    def read(path):
        exec(code, {"os": os, "FileError": FileError})
        return []

    monkeypatch.setitem(runner.SUBJECTS, "settings", read)
    if name == "hang":
        monkeypatch.setattr(runner, "_SECONDS", 1)
    mutant = Mutant(0, 0, "settings", "run.json", "bytes")
    verdict = run_mutant(mutant, seeds["settings"][1], tmp_path)
    assert verdict.name == expected
    assert (verdict.name in FAILURES) == (expected not in ("fine", "refused"))


@pytest.mark.slow
def test_no_reader_fails(tmp_path):
    words = ["-m", "benchmarks.fuzz", "--count", "300", "--seed", "1", "--keep", str(tmp_path)]
    run = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "300 mutants" in run.stdout
    assert "0 failures" in run.stdout


@pytest.mark.slow
def test_kills_leave_nothing():
    words = ["-m", "benchmarks.fuzz.kills", "--count", "3", "--commands", "recon", "view", "train"]
    run = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
