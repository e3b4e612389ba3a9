"""CT on a GPU beside ASTRA and packages on PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch

import invgen as ig
from benchmarks.gpu.bench import Bench, Call
from benchmarks.gpu.peers import astra_slices, astra_volumes, deepinv_radon, torch_radon
from invgen.operators import ConeBeam, FanBeam, LinearOperator, Radon
from invgen.solvers import FBP, FDK
from invgen.solvers.direct.base import DirectSolver

__all__ = ["cone", "fan", "filtered", "parallel"]


def parallel(bench: Bench) -> None:
    """512x512, 720 views, a batch of 64: both projectors, and the gram."""
    n, views, batch = bench.pick((512, 720, 64), (16, 5, 3))
    for method in ("joseph", "fourier"):
        A = Radon((n, n), views, method=method)
        # two pixels for each row that a ray crosses; and for each frequency 6x6 complex cells
        cached = 2.0 * A.range.size * n if method == "joseph" else 36.0 * A.range.size
        x = bench.random(A.domain, batch)
        peers: dict[str, Peers] = {
            "forward": {
                "ASTRA": astra_volumes(A, x, "FP3D_CUDA"),
                "DeepInverse": deepinv_radon(A, x, "A"),
                "torch-radon": torch_radon(A, x, "forward"),
            },
            "adjoint": {
                "ASTRA": astra_volumes(A, x, "BP3D_CUDA"),
                "DeepInverse": deepinv_radon(A, x, "A_adjoint"),
                "torch-radon": torch_radon(A, x, "backward"),
            },
        }
        name = f'`Radon(method="{method}")`, {n}x{n}, {views} views, batch {batch}'
        _directions(bench, name, A, batch, cached, peers, 3.0)
        _adjoint(bench, name, A)
    turns = {
        "ASTRA, forward + back": astra_volumes(A, bench.random(A.domain, batch), "FP3D_CUDA", "BP3D_CUDA")
    }
    bench.row(
        f"`Radon.gram`, {n}x{n}, {views} views, batch {batch}",
        lambda b: _on(A.gram, bench.random(A.domain, b)),
        batch,
        peers=turns,
        wanted=20.0,
    )


def fan(bench: Bench) -> None:
    """512x512, 720 views, a batch of 64."""
    n, views, batch = bench.pick((512, 720, 64), (16, 5, 3))
    A = FanBeam((n, n), views, 2.0 * n, 3.0 * n)
    peers = {d: {"ASTRA": astra_slices(A, batch, f"{k}_CUDA")} for d, k in _ASTRA.items()}
    name = f"`FanBeam`, {n}x{n}, {views} views, batch {batch}"
    _directions(bench, name, A, batch, 2 * A.range.size * n, peers, 1.0)
    _adjoint(bench, name, A)


def cone(bench: Bench) -> None:
    """256^3, 360 views."""
    n, views = bench.pick((256, 360), (8, 4))
    A = ConeBeam((n, n, n), views, 2.0 * n, 3.0 * n)
    x = bench.random(A.domain, 1)[0]
    peers = {d: {"ASTRA": astra_volumes(A, x, f"{k}3D_CUDA")} for d, k in _ASTRA.items()}
    name = f"`ConeBeam`, {n}^3, {views} views"
    _directions(bench, name, A, 1, 4 * A.range.size * n, peers, 0.7)
    _adjoint(bench, name, A)


def filtered(bench: Bench) -> None:
    """FBP of parallel beams and fans, FDK."""
    n, views, batch = bench.pick((512, 720, 64), (16, 5, 3))
    for A in (Radon((n, n), views), FanBeam((n, n), views, 2.0 * n, 3.0 * n)):
        peers = {"ASTRA": astra_slices(A, batch, "FBP_CUDA")}
        if isinstance(A, Radon):
            peers["DeepInverse"] = deepinv_radon(A, bench.random(A.domain, batch), "A_dagger")
        bench.row(
            f"`FBP` of `{A.name}`, {n}x{n}, {views} views, batch {batch}",
            lambda b, A=A: _direct(bench, FBP(), A, b),
            batch,
            cached=0.0 if isinstance(A, Radon) else 8.0 * n * n * views,
            operations=0.0 if isinstance(A, Radon) else 10.0 * n * n * views,
            peers=peers,
            wanted=1.0,
        )
    n, views = bench.pick((256, 360), (8, 4))
    A = ConeBeam((n, n, n), views, 2.0 * n, 3.0 * n)
    bench.row(
        f"`FDK`, {n}^3, {views} views",
        lambda b: _direct(bench, FDK(), A, b),
        1,
        cached=16.0 * n**3 * views,
        operations=20.0 * n**3 * views,
        peers={"ASTRA": astra_volumes(A, bench.random(A.domain, 1)[0], "FDK_CUDA")},
        wanted=0.7,
    )


Peers = dict[str, Callable[[], Call | None]]

#: What ASTRA calls the directions.
_ASTRA = {"forward": "FP", "adjoint": "BP"}


def _directions(
    bench: Bench,
    name: str,
    A: LinearOperator,
    batch: int,
    samples: float,
    peers: dict[str, Peers],
    wanted: float,
) -> None:
    """Forward and adjoint, whose kernels read `samples` numbers from caches, with five operations each."""
    for direction, B in (("forward", A), ("adjoint", A.H)):
        bench.row(
            f"{name}: {direction}",
            lambda b, B=B: _on(B, bench.random(B.domain, b)),
            batch,
            cached=4.0 * samples,
            operations=5.0 * samples,
            peers=peers[direction],
            wanted=wanted,
        )


def _adjoint(bench: Bench, name: str, A: LinearOperator) -> None:
    """``<A x, y>`` against ``<x, A.H y>`` in single precision, summed in double."""
    if not bench.execute:
        return
    x, y = bench.random(A.domain, 1, seed=1), bench.random(A.range, 1, seed=2)
    ax, ahy = A(x), A.H(y)
    left, right = (float((a.double() * b.double()).sum()) for a, b in ((ax, y), (x, ahy)))
    error = abs(left - right) / float(ax.double().norm() * y.double().norm())
    what = "the error is" if bench.gpu else "at the size of this rehearsal, in Triton's interpreter,"
    bench.note(f"{name}: adjoint", f"{what} {error:.0e}", "1e-6", error <= 1e-6)


def _on(A: LinearOperator, x: torch.Tensor) -> Call:
    return lambda: A(x)


def _direct(bench: Bench, solver: DirectSolver, A: LinearOperator, batch: int) -> Call:
    problem = ig.Problem(A, bench.random(A.range, batch))
    return lambda: solver.image(problem)
