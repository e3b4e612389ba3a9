"""MRI on a GPU beside its bare transforms, cuFINUFFT and packages on PyTorch."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable

import torch

from benchmarks.gpu.bench import Bench, Call
from benchmarks.gpu.peers import deepinv_mri
from invgen.core.space import Space
from invgen.operators import MRI, NonCartesianMRI, sampling, trajectories
from invgen.operators.nufft import NUFFT

__all__ = ["cartesian", "noncartesian"]


def _maps(coils: int, n: int) -> torch.Tensor:
    return Space((coils, n, n), "complex").random(seed=0, dtype=torch.float32)


def cartesian(bench: Bench) -> None:
    """16 coils, 320x320, a batch of 64: the gram beside an FFT and an inverse FFT of the coils' images."""
    n, coils, batch = bench.pick((320, 16, 64), (16, 2, 3))
    A = MRI((n, n), sampling.poisson_disc((n, n), 4, (n // 10, n // 10), seed=0), _maps(coils, n))
    x = bench.random(A.domain, batch)
    name = f"`MRI`, {n}x{n}, {coils} coils, points, batch {batch}"
    bench.row(f"{name}: the bare FFT and inverse FFT", lambda b: _transforms(bench, A, b), batch)
    bench.row(
        f"{name}: gram",
        lambda b: _call(A.gram, bench.random(A.domain, b)),
        batch,
        peers={"the bare transforms": lambda: _transforms(bench, A, batch)},
        wanted=0.8,
    )
    bench.row(
        f"{name}: forward + adjoint",
        lambda b: _turn(A, bench.random(A.domain, b)),
        batch,
        peers={"DeepInverse": deepinv_mri(A, x)},
        wanted=1.0,
    )


def noncartesian(bench: Bench) -> None:
    """256x256, 8 coils, 400 spokes of 512 samples, a batch of 16: gram; the transform by itself."""
    n, coils, spokes, samples, batch = bench.pick((256, 8, 400, 512, 16), (16, 2, 6, 16, 3))
    trajectory = trajectories.radial(spokes, samples)
    A = NonCartesianMRI((n, n), trajectory, _maps(coils, n))
    name = f"`NonCartesianMRI`, {n}x{n}, {coils} coils, {spokes} spokes of {samples}, batch {batch}"
    bench.row(f"{name}: gram", lambda b: _call(A.gram, bench.random(A.domain, b)), batch)
    bench.row(f"{name}: forward + adjoint", lambda b: _turn(A, bench.random(A.domain, b)), batch)

    points = trajectory.reshape(-1, 2).double()
    nufft, images = NUFFT((n, n), points), batch * coils
    # each point reads or adds to as many cells as the kernel is wide, along both axes
    cached = 8.0 * 36 * len(points)
    operations = 4.0 * 36 * len(points)
    image, values = Space((n, n), "complex"), Space((len(points),), "complex")
    for direction, kind in (("forward", 2), ("adjoint", 1)):
        space = image if kind == 2 else values
        bench.row(
            f"`NUFFT`, {n}x{n}, {len(points)} points, {images} images: {direction}",
            lambda b, space=space, direction=direction: _call(
                getattr(nufft, direction), bench.random(space, b)
            ),
            images,
            cached=cached,
            operations=operations,
            peers={"cuFINUFFT": _cufinufft(bench, kind, (n, n), points, images)},
            wanted=1.0,
        )


def _transforms(bench: Bench, A: MRI, batch: int) -> Call:
    z = bench.random(A.range, batch)
    return lambda: torch.fft.ifft2(torch.fft.fft2(z, norm="ortho"), norm="ortho")


def _call(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Call:
    return lambda: function(x)


def _turn(A: MRI | NonCartesianMRI, x: torch.Tensor) -> Call:
    return lambda: A.H(A(x))


def _cufinufft(
    bench: Bench, kind: int, shape: tuple[int, int], points: torch.Tensor, images: int
) -> Callable[[], Call | None]:
    """Its transform of all images in one call, at the accuracy that ours has."""

    def make() -> Call | None:
        if not importlib.util.find_spec("cufinufft"):
            return None
        import cufinufft

        plan = cufinufft.Plan(kind, shape, images, 1e-5, 1 if kind == 1 else -1, "complex64")
        plan.setpts(*(2 * math.pi * points.T).float().contiguous().to(bench.device))
        inputs = bench.random(Space(shape if kind == 2 else (len(points),), "complex"), images)
        out = bench.random(Space((len(points),) if kind == 2 else shape, "complex"), images)
        return lambda: plan.execute(inputs, out=out)

    return make
