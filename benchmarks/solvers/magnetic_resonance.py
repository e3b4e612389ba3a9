"""Wavelet-regularized parallel MRI: seconds to 1 % of the minimiser, beside SigPy."""

from __future__ import annotations

import numpy as np
import pywt
import sigpy.mri
import torch

import invgen as ig
from benchmarks.report import Report, race, relative
from invgen.operators import MRI, Wavelet, sampling
from invgen.priors import Wavelet as WaveletPrior
from invgen.solvers import FISTA

CLOSE = 1e-2
_N, _COILS, _WEIGHT, _NAME = 320, 8, 2e-3, "db4"


def wavelet_mri(report: Report) -> None:
    """The Shepp-Logan phantom, 8 coils, 320x320, Poisson disc of R = 4, noise of 0.01, complex64.

    SigPy's transform pads with zeros where ours is periodic, and its minimiser is another one: each is
    measured by its own, after many iterations. Set-up counts: with it SigPy finds a step size.
    """
    shape = (_N, _N)
    image = ig.phantoms.shepp_logan(half_width=_N / 2).image(shape, pixel_size=1.0)
    coils = torch.from_numpy(sigpy.mri.birdcage_maps((_COILS, *shape)).astype(np.complex64))
    mask = sampling.poisson_disc(shape, 4, (24, 24), seed=0)
    A = MRI(shape, mask, coils)
    y = ig.noise.Gaussian(0.01).sample(A(image.to(torch.complex64)), seed=0) * mask
    prior = WaveletPrior(_WEIGHT, _NAME, approximation=True)
    exact = ig.Problem(A, y.to(torch.complex128))
    goal = FISTA(prior, iterations=300, tolerance=1e-5, restart=True)(exact).x

    def ours(iterations: int) -> torch.Tensor:
        problem = ig.Problem(MRI(shape, mask, coils), y)
        return FISTA(prior, iterations=iterations, tolerance=0.0)(problem).x

    def sigpys(iterations: int) -> sigpy.mri.app.L1WaveletRecon:
        weights = mask.numpy().astype(np.float32)
        return sigpy.mri.app.L1WaveletRecon(
            y.numpy(), coils.numpy(), _WEIGHT, weights, wave_name=_NAME, max_iter=iterations, show_pbar=False
        )

    peers_goal = torch.from_numpy(sigpys(200).run())
    app, peers_count = sigpys(200), 0
    while relative(torch.from_numpy(app.x), peers_goal) > CLOSE:
        app.alg.update()
        peers_count += 1
    found = FISTA(prior, iterations=200, tolerance=0.0)(
        ig.Problem(A, y), callback=lambda _, state: relative(state.x, goal) <= CLOSE
    )
    count = int(found.stats["iterations"])
    peers, spent = race(lambda: sigpys(peers_count).run(), lambda: ours(count), rounds=5)
    what = f"Wavelet-regularized MRI {_N}x{_N}, {_COILS} coils, R = 4, {_NAME}, to 1 % of the minimiser"
    apart = relative(peers_goal.to(goal), goal)
    report.row(
        f"{what}: SigPy, minimisers apart {apart:.0e}", f"{1e3 * peers:.0f} ms, {peers_count} iterations"
    )
    report.row(
        f"{what}: `FISTA`",
        f"{1e3 * spent:.0f} ms, {count} iterations, {peers / spent:.1f} times faster",
        "3 times",
        peers >= 3 * spent,
    )


def wavelets(report: Report) -> None:
    """The transform and its adjoint beside PyWavelets, and SigPy's use of it."""
    for shape, field in (((320, 320), "complex"), ((512, 512), "real")):
        W = Wavelet(shape, _NAME, field=field)
        x = W.domain.random(seed=0, dtype=torch.float32)
        y = W(x)
        coefficients = pywt.wavedec2(x.numpy(), _NAME, "periodization", W.levels)
        times = race(
            lambda W=W, x=x: W(x),
            lambda W=W, x=x: pywt.wavedec2(x.numpy(), _NAME, "periodization", W.levels),
            lambda W=W, y=y: W.H(y),
            lambda c=coefficients: pywt.waverec2(c, _NAME, "periodization"),
        )
        forward, peers_forward, back, peers_back = (1e3 * t for t in times)
        report.row(
            f"`Wavelet` {_NAME}, {shape[0]}x{shape[1]} {field}, float32: there and back, beside PyWavelets",
            f"{forward:.2f} and {back:.2f} ms, {peers_forward:.2f} and {peers_back:.2f} ms",
        )
