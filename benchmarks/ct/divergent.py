"""Fan and cone beams against ASTRA, ODL, plain PyTorch and exact projections."""

from __future__ import annotations

import subprocess
import sys
import time

import torch

import invgen as ig
from benchmarks.report import Milestones, Report, relative, seconds
from invgen.bench.suites.packages import Astra
from invgen.operators import ConeBeam, FanBeam
from invgen.operators.tomography import cone_torch
from invgen.operators.tomography.rays import DivergentRays
from invgen.phantoms import ball, shepp_logan
from invgen.priors import TotalVariation
from invgen.solvers import CG, FDK, FISTA, OSSART, PDHG, SIRT, Solver


def fan(report: Report) -> None:
    """512x512, 360 views, 736 bins: speed, memory and accuracy."""
    A = FanBeam((512, 512), 360, 1024.0, 1536.0, detector_count=736, detector_spacing=1.5)
    phantom = shepp_logan(256)
    x = phantom.image((512, 512), 1.0).float()
    y = A(x)
    peer = Astra(A, "line_fanflat")
    peer.forward(x), peer.adjoint(y)
    theirs = seconds(peer.project, 5) + seconds(peer.backproject, 5)
    forward, adjoint = seconds(lambda: A(x), 21), seconds(lambda: A.H(y), 21)
    ours = forward + adjoint
    report.row("ASTRA `line_fanflat`, forward + back, 512x512, 360 views, 736 bins", f"{theirs * 1e3:.0f} ms")
    report.row(
        "`FanBeam`, forward + adjoint",
        f"{forward * 1e3:.0f} + {adjoint * 1e3:.0f} ms, {theirs / ours:.1f} times faster",
        "5 times, 7 the aim",
        theirs > 5 * ours,
    )
    four = x.expand(4, 512, 512).contiguous()
    batch = seconds(lambda: A.H(A(four)), 5) / 4
    report.row(
        "`FanBeam`, the same for each of a batch of 4", f"{batch * 1e3:.0f} ms, {theirs / batch:.1f} times"
    )
    more = _memory()
    report.row("peak memory besides inputs and outputs", f"{more:.0f} MB", "50 MB", more <= 50)
    rows = torch.linspace(-1, 1, 512)
    smooth = torch.exp(-8 * ((rows - 0.2) ** 2 + (rows[:, None] + 0.1) ** 2))
    error = relative(A(smooth), peer.forward(smooth))
    report.row(
        "forward against ASTRA `line_fanflat`, smooth phantom", f"{error:.4f}", "0.005", error <= 0.005
    )
    g = A.geometry
    exact = phantom.fan_sinogram(
        A.angles, g.source_origin, g.source_detector, g.detector_count, g.detector_spacing
    )
    error = relative(y, exact)
    report.row("forward against the analytic Shepp-Logan fan sinogram", f"{error:.4f}", "0.01", error <= 0.01)
    report.row("ASTRA `line_fanflat`, the same", f"{relative(peer.forward(x), exact):.4f}")


_MEASURE = """
import re, torch
from pathlib import Path
from invgen.operators import FanBeam
small = FanBeam((32, 32), 20, 64.0, 96.0)
small.H(small(torch.zeros(32, 32)))
A = FanBeam((512, 512), 360, 1024.0, 1536.0, detector_count=736, detector_spacing=1.5)
x = torch.ones(512, 512)
status = lambda name: int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = status("VmRSS")
y = A(x)
z = A.H(y)
print((status("VmHWM") - before) * 1024 - 4 * (y.numel() + z.numel()))
"""


def _memory() -> float:
    """Growth of a fresh process over one forward and one adjoint, outputs not counted, in MB."""
    done = subprocess.run([sys.executable, "-c", _MEASURE], check=True, capture_output=True)
    return int(done.stdout) / 1e6


def convergence(report: Report) -> None:
    """256x256, 60 views of a fan, 1 % noise: iterations of each solver."""
    A = FanBeam((256, 256), 60, 512.0, 768.0)
    g = A.geometry
    clean = shepp_logan(128).fan_sinogram(
        A.angles, g.source_origin, g.source_detector, g.detector_count, g.detector_spacing
    )
    noise = ig.noise.Gaussian(0.01 * float(clean.max()))
    problem = ig.Problem(A, noise.sample(clean.float(), seed=0), noise)
    for constraint in (False, True):
        prior = TotalVariation(nonnegative=constraint).resolve(problem)
        optimum = FISTA(prior, iterations=600, tolerance=0)(problem).x
        for solver in (FISTA(prior, tolerance=0), PDHG(prior, iterations=1000, tolerance=0)):
            needed = _iterations(solver, problem, optimum)
            report.row(
                f"fan, 60 views: {solver.name} to 1 % of the TV optimum{', non-negative' * constraint}",
                f"{needed} iterations",
                "tens",
                needed < 100,
            )
    weight = 1e-4 * float(problem.lipschitz())
    optimum = CG(weight=weight, iterations=1000, tolerance=1e-7)(problem).x
    needed = _iterations(CG(weight=weight, tolerance=0), problem, optimum)
    report.row(
        "fan, 60 views: CG with a weight, to 1 % of its optimum", f"{needed} iterations", "tens", needed < 100
    )
    for solver in (CG(), SIRT(), OSSART()):
        stats = solver(problem).stats
        report.row(
            f"fan, 60 views: {solver.name} down to the noise",
            f"{stats['iterations']} iterations, {stats['seconds']:.1f} s",
            "tens",
            stats["converged"] and stats["iterations"] < 100,
        )


def _iterations(solver: Solver, problem: ig.Problem, optimum: torch.Tensor) -> int:
    reached = Milestones(optimum)
    stats = solver(problem, callback=lambda k, state: reached(k, state.x)).stats
    return stats["iterations"] if reached.distance < 0.01 else 10**6


def cone(report: Report) -> None:
    """128^3, 120 views: a ball by FDK, and the projector against plain PyTorch on the same threads."""
    A = ConeBeam((128, 128, 128), 120, 256.0, 384.0)
    g = A.geometry
    y = ball(38.0).cone_sinogram(
        A.angles, 256.0, 384.0, A.range.shape[1:], (g.row_spacing, g.fan.detector_spacing)
    )
    problem = ig.Problem(A, y.float())
    volume = FDK()(problem).x
    x, rows = g.fan.pixel_centers()
    inside = float(volume[63:65, torch.hypot(x, rows[:, None]) < 35].mean())
    report.row(
        "FDK of a ball, 128^3, 120 views: mean inside, central slices",
        f"{inside:.4f}",
        "1 +- 0.02",
        abs(inside - 1) <= 0.02,
    )
    report.row("FDK, the same", f"{seconds(lambda: next(FDK().iterate(problem, volume)), 3):.2f} s")
    # plain PyTorch takes a second and more for each view
    B = A.subset(slice(None, None, 12))
    rays, image, data = DivergentRays(B.geometry), volume[None], problem.measurement[None, ::12]
    ours = seconds(lambda: B.H(B(volume)), 3)
    began = time.perf_counter()
    sinogram, back = cone_torch.forward(image, rays)[0], cone_torch.adjoint(data, rays)[0]
    theirs = time.perf_counter() - began
    apart = max(relative(B(volume), sinogram), relative(B.H(data[0]), back))
    whole = seconds(lambda: A.H(A(volume)), 3)
    report.row("`ConeBeam`, forward + adjoint, 120 views", f"{whole:.2f} s")
    report.row(
        "`ConeBeam`, forward + adjoint of 10 of them, against plain PyTorch",
        f"{ours:.2f} s and {theirs:.1f} s, {theirs / ours:.0f} times faster; apart {apart:.0e}",
        "20 times",
        theirs > 20 * ours,
    )


def odl(report: Report) -> None:
    """ODL's conjugate gradients on our operators."""
    for name, A in (
        ("FanBeam", FanBeam((128, 128), 90, 256.0, 384.0)),
        ("ConeBeam", ConeBeam((16, 48, 48), 40, 96.0, 144.0)),
    ):
        y = A(torch.rand(A.domain.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
        import odl.solvers

        theirs = ig.operators.to_odl(A, "float64")
        x = theirs.domain.zero()
        odl.solvers.conjugate_gradient_normal(theirs, x, theirs.range.element(y.numpy()), niter=10)
        ours = CG(weight=0, iterations=10, tolerance=0)(ig.Problem(A, y)).x
        error = relative(torch.from_numpy(x.asarray()), ours)
        report.row(
            f"ODL's CGLS on `to_odl({name})` against `CG`, 10 iterations",
            f"{error:.0e}",
            "1e-4",
            error <= 1e-4,
        )
