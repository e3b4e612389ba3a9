"""Operators of other packages: the same as ours, called in their own form."""

from importlib.util import find_spec

import pytest

from invgen.bench.suites.operators import Operators
from invgen.bench.suites.packages import IMPLEMENTATIONS

#: Tasks of sums and Fourier transforms, without error but rounding; beams and gridding are approximations.
EXACT = ("Cartesian MRI", "blur", "block means", "cosine transform")


@pytest.fixture
def quick(tmp_path):
    return Operators(tmp_path).quick()


def competing(quick, task):
    return [e for e in quick.entries if e.missing is None and quick.takes(e, task)]


@pytest.mark.parametrize("name", EXACT)
def test_every_package_computes_the_reference(name, quick):
    task = next(task for task in quick.tasks if task.name == name)
    for entry in competing(quick, task):
        measures = quick.judge(entry, {}, task, "one image", 0).measures
        assert measures["operator_error"] < 1e-5, entry.name
        # white noise in single precision
        assert measures.get("adjoint_error", 0) < 1e-5, entry.name


def test_every_implementation_is_of_an_entry_and_a_task(quick):
    entries, tasks = {e.name for e in quick.entries}, {task.name for task in quick.tasks}
    assert {entry for entry, _ in IMPLEMENTATIONS} == entries
    assert {task for _, task in IMPLEMENTATIONS} == tasks
    assert {task for entry, task in IMPLEMENTATIONS if entry == "invgen"} == tasks


def test_what_is_not_installed_says_so(quick, monkeypatch):
    monkeypatch.setattr(
        "invgen.bench.peers.common.find_spec", lambda name: None if name == "sigpy" else find_spec(name)
    )
    missing = {e.name: e.missing for e in quick.entries if e.missing}
    assert "pip install sigpy" in missing["SigPy"]
