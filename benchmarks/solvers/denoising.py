"""Total-variation denoising: seconds to 0.1 % above the smallest objective, beside scikit-image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from skimage.data import camera
from skimage.restoration import denoise_tv_chambolle

import invgen as ig
from benchmarks.report import Report, race
from invgen.operators import Identity
from invgen.priors import TotalVariation
from invgen.solvers import ADMM, FISTA, PDHG, CondatVu

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

    # to some 1e-5 of itself: the distance falls with the square of the iterations
    least = objective(FISTA(prior, iterations=1, inner_steps=1000)(exact).x)

    def enough(u: torch.Tensor) -> bool:
        return objective(u) <= (1 + CLOSE) * least

    def fewest(run: Callable[[int], torch.Tensor]) -> int:
        """Iterations to the goal, by bisection: objectives fall."""
        low, high = 0, 16
        while not enough(run(high)):
            low, high = high, 2 * high
        while high - low > max(1, low // 20):
            middle = (low + high) // 2
            low, high = (low, middle) if enough(run(middle)) else (middle, high)
        return high

    def peer(iterations: int) -> torch.Tensor:
        return torch.from_numpy(
            denoise_tv_chambolle(y.numpy(), weight=WEIGHT, eps=0.0, max_num_iter=iterations)
        )

    def projections(iterations: int) -> torch.Tensor:
        """FISTA without the outer loop: the fast gradient projection of Beck and Teboulle (2009b)."""
        return FISTA(prior, iterations=1, inner_steps=iterations)(problem).x

    runs = {
        "scikit-image": (peer, fewest(peer)),
        "`FISTA`, of its inner loop": (projections, fewest(projections)),
    }
    for solver in (CondatVu, PDHG, ADMM):

        def ours(iterations: int, solver=solver) -> torch.Tensor:
            return solver(prior, iterations=iterations, tolerance=0.0)(problem).x

        found = solver(prior, iterations=200, tolerance=0.0)(problem, callback=lambda _, s: enough(s.x))
        runs[f"`{solver.__name__}`"] = ours, int(found.stats["iterations"])
    times = race(*(lambda run=run, count=count: run(count) for run, count in runs.values()), rounds=5)
    what = "TV denoising 512x512 to 0.1 % of the smallest objective"
    for (name, (_, count)), t in zip(runs.items(), times, strict=True):
        report.row(f"{what}: {name}", f"{1e3 * t:.0f} ms, {count} iterations")
    ratio = times[0] / min(times[1:])
    report.row(f"{what}: the fastest", f"{ratio:.1f} times faster", "5 times", ratio >= 5)
