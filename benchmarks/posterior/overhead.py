"""What samplers take beside their network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import invgen as ig
from benchmarks.priors.sources import prior
from benchmarks.report import Report
from invgen.operators import MRI, Mask, Radon, masks, sampling
from invgen.solvers import DAPS, DDNM, DDRM, DDS, DPS, DiffPIR, PiGDM

SIZE = 256
#: Of a ray without an object, where weights are of counts.
PHOTONS = 100
#: From half of white on, as in the other sections: from higher ones on the first data steps take longer.
SETTINGS: dict[str, Any] = {"iterations": 30, "scale": 1.0, "sigma_range": (0.005, 0.5)}
#: Own time over that of the network at most: a gram takes 2 to 6 % of an evaluation in MRI.
WANTED = {"Mask": 0.05, "MRI, 8 coils": 0.12, "Radon, 60 views": 0.08, "weighted Radon": 0.08}


class Timed:
    """A denoiser whose time is added up, that of its gradient too."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.seconds = inner, 0.0
        self.image_format = replace(inner.image_format, std=inner.image_format.std or 0.5)

    def denoise(self, x: Tensor, sigma: Any) -> Tensor:
        """`inner.denoise`, timed; its result is a leaf of which the gradient is timed as well."""
        began = time.perf_counter()
        with torch.set_grad_enabled(x.requires_grad):
            found = (
                _Gradient.apply(x, self.inner, sigma, self)
                if x.requires_grad
                else self.inner.denoise(x, sigma)
            )
        self.seconds += time.perf_counter() - began
        return found


class _Gradient(torch.autograd.Function):
    """The denoiser with its own graph inside, whose backward is timed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inner: Any, sigma: Any, timed: Timed) -> Tensor:
        with torch.enable_grad():
            ctx.at = x.detach().requires_grad_()
            ctx.found, ctx.timed = inner.denoise(ctx.at, sigma), timed
        return ctx.found.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        began = time.perf_counter()
        result = torch.autograd.grad(ctx.found, ctx.at, gradients[0], retain_graph=True)[0]
        ctx.timed.seconds += time.perf_counter() - began
        return result, None, None, None


def problems() -> dict[str, ig.Problem]:
    """The same image seen by three operators, and by one of them through counts of photons."""
    shape, generator = (SIZE, SIZE), torch.Generator().manual_seed(0)
    x = ig.phantoms.random(1_000_000, half_width=SIZE / 2).image(shape, 1.0).float()
    coils = torch.randn(8, 4, 4, generator=generator, dtype=torch.complex64)
    coils = torch.complex(
        *(
            torch.nn.functional.interpolate(part[None], shape, mode="bilinear")[0]
            for part in (coils.real, coils.imag)
        )
    )
    found = {}
    for name, A, image, std in (
        ("Mask", Mask(masks.random_pixels(shape, 0.5, seed=0)), x, 0.02),
        ("MRI, 8 coils", MRI(shape, sampling.random_lines(shape, 4, seed=0), coils), x + 0j, 0.02),
        ("Radon, 60 views", Radon(shape, angles=60), x, 1.0),
    ):
        noise = ig.noise.Gaussian(std)
        found[name] = ig.Problem(A, noise.sample(A(image), seed=0), noise)
    # five attenuation lengths across, as in the suites of CT
    A, counting = Radon(shape, angles=60, pixel_size=5 / SIZE), ig.noise.Transmission(PHOTONS)
    found["weighted Radon"] = ig.Problem(A, *counting.nearest_linear(counting.sample(A(x), seed=0)))
    return found


def overhead(report: Report) -> None:
    """Own time over that of the network and its gradients, 256x256, thirty levels after one call."""
    gray, brain = prior(report, "denoiser-gray"), prior(report, "brain-mr")
    if gray is None or brain is None:
        return
    solvers: tuple[Callable[..., Any], ...] = (DDS, DiffPIR, DDNM, DDRM, DAPS, PiGDM, DPS)
    for make in solvers:
        shares: dict[str, float] = {}
        for name, problem in problems().items():
            model = Timed(brain if problem.zeros().is_complex() else gray)
            try:
                solver = make(model, **SETTINGS)
                # what is computed once is kept from here on; and the image is no better than a rough one
                x0 = replace(solver, iterations=2)(problem, seed=0).x
            except ig.errors.CapabilityError:
                continue
            model.seconds, began = 0.0, time.perf_counter()
            solver(problem, x0=x0, seed=0)
            own = time.perf_counter() - began - model.seconds
            shares[name] = own / model.seconds
        reached, wanted = (
            ", ".join(f"{name} {100 * of[name]:.1f} %" for name in shares) for of in (shares, WANTED)
        )
        within = all(share <= WANTED[name] for name, share in shares.items())
        report.row(f"{make.__name__}: own time over the network's", reached, wanted, within)
