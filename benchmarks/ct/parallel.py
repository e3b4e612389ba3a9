"""Parallel-beam CT against ASTRA, ODL and scikit-image, side by side in one process."""

from __future__ import annotations

import math
import time

import numpy as np
import torch

import invgen as ig
from benchmarks.peers import odl_tv
from benchmarks.report import Milestones, Report, relative, seconds
from invgen.bench.suites.packages import Astra
from invgen.operators import Radon
from invgen.phantoms import disc, shepp_logan
from invgen.priors import TotalVariation
from invgen.solvers import FBP, PDHG


def speed(report: Report) -> None:
    """512x512, 360 views: projector and gram against ASTRA's CPU projector."""
    A = Radon((512, 512), 360)
    x = shepp_logan(256).image((512, 512), 1.0).float()
    y = A(x)
    peer = Astra(A)
    peer.forward(x), peer.adjoint(y)
    theirs = seconds(peer.project, 5) + seconds(peer.backproject, 5)
    ours = seconds(lambda: A.H(A(x)), 21)
    gram = seconds(lambda: A.gram(x), 21)
    J = Radon((512, 512), 360, method="joseph")
    joseph = seconds(lambda: J.H(J(x)), 5)
    report.row("ASTRA `linear`, forward + back, 512x512, 360 views", f"{theirs * 1e3:.0f} ms")
    report.row(
        "`Radon`, forward + adjoint",
        f"{ours * 1e3:.1f} ms, {theirs / ours:.0f} times faster",
        "30 times",
        theirs > 30 * ours,
    )
    report.row(
        "`Radon.gram`",
        f"{gram * 1e3:.1f} ms, {theirs / gram:.0f} times faster",
        "100 times",
        theirs > 100 * gram,
    )
    report.row(
        '`Radon(method="joseph")`, forward + adjoint',
        f"{joseph * 1e3:.0f} ms, {theirs / joseph:.1f} times faster",
    )
    for name, image in (
        ("Shepp-Logan", x),
        ("white noise", torch.randn(512, 512, generator=torch.Generator().manual_seed(0))),
    ):
        error = relative(A(image), _direct_sum(A, image))
        report.row(f"`Radon` against the direct sum, float32, {name}", f"{error:.1e}", "1e-4", error < 1e-4)
        for dtype, limit in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
            z = image.to(dtype)
            error = relative(A.gram(z), A.H(A(z)))
            report.row(
                f"`gram` against `A.H A`, {dtype}, {name}", f"{error:.1e}", f"{limit:g}", error < limit
            )


def _direct_sum(A: Radon, x: torch.Tensor) -> torch.Tensor:
    """The model of `Radon` summed term by term in float64: boxes, bins that average, a periodic row."""
    g = A.geometry
    columns, rows = g.pixel_centers()
    n, ds, p = g.detector_count, g.detector_spacing, g.pixel_size
    sigma = torch.arange((n + 1) // 2, dtype=torch.float64) / (n * ds)
    first = g.detector_offset - (n - 1) / 2 * ds
    views, x = [], x.to(torch.complex128)
    for t in g.angles:
        kx, ky = sigma * t.cos(), sigma * t.sin()
        waves = [torch.exp(-2j * math.pi * k[:, None] * c) for k, c in ((ky, rows), (kx, columns))]
        spectrum = ((waves[0] @ x) * waves[1]).sum(-1)
        spectrum = spectrum * torch.sinc(kx * p) * torch.sinc(ky * p) * p**2 * torch.sinc(sigma * ds)
        views.append(torch.fft.irfft(spectrum * torch.exp(2j * math.pi * sigma * first), n=n) / ds)
    return torch.stack(views)


def accuracy(report: Report) -> None:
    """256x256, 180 views, against the analytic bin-averaged sinogram of the Shepp-Logan phantom."""
    from skimage.transform import radon

    phantom = shepp_logan(128)
    x = phantom.image((256, 256), 1.0, supersample=8)
    for method in ("fourier", "joseph"):
        A = Radon((256, 256), 180, method=method)
        truth = phantom.sinogram(A.angles, A.geometry.detector_count, 1.0)
        error = relative(A(x), truth)
        report.row(
            f'`Radon(method="{method}")` against the analytic sinogram',
            f"{error:.4f}",
            "0.008",
            error <= 0.008,
        )
    for kind in ("linear", "line", "strip"):
        report.row(f"ASTRA `{kind}`, the same", f"{relative(Astra(A, kind).forward(x.float()), truth):.4f}")
    theirs = torch.from_numpy(radon(x.numpy(), np.degrees(A.angles.numpy()), circle=True).T)
    report.row("scikit-image `radon`, the same", f"{relative(theirs, _middle(truth, theirs.shape[1])):.4f}")
    for method in ("fourier", "joseph"):
        worst = 0.0
        for n in (*range(63, 67), *range(127, 131)):
            A = Radon((n, n), 180, method=method)
            y = A(disc(0.35 * n).image((n, n), 1.0))
            bins = torch.arange(y.shape[1], dtype=y.dtype) - (y.shape[1] - 1) / 2
            worst = max(worst, float(((y * bins).sum(1) / y.sum(1)).abs().max()))
        report.row(
            f'centroid of a centred disc, `"{method}"`, n = 63..66, 127..130',
            f"{worst:.1e} pixels",
            "1e-3",
            worst < 1e-3,
        )


def _middle(y: torch.Tensor, count: int) -> torch.Tensor:
    """The middle bins of a sinogram, between bins where the numbers are of different parity."""
    start = (y.shape[1] - count) / 2
    low = y[:, math.floor(start) : math.floor(start) + count]
    return (low + y[:, math.ceil(start) : math.ceil(start) + count]) / 2


def fbp(report: Report) -> None:
    """A disc from its analytic sinogram."""
    for window in ("hann", "ram-lak"):
        A = Radon((256, 256), 402)  # pi / 2 views for each pixel across, as sampling theory asks
        y = disc(77.0).sinogram(A.angles, A.geometry.detector_count, 1.0).float()
        image = FBP(window=window)(ig.Problem(A, y)).x
        x, y_ = A.geometry.pixel_centers()
        r = torch.hypot(x, y_[:, None])
        inside, outside = float(image[r < 75].mean()), float(image[r > 79].square().mean().sqrt())
        report.row(
            f"FBP of a disc, {window}: mean inside", f"{inside:.4f}", "1 +- 0.005", abs(inside - 1) <= 0.005
        )
        report.row(f"FBP of a disc, {window}: RMS outside", f"{outside:.4f}", "0.01", outside < 0.01)


def tv(report: Report) -> None:
    """512x512, 60 views: seconds to an image within 1 % of each program's own optimum."""
    A = Radon((512, 512), 60)
    phantom = shepp_logan(256)
    clean = phantom.sinogram(A.angles, A.geometry.detector_count, 1.0).float()
    noise = ig.noise.Gaussian(0.01 * float(clean.max()))
    y = noise.sample(clean, seed=0)
    problem = ig.Problem(A, y)
    weight = float(noise.std.value) ** 2 * TotalVariation().resolve(ig.Problem(A, y, noise)).weight
    prior = TotalVariation(weight)
    exact = PDHG(prior, iterations=1000, tolerance=1e-6)

    optimum = exact(problem).x
    # a new operator, so that its plans, gram and spectrum are paid for
    ours, began = Milestones(optimum), time.perf_counter()
    PDHG(prior, iterations=3000, tolerance=0)(
        ig.Problem(Radon((512, 512), 60), y),
        callback=lambda _, state: ours(time.perf_counter() - began, state.x),
    )
    peer = ig.Problem(Astra(A).operator(), y)
    goal = exact(peer).x
    theirs = Milestones(goal, patience=300)
    odl_tv(A, y, weight, 20000, theirs)

    lost = relative(optimum, phantom.image((512, 512), 1.0))
    report.row("TV, 512x512, 60 views", f"weight {weight:.3g}, {lost:.3f} from the truth at the optimum")
    for distance in Milestones.DISTANCES:
        mine, other = ours.seconds[distance], theirs.seconds.get(distance, theirs.spent)
        more = "" if distance in theirs.seconds else f"not within (it is at {theirs.distance:.1%} after) "
        report.row(
            f"TV, to {distance:.0%} of its own optimum: invgen PDHG, set-up included; ODL PDHG on ASTRA CPU",
            f"{mine:.2f} s; {more}{other:.1f} s",
            "10 times faster",
            other > 10 * mine,
        )
