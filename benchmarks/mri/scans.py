"""Measured scans, where the folder of sample data is there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

import invgen as ig
from benchmarks.report import Report, race
from invgen.operators import MRI, Fourier, NonCartesianMRI, coils
from invgen.priors import TotalVariation
from invgen.solvers import CG, PDHG, Gridding

_DATA = Path(os.environ.get("INVGEN_DATA", Path(__file__).parents[3] / "shared" / "data")) / "mri"
_BRAIN = _DATA / "sigpy_cartesian_ksp.npy"
_SPIRAL = _DATA / "octopus_acrph_noncart_ksp.mat"


def _there(report: Report, path: Path) -> bool:
    if not path.exists():
        report.row(path.name, "skipped: set INVGEN_DATA to the folder of sample data")
    return path.exists()


def maps(report: Report) -> None:
    """ESPIRiT of the brain: what coil images have beside the maps, and the time."""
    if not _there(report, _BRAIN):
        return
    from sigpy.mri.app import EspiritCalib

    kspace = torch.from_numpy(np.load(_BRAIN))
    array = kspace.numpy()
    ours, theirs = coils.espirit(kspace), torch.from_numpy(EspiritCalib(array, show_pbar=False).run())
    shape = kspace.shape[1:]
    middle = torch.zeros(shape)
    middle[tuple(slice(n // 2 - 12, n // 2 + 12) for n in shape)] = 1
    both = ours.any(0) & theirs.any(0)
    for what, data in (("calibration region", kspace * middle), ("zero-filled k-space", kspace)):
        images = Fourier(tuple(shape)).H(data)
        left, peer = _left(images, ours, both), _left(images, theirs, both)
        report.row(
            f"8-coil brain, images of the {what}: part that is not in the span of the maps",
            f"{left:.6f}, SigPy {peer:.6f}",
            "SigPy's + 1 %",
            left <= 1.01 * peer,
        )
    t, peer = race(
        lambda: coils.espirit(kspace), lambda: EspiritCalib(array, show_pbar=False).run(), rounds=3
    )
    report.row(
        "8-coil brain: ESPIRiT",
        f"{t:.2f} s, SigPy {peer:.2f} s, {peer / t:.1f} times faster",
        "faster",
        t < peer,
    )


def _left(images: torch.Tensor, s: torch.Tensor, where: torch.Tensor) -> float:
    """Part of the coil images, in norm, that the projection onto the maps leaves."""
    rest = images - s * (s.conj() * images).sum(0)
    return float(rest[:, where].norm() / images[:, where].norm())


#: Weights of total variation and of wavelets, in units of the largest value of the backprojection.
_WEIGHTS = (5e-4, 1e-3, 2e-3, 3e-3, 5e-3)


def brain(report: Report) -> None:
    """The brain, 8 times undersampled: a tenth of the samples is withheld, and predicted."""
    if not _there(report, _BRAIN):
        return
    from sigpy.mri.app import L1WaveletRecon

    kspace = torch.from_numpy(np.load(_BRAIN))
    sampled, s = (kspace != 0).any(0), coils.espirit(kspace)
    places = sampled.nonzero()
    chosen = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))[: len(places) // 10]
    withheld = torch.zeros_like(sampled)
    withheld[tuple(places[chosen].T)] = True
    A, judge = MRI(sampled.shape, sampled & ~withheld, s), MRI(sampled.shape, withheld, s)
    problem, hidden = ig.Problem(A, kspace * ~withheld), kspace * withheld
    scale = float(A.H(problem.measurement).abs().max())

    def error(x: torch.Tensor) -> float:
        return float((judge(x) - hidden).norm() / hidden.norm())

    def wavelets(weight: float) -> torch.Tensor:
        app = L1WaveletRecon(
            problem.measurement.numpy() / scale,
            s.numpy(),
            weight,
            weights=A.mask.numpy().astype(np.float32),
            max_iter=200,
            show_pbar=False,
        )
        return torch.from_numpy(np.asarray(app.run()) * scale).to(torch.complex64)

    def best(errors: dict[float, float]) -> tuple[float, str]:
        choice, tried = min(errors, key=lambda w: errors[w]), ", ".join(f"{w:g}" for w in errors)
        return errors[choice], f"{errors[choice]:.4f} at {choice:g} (of {tried})"

    peer, chosen = best({w: error(wavelets(w)) for w in _WEIGHTS})
    what = "8-coil brain, a tenth withheld: error of the prediction,"
    report.row(f"{what} zero-filled", f"{error(ig.solvers.ZeroFilled()(problem).x):.4f}")
    report.row(f"{what} SigPy L1WaveletRecon, weights", chosen)
    tv, chosen = best(
        {w: error(PDHG(TotalVariation(w * scale), iterations=200)(problem).x) for w in _WEIGHTS}
    )
    report.row(f"{what} TV, weights", chosen, "SigPy's", tv <= peer)
    # plain iterations, whose number is the regularization
    cg, chosen = best(
        {n: error(CG(weight=0.0, iterations=n, tolerance=0)(problem).x) for n in (6, 8, 10, 12)}
    )
    report.row(f"{what} CG-SENSE, iterations", chosen, "SigPy's", cg <= peer)


def spiral(report: Report, n: int = 160) -> None:
    """The ACR phantom, in pixels of 1.5 mm, from every third of its spirals: the others are the judges."""
    if not _there(report, _SPIRAL):
        return
    with ig.io.open_scan(
        _SPIRAL,
        dataset="dat",
        axes="sample,shot,coil",
        trajectory=str(_DATA / "octopus_ktraj.npy"),
        trajectory_unit="1/m",
        field_of_view=0.0015 * n,
        matrix=(n, n),
    ) as scan:
        every = scan.problem(coils="adaptive")
    A = every.operator
    k, y = A.trajectory, every.measurement
    shots = next(axis for axis in range(k.ndim - 1) if k.shape[axis] == 54)
    third = torch.arange(54) % 3 == 0

    def part(chosen: torch.Tensor) -> ig.Problem:
        index = chosen.nonzero().flatten()
        operator = NonCartesianMRI(A.domain.shape, k.index_select(shots, index), A.coils)
        return ig.Problem(operator, y.index_select(shots + 1, index))

    problem, judge = part(third), part(~third)
    for name, solver in {
        "Gridding": Gridding(),
        "CG-SENSE": CG(weight=0.0, iterations=20, tolerance=0),
    }.items():
        result = solver(problem)
        error = float(judge.residual_norm(result.x) / judge.measurement.norm())
        report.row(
            f"spiral ACR phantom, 18 of 54 shots, {name}: error at the others",
            f"{error:.4f}, {result.stats['seconds']:.1f} s",
        )
