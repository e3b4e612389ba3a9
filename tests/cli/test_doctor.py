"""``invgen doctor``: a whole installation passes; one that computes wrongly or lacks something is found."""

import json
import math
from importlib import metadata

import pytest
import torch

import invgen as ig
from invgen.pipeline import doctor


@pytest.fixture(scope="module")
def diagnosis():
    return doctor.diagnose("cpu")


def test_a_whole_installation_is_healthy(diagnosis):
    assert diagnosis.healthy, [check for check in diagnosis.checks if not check.passed]
    assert diagnosis.versions["torch"] == torch.__version__
    assert set(diagnosis.kernels["wavelet"]) == {"cpu"}
    assert diagnosis.kernels["fan"]["cpu"] == "compiled"
    assert diagnosis.kernels["non-uniform FFT"]["cpu"] == "FINUFFT"


def test_all_extras_are_listed(diagnosis):
    stated = set(metadata.metadata("invgen").get_all("Provides-Extra"))
    assert set(diagnosis.extras) == stated - {"dev", "docs", "peers", "test"}


def _transposed_wrongly(device):
    A = ig.operators.FunctionOperator(lambda x: 2 * x, lambda y: y, domain=(4,), range=(4,))
    return doctor._adjoint(A, device)


def _missing(device):
    raise ImportError("no module named numba")


@pytest.mark.parametrize("broken", [_transposed_wrongly, _missing])
def test_what_is_broken_is_said(invgen, monkeypatch, broken):
    monkeypatch.setattr(doctor, "_CHECKS", {"a kernel: adjoint": broken})
    result = invgen("doctor", "--device", "cpu")
    assert result.exit_code == 1
    assert "Error: a kernel: adjoint, cpu" in result.output
    assert "1 of 1 tests failed" in result.output
    assert invgen("doctor", "--device", "cpu", "--json").exit_code == 1


def test_missing_extras_are_named_with_their_command(invgen, monkeypatch):
    monkeypatch.setattr(doctor, "_CHECKS", {})
    known = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "zuko" else known(name))
    result = invgen("doctor", "--device", "cpu")
    assert "pip install 'invgen[flows]'" in result.output
    found = json.loads(invgen("doctor", "--device", "cpu", "--json").stdout)
    assert found["extras"]["flows"] == {"zuko": None}
    assert found["healthy"]


def test_nan_is_no_success():
    assert not doctor.Check("a", "cpu", math.nan, 1.0).passed


def test_a_device_that_is_not_there_is_refused(refused):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert "no CUDA device" in refused("doctor", "--device", "cuda")
