"""The implementation that serves a tensor, and what kernels and their references have in common."""

import importlib
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import invgen as ig
from invgen.core.kernels import Kernels, KernelWarning
from invgen.operators import MRI, ConeBeam, FanBeam, Gradient, Radon, Wavelet

PACKAGE = Path(ig.operators.__file__).parent


def tensor_on(device):
    return SimpleNamespace(device=torch.device(device))


def test_each_device_has_its_implementation_or_plain_pytorch():
    def trial(implementation, device):
        return (torch.ones(3),)

    kernels = Kernels("plain", cpu=lambda: "compiled", gpu=lambda: "written for GPUs", trial=trial)
    assert kernels.serving(torch.ones(3)) == "compiled"
    assert kernels.serving(tensor_on("cuda:1")) == "written for GPUs"
    assert kernels.serving(tensor_on("mps")) == "plain"
    assert Kernels("plain", cpu=lambda: "compiled").serving(tensor_on("cuda")) == "plain"
    assert Kernels("plain").serving(torch.ones(3)) == "plain"


def test_what_no_tensor_needs_is_not_loaded():
    def fail():
        raise AssertionError("loaded")

    kernels = Kernels("plain", cpu=lambda: "compiled", gpu=fail, trial=lambda written, device: fail())
    assert kernels.serving(torch.ones(3)) == "compiled"


@pytest.mark.parametrize("error", [1e-3, math.nan])
def test_kernels_that_differ_from_plain_pytorch_do_not_serve(error):
    def trial(scale, device):
        tried.append((scale, device))
        return torch.ones(2), torch.tensor([3.0, 5.0]) * scale

    tried, device = [], tensor_on("cuda:0").device
    kernels = Kernels(1.0, gpu=lambda: 1.0 + error, trial=trial)
    with pytest.warns(KernelWarning, match=r"cuda:0: its kernels differ from plain PyTorch by"):
        assert kernels.serving(tensor_on("cuda:0")) == 1.0
    assert kernels.serving(tensor_on("cuda:0")) == 1.0
    assert tried == [(pytest.approx(1.0 + error, nan_ok=True), device), (1.0, device)]  # once


def test_rounding_is_no_difference():
    kernels = Kernels(1.0, gpu=lambda: 1.0 + 1e-6, trial=lambda scale, device: (torch.ones(3) * scale,))
    assert kernels.serving(tensor_on("cuda")) == 1.0 + 1e-6


def test_without_triton_plain_pytorch_serves():
    def load():
        raise ModuleNotFoundError("No module named 'triton'")

    kernels = Kernels("plain", gpu=load, trial=lambda written, device: ())
    with pytest.warns(KernelWarning, match="pip install triton"):
        assert kernels.serving(tensor_on("cuda")) == "plain"


FILES = sorted(PACKAGE.rglob("*_cpu.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kernels_have_the_names_of_their_reference(path):
    name = ".".join(("invgen.operators", *path.relative_to(PACKAGE).with_suffix("").parts))
    compiled = importlib.import_module(name)
    reference = importlib.import_module(name.removesuffix("_cpu") + "_torch")
    for function in {"adjoint", "forward", "fan", "cone", "split", "merge", "expand", "combine"}:
        assert (function in compiled.__all__) == (function in reference.__all__)


def coils(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, *shape, generator=generator, dtype=torch.complex128)


@pytest.mark.parametrize(
    "A",
    [
        Radon((20, 17), 12, method="joseph"),
        FanBeam((20, 17), 12, 40.0, 70.0),
        ConeBeam((5, 12, 10), 9, 30.0, 50.0),
        Gradient((20, 17)),
        Gradient((6, 9, 8), (-3, -2, -1), "complex"),
        Wavelet((40, 24)),
        Wavelet((3, 20, 12), "bior4.4", axes=(-3, -2, -1), field="complex"),
        MRI((20, 17), torch.ones(20, 17), coils(20, 17)),
        MRI((4, 7, 6), torch.ones(4, 7, 6), coils(4, 7, 6)),
    ],
    ids=repr,
)
def test_compiled_kernels_agree_with_plain_pytorch(A, monkeypatch):
    x, y = (space.random((2,), seed=0, dtype=torch.float64) for space in (A.domain, A.range))
    compiled = A(x), A.H(y), A.gram(x)
    monkeypatch.setattr(Kernels, "serving", lambda self, x: self._plain)
    for one, other in zip(compiled, (A(x), A.H(y), A.gram(x)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12 * float(other.abs().max()))
