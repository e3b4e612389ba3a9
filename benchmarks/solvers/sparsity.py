"""The lasso beside scikit-learn's coordinate descent."""

from __future__ import annotations

import torch
from sklearn import linear_model

import invgen as ig
from benchmarks.report import Report, race, relative
from invgen.operators import MatrixOperator
from invgen.solvers import Lasso

CLOSE = 1e-6


def lasso(report: Report, measurements: int = 400, coefficients: int = 1000) -> None:
    """Normal matrix, 40 coefficients, noise of 0.1, float64: seconds to coefficients within 1e-6."""
    generator = torch.Generator().manual_seed(0)
    M = torch.randn(measurements, coefficients, generator=generator, dtype=torch.float64)
    x = torch.zeros(coefficients, dtype=torch.float64)
    x[torch.randperm(coefficients, generator=generator)[:40]] = 1.0
    y = M @ x + 0.1 * torch.randn(measurements, generator=generator, dtype=torch.float64)
    weight, problem = 0.05 * float((M.T @ y).abs().max()), ig.Problem(MatrixOperator(M), y)

    def peer(tolerance: float) -> torch.Tensor:
        model = linear_model.Lasso(
            weight / measurements, fit_intercept=False, tol=tolerance, max_iter=100_000
        )
        return torch.from_numpy(model.fit(M.numpy(), y.numpy()).coef_)

    goal = peer(1e-15)
    enough = next(t for t in (10.0**-k for k in range(3, 16)) if relative(peer(t), goal) <= CLOSE)
    found = Lasso(weight=weight, tolerance=0.0)(problem, callback=lambda _, s: relative(s.x, goal) <= CLOSE)
    count = int(found.stats["iterations"])

    def ours() -> torch.Tensor:
        # its own operator: the norm is part of the set-up
        return Lasso(weight=weight, iterations=count, tolerance=0.0)(ig.Problem(MatrixOperator(M), y)).x

    theirs, spent = race(lambda: peer(enough), ours, rounds=5)
    what = f"Lasso, {measurements} by {coefficients}, float64, to coefficients within 1e-6"
    report.row(f"{what}: scikit-learn", f"{1e3 * theirs:.1f} ms")
    distance = relative(ours(), goal)
    report.row(
        f"{what}: `Lasso`, {count} iterations", f"{1e3 * spent:.1f} ms", f"{CLOSE:.0e}", distance <= CLOSE
    )
