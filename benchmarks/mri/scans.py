"""Measured scans and images, where the folder of sample data is there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

import invgen as ig
from benchmarks.report import Report, race, relative
from invgen.bench.suites.data import folder
from invgen.operators import MRI, Fourier, NonCartesianMRI, coils
from invgen.priors import TotalVariation
from invgen.solvers import CG, PDHG, POCS, Gridding, Homodyne, ZeroFilled

_DATA = folder() / "mri"
_BRAIN = _DATA / "sigpy_cartesian_ksp.npy"
_IMAGE = _DATA / "pysap_example_mri_ref_image_2d.npy"
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


_COILS = 8
#: Noise of the samples, relative to the largest value of the image; part of k-space; every so many lines.
_PARTIAL = ((0.001, 5, 1), (0.001, 6, 1), (0.005, 5, 1), (0.005, 6, 1), (0.005, 5, 2), (0.005, 6, 2))


def partial(report: Report) -> None:
    """A brain with a smooth phase, by eight coils, from 5/8 and 6/8 of k-space."""
    if not _there(report, _IMAGE):
        return
    image = torch.from_numpy(np.load(_IMAGE))
    image = torch.nn.functional.avg_pool2d(image[None, None] / image.max(), 2)[0, 0]
    n = len(image)
    y, x = torch.meshgrid(*2 * [(torch.arange(n, dtype=torch.float64) - n // 2) / n], indexing="ij")
    phase = 1.5 * torch.cos(3 * y + 1) + torch.sin(5 * x) * torch.cos(4 * y)
    truth = (image * torch.exp(1j * phase)).to(torch.complex64)
    angles = 2 * math.pi * torch.arange(_COILS).reshape(-1, 1, 1) / _COILS
    distance = (y - 0.65 * angles.sin()).square() + (x - 0.65 * angles.cos()).square()
    s = torch.exp(-2.5 * distance + 1j * (angles + 2 * x))
    s = (s / s.abs().square().sum(0).sqrt()).to(torch.complex64)
    k = torch.arange(n)[:, None] - n // 2
    for level, eighths, every in _PARTIAL:
        mask = (k >= -(eighths - 4) * n // 8) & ((k % every == 0) | (k.abs() <= 12))
        A, noise = MRI((n, n), mask, s), ig.noise.Gaussian(level)
        problem = ig.Problem(A, noise.sample(A(truth), seed=0), noise)
        solvers = {"zero-filled": ZeroFilled(), "CG-SENSE": CG(), "TV": PDHG(TotalVariation())}
        if every == 1:
            solvers |= {"homodyne, ramp": Homodyne(), "homodyne, step": Homodyne(weighting="step")}
        for name, solver in (solvers | {"POCS": POCS()}).items():
            result = solver(problem)
            whole, magnitude = relative(result.x, truth), relative(result.x.abs(), truth.abs())
            lines = "" if every == 1 else f", every {every}nd line and 25 in the middle"
            report.row(
                f"brain, {eighths}/8 of k-space{lines}, noise {level}, {name}: error, of the magnitude",
                f"{whole:.4f}, {magnitude:.4f}, {result.stats['seconds']:.1f} s",
            )
