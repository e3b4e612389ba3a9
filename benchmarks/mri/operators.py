"""Speed and accuracy of the operators."""

from __future__ import annotations

import math

import numpy as np
import torch

from benchmarks.report import Report, race, relative
from invgen.operators import MRI, NonCartesianMRI, sampling, trajectories

_COILS = 8


def normal(*shape: int, seed: int) -> torch.Tensor:
    """Complex normal numbers."""
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def cartesian(report: Report, n: int = 320) -> None:
    """Forward and adjoint against the Fourier transforms that they contain."""
    x, coils, y = normal(n, n, seed=0), normal(_COILS, n, n, seed=1), normal(_COILS, n, n, seed=2)
    masks = {
        "full mask": (torch.ones(n, dtype=torch.bool), 2.0),
        "R = 4 lines": (sampling.equispaced_lines((n, n), 4, offset=0), 1.3),
        "Poisson disc, R = 6": (sampling.poisson_disc((n, n), 6, (24, 24), seed=0), None),
    }
    for name, (mask, limit) in masks.items():
        A = MRI((n, n), mask, coils)
        times = race(
            lambda: torch.fft.ifft2(torch.fft.fft2(y, norm="ortho"), norm="ortho"),
            lambda A=A: A.H(A(x)),
            lambda A=A: A.gram(x),
        )
        ffts, ours, gram = (1e3 * t for t in times)
        what = f"`MRI` {n}x{n}, {_COILS} coils, {name}"
        report.row(
            f"{what}: forward + adjoint against the bare FFTs",
            f"{ours:.1f} and {ffts:.1f} ms, {ours / ffts:.2f} times",
            f"{limit} times" if limit else "",
            ours <= limit * ffts if limit else None,
        )
        report.row(f"{what}: gram", f"{gram:.1f} ms")


def noncartesian(report: Report, n: int = 256, spokes: int = 400, samples: int = 512) -> None:
    """The normal operator of golden-angle radial sampling, whose cost does not grow with the samples."""
    import finufft

    trajectory = trajectories.radial(spokes, samples)
    x, coils = normal(n, n, seed=0), normal(_COILS, n, n, seed=1)
    A = NonCartesianMRI((n, n), trajectory, coils)
    kx, ky = (2 * math.pi * trajectory.reshape(-1, 2).T).float().contiguous().numpy()
    plans = [finufft.Plan(kind, (n, n), _COILS, 1e-4, sign, "complex64") for kind, sign in ((2, -1), (1, 1))]
    for plan in plans:
        plan.setpts(kx, ky)
    array, image = coils.numpy(), x.numpy()

    def both() -> np.ndarray:
        return (array.conj() * plans[1].execute(plans[0].execute(array * image))).sum(0)

    A.gram(x)
    peer, gram, ours = race(both, lambda: A.gram(x), lambda: A.H(A(x)), rounds=7)
    what = f"`NonCartesianMRI` {n}x{n}, {_COILS} coils, {spokes} spokes of {samples} samples"
    report.row(f"{what}: forward + adjoint by FINUFFT at 1e-4", f"{1e3 * peer:.0f} ms")
    report.row(
        f"{what}: gram", f"{1e3 * gram:.1f} ms, {peer / gram:.1f} times faster", "5 times", peer >= 5 * gram
    )
    report.row(f"{what}: forward + adjoint of the operator", f"{1e3 * ours:.0f} ms")
    single = relative(A.gram(x), A.H(A(x)))
    x = x.to(torch.complex128)
    double = relative(A.gram(x), A.H(A(x)))
    report.row(
        f"{what}: gram against forward and adjoint, single and double precision",
        f"{single:.0e}, {double:.0e}",
        "1e-4",
        single <= 1e-4,
    )
