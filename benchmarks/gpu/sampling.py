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
_SIZE, _BATCH, _LEVELS = 256, 16, 30

#: Pixels along a side of the images that stand in for them without a GPU.
_TINY = 16

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


def _case(bench: Bench, A: LinearOperator) -> tuple[Any, ig.Problem, torch.Tensor]:
    """A prior for the operator, a problem of several images, and these."""
    with torch._C.DisableTorchFunction():  # what is on no device yet is none of the fake device's
        prior = ig.priors.load("brain-mr" if A.domain.field == "complex" else "denoiser-gray")
    x = (
        bench.random(A.domain, _BATCH)
        if bench.gpu
        else bench.place(A.domain.random((2,), seed=0, dtype=torch.float32))
    )
    return prior, ig.Problem(A, A(x), ig.noise.Gaussian(0.02)), x


def overhead(bench: Bench) -> None:
    """256x256, a batch of 16: time of a step outside of the network, over the network's."""
    for what, A in _operators(_SIZE if bench.gpu else _TINY).items():
        prior, problem, x = _case(bench, A)
        for make in (DDS, DiffPIR):
            name = (
                f"`{make.__name__}`, {what}, {_SIZE}x{_SIZE}, batch {_BATCH}: outside of the network, a step"
            )
            with bench.guarded(name):
                if bench.gpu:
                    network = milliseconds(lambda p=prior, x=x: p.denoise(x, 0.1))
                    own = _step(make(prior, iterations=_LEVELS, **_SETTINGS), problem) - network
                    value, derivation = f"measured {own:.3g} ms", ""
                else:
                    own_work, network_work = _own_work(make, prior, problem), _network_work(prior, x)
                    own, network = 1e3 * own_work.seconds, 1e3 * network_work.seconds
                    value = f"expected {own:.3g} ms"
                    derivation = f"{own_work.derivation}; the network: {network_work.derivation}"
                share = own / network
                reached = share <= 0.03 if bench.gpu else None
                bench.note(
                    name,
                    f"{value}, {share:.1%} of the network's {network:.3g} ms",
                    "3 %",
                    reached,
                    derivation,
                )


#: Ways to evaluate a network: arguments of `evaluated`. The first is the plain loop, the last has all.
_WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "in bfloat16": {"precision": "bfloat16"},
    "so, channels last": {"precision": "bfloat16", "channels_last": True},
    "so, as CUDA graphs": {"precision": "bfloat16", "channels_last": True, "graphs": True},
    "so, compiled": {"precision": "bfloat16", "channels_last": True, "graphs": True, "compile": True},
}


def options(bench: Bench) -> None:
    """Samples a second of `DDS`, by the way that its network is evaluated."""
    A = Radon((_SIZE if bench.gpu else _TINY,) * 2, 60)
    prior, problem, x = _case(bench, A)
    own = Work() if bench.gpu else _own_work(DDS, prior, problem)
    plain = 0.0
    for name, way in _WAYS.items():
        what = f"`DDS`, Radon, 60 views, {_SIZE}x{_SIZE}, batch {_BATCH}, {_LEVELS} levels, network {name}"
        last = name == list(_WAYS)[-1]
        with bench.guarded(what):
            derivation = ""
            if bench.gpu:
                step = _step(DDS(prior.evaluated(**way), iterations=_LEVELS, **_SETTINGS), problem)
            elif last:
                bench.note(what, "expected: not counted, what is fused is the compiler's decision", "3 times")
                continue
            else:
                network = _evaluated_work(prior, way, x)
                step = 1e3 * (own.seconds + network.seconds)
                derivation = (
                    f"outside of the network {1e3 * own.seconds:.3g} ms; the network: {network.derivation}"
                )
            plain = plain or step
            rate, ratio = 1e3 * _BATCH / _LEVELS / step, plain / step
            how = "measured" if bench.gpu else "expected"
            value = f"{how} {rate:.3g} samples a second, {ratio:.2f} times the first"
            bench.note(what, value, "3 times" if last else "", ratio >= 3 if last else None, derivation)


def _step(solver: Any, problem: ig.Problem) -> float:
    """Milliseconds of a noise level."""
    return milliseconds(lambda: solver(problem, seed=0)) / _LEVELS


def _own_work(make: Any, prior: Any, problem: ig.Problem) -> Work:
    """Of a step at full size, without the network: what four levels do more than three."""

    def step(count: int) -> Work:
        part = ig.Problem(problem.operator, problem.measurement[:count], problem.noise)

        def levels(number: int) -> Work:
            solver = make(_Stub(prior), iterations=number, **_SETTINGS)
            return counted(lambda: solver(part, seed=0), execute=True)

        levels(2)  # what is computed once is kept from here on
        return levels(4) - levels(3)

    pixels, one, two = _SIZE**2 / problem.operator.domain.size, step(1), step(2)
    return _at_full_size(one * pixels, two * pixels, two.kernels)


def _network_work(prior: Any, x: torch.Tensor) -> Work:
    """Of an evaluation at full size, counted on the host."""

    def evaluation(some: torch.Tensor) -> Work:
        prior.denoise(some, 0.1)
        return counted(lambda: prior.denoise(some, 0.1), execute=True, host=True)

    with torch._C.DisableTorchFunction():
        one, two = evaluation(to_cpu(x)[:1]), evaluation(to_cpu(x))
    pixels = _SIZE**2 / x[0].numel()
    weights = one * 2 - two
    return _at_full_size(weights + (two - one) * pixels, weights + (two - one) * (2 * pixels), two.kernels)


def _at_full_size(one: Work, two: Work, kernels: float) -> Work:
    """The work of a batch from that of one image and of two."""
    return replace(one + (two - one) * (_BATCH - 1), kernels=kernels)


def _evaluated_work(prior: Any, way: dict[str, Any], x: torch.Tensor) -> Work:
    """Likewise; a graph is one launch, and the host knows none."""
    work = _network_work(prior.evaluated(**{**way, "graphs": False}), x)
    return replace(work, kernels=1) if way.get("graphs") else work
