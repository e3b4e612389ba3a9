"""Cone beams larger than memory: time and peak memory on disk, and how far values are from those in memory.

``python -m benchmarks.larger --size 128 --views 60 --method ossart`` reconstructs in memory and on disk;
``--on-disk`` leaves out the former. ``--steps`` measures each kind of step of OSSART and TV once instead, on
disk, whose sum over a run is its time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from invgen.convex.dual_step import dual_step
from invgen.convex.functions import GroupL1
from invgen.core.disk import OnDisk, Room, loaded, on_disk
from invgen.core.memory import parse_memory, size_in_words
from invgen.noise import Gaussian
from invgen.operators import ConeBeam, Gradient
from invgen.priors import TotalVariation
from invgen.problem import Problem
from invgen.solvers import FDK, FISTA, OSSART, SIRT

AXES = (-3, -2, -1)
METHODS = {
    "fbp": FDK(),
    "sirt": SIRT(iterations=2, nonnegative=True),
    "ossart": OSSART(iterations=2, nonnegative=True),
    "tv": FISTA(TotalVariation(5.0, nonnegative=True, axes=AXES), iterations=2),
}


def scanner(size: int, views: int) -> ConeBeam:
    """Cubes of voxels from a distance of four widths; the panel sees all of each slice's inner disc."""
    panel = {"detector_shape": (size * 73 // 64, size), "detector_spacing": 1.5}
    return ConeBeam((size,) * 3, views, 4.0 * size, 6.0 * size, **panel)


def timed(name: str, work: Callable[[], Any]) -> Any:
    """Print seconds, on the clock and of processors, and the peak memory of the process so far."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    peak = size_in_words(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(f"{name:>20}  {clock:8.1f} s  {processor:8.1f} s of processors  peak {peak}", flush=True)
    return result


def steps(size: int, views: int, room: Room) -> None:
    """Each kind of step once, after a small one that compiles the kernels."""
    for side, show in ((16, lambda name, work: work()), (size, timed)):
        A, K = scanner(side, views), Gradient((side,) * 3, AXES)
        x = torch.ones_like(OnDisk(room, (side,) * 3, torch.float32))
        y = show("projection", lambda A=A, x=x: A(x))
        z = show("backprojection", lambda A=A, y=y: A.H(y))
        show("sum of volumes", lambda x=x, z=z: x + z)
        symbol = A.domain.half(A.spectrum.like(x))
        show("Fourier filter", lambda A=A, x=x, symbol=symbol: A.domain.filter(symbol, x))
        d = show("differences", lambda K=K, x=x: K(x))
        ball, step = GroupL1(1.0, -4), torch.tensor(0.1)
        d = show("dual step", lambda K=K, d=d, x=x, ball=ball, step=step: dual_step(K, ball, d, step, x))
        show("divergence", lambda K=K, d=d: K.H(d))


def compare(name: str, size: int, views: int, room: Room, both: bool) -> None:
    """One method on disk and, for `both`, in memory."""
    A, generator = scanner(size, views), torch.Generator().manual_seed(0)
    clean = A(A.restrict(torch.rand((size,) * 3, generator=generator).round()))
    std = 0.02 * clean.max() * (1 + torch.rand(clean.shape, generator=generator))
    y = clean + std * torch.randn(clean.shape, generator=generator)
    kept = Problem(A, on_disk(y, room), Gaussian(on_disk(std, room)))
    found = timed(f"{name} on disk", lambda: METHODS[name](kept)).x
    if both:
        expected = timed(f"{name} in memory", lambda: METHODS[name](Problem(A, y, Gaussian(std)))).x
        distance = float((loaded(found) - expected).norm() / expected.norm())
        print(f"relative l2 distance {distance:.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--views", type=int, default=60)
    parser.add_argument("--method", choices=METHODS, default="ossart")
    parser.add_argument("--max-memory", default="4G")
    parser.add_argument("--on-disk", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    place = Room(given.folder, parse_memory(given.max_memory) // 8)
    if given.steps:
        steps(given.size, given.views, place)
    else:
        compare(given.method, given.size, given.views, place, not given.on_disk)
