"""Samplers on a GPU: what they take beside their network, and what the ways to evaluate it save."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

import invgen as ig
from benchmarks.gpu.bench import Bench, milliseconds
from benchmarks.gpu.work import Work, counted
from invgen.operators import MRI, LinearOperator, Radon, sampling
from invgen.solvers import DDS, DiffPIR
from tests.gpu.fake_device import to_cpu

__all__ = ["options", "overhead"]

#: What is wanted is of this size, in pixels along a side and images.
_SIZE, _BATCH = 256, 16

#: From half of white on: from higher levels on the first data steps take longer.
_SETTINGS: dict[str, Any] = {"scale": 1.0, "sigma_range": (0.005, 0.5)}


class _Stub:
    """A denoiser that takes no time: what is left is the sampler's own."""

    def __init__(self, inner: Any) -> None:
        self.image_format = replace(inner.image_format, std=inner.image_format.std or 0.5)

    def denoise(self, x: torch.Tensor, sigma: Any) -> torch.Tensor:
        """The image as it is."""
        return x


def _operators(n: int) -> dict[str, LinearOperator]:
    maps = torch.ones(8, n, n, dtype=torch.complex64) / 8**0.5
    return {
        "Radon, 60 views": Radon((n, n), 60),
        "MRI, 8 coils": MRI((n, n), sampling.random_lines((n, n), 4, seed=0), maps),
    }


def overhead(bench: Bench) -> None:
    """256x256, a batch of 16: time of a step outside of the network, over the network's."""
    n, batch, levels = (_SIZE, _BATCH, 30) if bench.gpu else (16, 2, 2)
    for what, A in _operators(n).items():
        with torch._C.DisableTorchFunction():  # what is on no device yet is none of the fake device's
            prior = ig.priors.load("brain-mr" if A.domain.field == "complex" else "denoiser-gray")
        x = bench.random(A.domain, batch)
        problem = ig.Problem(A, A(x), ig.noise.Gaussian(0.02))
        for make in (DDS, DiffPIR):
            name = (
                f"`{make.__name__}`, {what}, {_SIZE}x{_SIZE}, batch {_BATCH}: a step outside of the network"
            )
            with bench.guarded(name):
                if bench.gpu:
                    own, network = _measured(make, prior, problem, x, levels)
                    value = f"measured {own:.3g} ms of {own + network:.3g}"
                    bench.note(
                        name, f"{value}, {own / network:.1%} of the network", "3 %", own <= 0.03 * network
                    )
                else:
                    _expected(bench, name, make, prior, problem, x)


def _measured(
    make: Any, prior: Any, problem: ig.Problem, x: torch.Tensor, levels: int
) -> tuple[float, float]:
    """Milliseconds of a step beside the network's, and of the network."""
    solver = make(prior, iterations=levels, **_SETTINGS)
    every = milliseconds(lambda: solver(problem, seed=0)) / levels
    network = milliseconds(lambda: prior.denoise(x, 0.1))
    return every - network, network


def _expected(bench: Bench, name: str, make: Any, prior: Any, problem: ig.Problem, x: torch.Tensor) -> None:
    """A step is what four levels do more than three; memory and operations grow with the pixels."""
    scale = _SIZE**2 * _BATCH / x.numel()

    def levels(count: int) -> Work:
        solver = make(_Stub(prior), iterations=count, **_SETTINGS)
        return counted(lambda: solver(problem, seed=0), execute=True)

    levels(2)  # what is computed once is kept from here on
    own = _scaled(levels(4) - levels(3), scale)
    with torch._C.DisableTorchFunction():
        network = _scaled(counted(lambda: prior.denoise(to_cpu(x), 0.1), execute=True, host=True), scale)
    ratio = own.seconds / network.seconds
    bench.note(
        name,
        f"expected {1e3 * own.seconds:.3g} ms, {ratio:.1%} of the network's {1e3 * network.seconds:.3g} ms",
        "3 %",
        derivation=f"{own.derivation}; the network: {network.derivation}; from {tuple(x.shape)}",
    )


#: Ways to evaluate a network, from the plain one on: arguments of `evaluated`.
_WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, channels last": {"precision": "bfloat16", "channels_last": True},
    "bfloat16, channels last, CUDA graphs": {
        "precision": "bfloat16",
        "channels_last": True,
        "graphs": True,
    },
    "all, compiled": {"precision": "bfloat16", "channels_last": True, "compile": True, "graphs": True},
}


def options(bench: Bench) -> None:
    """Samples a second of `DDS` with each way to evaluate the network; all are to be 3 times the plain one."""
    n, batch, levels = (_SIZE, _BATCH, 30) if bench.gpu else (16, 2, 2)
    with torch._C.DisableTorchFunction():
        prior = ig.priors.load("denoiser-gray")
    A = Radon((n, n), 60)
    problem = ig.Problem(A, A(bench.random(A.domain, 1)[0]), ig.noise.Gaussian(0.02))
    plain = 0.0
    for name, way in _WAYS.items():
        what = f"`DDS`, Radon, 60 views, {_SIZE}x{_SIZE}, {_BATCH} samples, the network {name}"
        with bench.guarded(what):
            solver = DDS(prior.evaluated(**way), iterations=levels, **_SETTINGS)
            if not bench.gpu:
                bench.note(what, "expected: see the network's time above" if way else "expected: the loop above")
                continue
            rate = 1e3 * batch / milliseconds(lambda s=solver: s(problem, samples=batch, seed=0))
            plain = plain or rate
            last = name == list(_WAYS)[-1]
            value = f"measured {rate:.3g} samples a second, {rate / plain:.2f} times the plain loop"
            bench.note(what, value, "3 times" if last else "", rate >= 3 * plain if last else None)


def _scaled(work: Work, factor: float) -> Work:
    return replace(work * factor, kernels=work.kernels)
