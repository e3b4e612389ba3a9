"""Total-variation denoising: seconds to 0.1 % above the smallest objective, beside scikit-image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from skimage.data import camera
from skimage.restoration import denoise_tv_chambolle

import invgen as ig
from benchmarks.report import Report, seconds
from invgen.operators import Identity
from invgen.priors import TotalVariation
from invgen.solvers import ADMM, PDHG, CondatVu

WEIGHT = 0.1
CLOSE = 1e-3


def total_variation(report: Report) -> None:
    """The cameraman, 512x512, values from 0 to 1, noise of 0.1, float32."""
    x = torch.from_numpy(camera()) / 255
    y = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    problem = ig.Problem(Identity(tuple(x.shape)), y)
    exact = ig.Problem(problem.operator, y.double())
    prior = TotalVariation(WEIGHT)

    def objective(u: torch.Tensor) -> float:
        return float(exact.negative_log_likelihood(u.double()) + prior.value(u.double()))

    least = objective(CondatVu(prior, iterations=1000, tolerance=1e-6)(exact).x)

    def fewest(run: Callable[[int], torch.Tensor]) -> int:
        """Iterations to the goal, by bisection: objectives fall."""
        low, high = 0, 1
        while objective(run(high)) > (1 + CLOSE) * least:
            low, high = high, 2 * high
        while high - low > max(1, low // 20):
            middle = (low + high) // 2
            low, high = (low, middle) if objective(run(middle)) <= (1 + CLOSE) * least else (middle, high)
        return high

    def peer(iterations: int) -> torch.Tensor:
        return torch.from_numpy(
            denoise_tv_chambolle(y.numpy(), weight=WEIGHT, eps=0.0, max_num_iter=iterations)
        )

    count = fewest(peer)
    reference, best = seconds(lambda: peer(count), 3), math.inf
    what = "TV denoising 512x512 to 0.1 % of the smallest objective"
    report.row(f"{what}: scikit-image", f"{reference:.2f} s, {count} iterations")
    for solver in (ADMM, CondatVu, PDHG):

        def ours(iterations: int) -> torch.Tensor:
            return solver(prior, iterations=iterations, tolerance=0.0)(problem).x

        count = fewest(ours)
        spent = seconds(lambda: ours(count), 3)
        best = min(best, spent)
        report.row(f"{what}: `{solver.__name__}`", f"{spent:.2f} s, {count} iterations")
    report.row(
        f"{what}: the fastest", f"{reference / best:.1f} times faster", "5 times", reference >= 5 * best
    )
