"""What memory bounds on a GPU, beside a copy of the bytes that it cannot do without."""

from __future__ import annotations

import torch

from benchmarks.gpu.bench import Bench, Call
from invgen.convex.dual_step import dual_step
from invgen.convex.functions import GroupL1
from invgen.operators import Gradient, Wavelet

__all__ = ["dual", "wavelets"]


def dual(bench: Bench) -> None:
    """The dual step of total variation, 512x512, a batch of 64: it reads three images and writes two."""
    n, batch = bench.pick((512, 64), (16, 3))
    K, g = Gradient((n, n)), GroupL1(0.1, -3)

    def step(b: int) -> Call:
        x, y = bench.random(K.domain, b), bench.random(K.range, b)
        return lambda: dual_step(K, g, y, 0.25, x)

    name = f"dual step of total variation, {n}x{n}, batch {batch}"
    bench.row(name, step, batch, peers={"a copy of its bytes": lambda: _copy(bench, 2.5 * n * n * batch)})


def wavelets(bench: Bench) -> None:
    """There and back, 512x512, a batch of 64: each reads an image and writes one."""
    n, batch = bench.pick((512, 64), (16, 3))
    W = Wavelet((n, n), "db4")
    for direction, A in (("forward", W), ("adjoint", W.H)):
        bench.row(
            f'`Wavelet("db4")`, {n}x{n}, {W.levels} levels, batch {batch}: {direction}',
            lambda b, A=A: _on(A, bench.random(A.domain, b)),
            batch,
            peers={"a copy of its bytes": lambda: _copy(bench, n * n * batch)},
        )


def _on(A: Wavelet, x: torch.Tensor) -> Call:
    return lambda: A(x)


def _copy(bench: Bench, numbers: float) -> Call:
    """A copy of that many numbers in single precision."""
    source = bench.place(torch.ones(int(numbers)))
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)
