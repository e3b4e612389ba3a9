"""Rules of priors of variational solvers: value, weight, terms and proximal map."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from invgen.noise import Gaussian
from invgen.operators import Identity, Space
from invgen.priors.base import Composite, has_closed_form
from invgen.problem import Problem
from invgen.testing.report import Checks, distance, same_bits

__all__ = ["VARIATIONAL", "check_variational", "resolved"]

#: Names of the rules.
VARIATIONAL = ("resolve", "value", "terms", "prox")


def resolved(prior: Any, space: Space, seed: int) -> Any:
    """The prior with a number for its weight, as the problem of one image gives it."""
    x = space.random((3,), seed=seed, dtype=torch.float64)[0]
    return prior.resolve(_denoising(x, space))


def check_variational(prior: Any, one: Any, space: Space, seed: int, checks: Checks) -> None:
    """Run all rules of a prior, and of what `resolved` made of it."""
    x = space.random((3,), seed=seed, dtype=torch.float64)
    problem = _denoising(x, space)
    checks.run("resolve", lambda: _check_resolve(prior.resolve(problem), problem, checks))
    checks.run("value", lambda: _check_value(one, x, checks))
    if isinstance(one, Composite):
        checks.run("terms", lambda: _check_terms(one, space, seed, checks))
    if has_closed_form(one, space):
        checks.run("prox", lambda: _check_minimum(one.value, one.prox, x[0], seed, "prox", checks))


def _denoising(x: torch.Tensor, space: Space) -> Problem:
    return Problem(Identity(space.shape, space.field), x, Gaussian(0.3))


def _allowed(x: torch.Tensor) -> torch.Tensor:
    """Nonnegative images, if real: they satisfy a constraint, if there is one."""
    return x if x.is_complex() else x.abs()


def _check_resolve(resolved: Any, problem: Problem, checks: Checks) -> None:
    weights = getattr(resolved, "weight", None)
    for weight in weights if isinstance(weights, tuple) else (weights,):
        number = weight is None or (not isinstance(weight, str) and bool((torch.as_tensor(weight) > 0).all()))
        checks.true("resolve: number", number, f"resolve left the weight {weight!r}")
    x = _allowed(problem.measurement)
    values = [prior.value(x) for prior in (resolved, resolved.resolve(problem))]
    checks.true("resolve: once", same_bits(*values), "resolving twice changes the prior")


def _check_value(prior: Any, x: torch.Tensor, checks: Checks) -> None:
    x = _allowed(x)
    value = prior.value(x)
    checks.true(
        "value: batch",
        value.shape[:1] == x.shape[:1],
        f"value of a batch of 3 has the shape {tuple(value.shape)}",
    )
    real = not value.is_complex() and bool(torch.isfinite(value).all())
    checks.true("value: number", real, "value is not a finite real number")
    one_by_one = torch.stack([prior.value(one) for one in x])
    checks.at_most(
        "value: batch", distance(value, one_by_one), 1e-12, "value of a batch is not that of its elements"
    )
    single = x.to(torch.complex64 if x.is_complex() else torch.float32)
    kept = prior.value(single).dtype == torch.float32
    checks.true("value: precision", kept, "value does not keep float32")


def _check_terms(prior: Any, space: Space, seed: int, checks: Checks) -> None:
    x = space.random((2,), seed=seed + 1, dtype=torch.float64)
    x = _allowed(x)
    terms = prior.terms(space)
    total = sum(g.value(K(x), K.range.axes) for K, g in terms)
    own = prior.value(x).reshape(2, -1).sum(1)
    checks.at_most(
        "terms: value", distance(total, own), 1e-12, "value(x) is not the sum of g(K x) over the terms"
    )
    for K, g in terms:
        checks.true("terms: domain", K.domain == space, f"{K} does not take images of {space}")
        name = f"terms: {type(g).__name__}"
        for step in (0.3, 2.0):
            z = K.range.random((2,), seed=seed + 2, dtype=torch.float64)
            moreau = z - step * g.prox(z / step, 1 / step)
            apart = distance(g.conjugate_prox(z, step), moreau)
            checks.at_most(
                f"{name} conjugate", apart, 1e-12, "conjugate_prox does not satisfy Moreau's identity"
            )

        def value(z: torch.Tensor, g: Any = g, axes: tuple[int, ...] = K.range.axes) -> torch.Tensor:
            return g.value(z, axes)

        _check_minimum(value, g.prox, K.range.random(seed=seed + 3, dtype=torch.float64), seed, name, checks)


def _check_minimum(
    value: Callable[[torch.Tensor], torch.Tensor],
    prox: Callable[[torch.Tensor, float], torch.Tensor],
    z: torch.Tensor,
    seed: int,
    name: str,
    checks: Checks,
) -> None:
    """Search for a lower objective than that of the proximal point, along random lines and single pixels."""
    generator = torch.Generator().manual_seed(seed)
    for step in (0.2, 1.5):
        p = prox(z, step)

        def objective(u: torch.Tensor, step: float = step) -> torch.Tensor:
            size = (u - z).abs().square().flatten(-z.ndim).sum(-1)
            return value(u).reshape(len(u), -1).sum(1) + size / (2 * step)

        best = objective(p[None])
        lines = torch.randn(40, *z.shape, generator=generator, dtype=z.dtype)
        pixels = torch.zeros(40, z.numel(), dtype=z.dtype)
        pixels[torch.arange(40), torch.randint(z.numel(), (40,), generator=generator)] = 1
        directions = torch.cat(
            [lines / math.sqrt(z.numel()), pixels.reshape(-1, *z.shape), -pixels.reshape(-1, *z.shape)]
        )
        for length in (1e-4, 1e-2, 0.1, 1.0):
            gain = (best - objective(p + length * directions)).max() / best.clamp(min=1e-12)
            checks.at_most(
                f"{name} minimum", gain.clamp(min=0), 1e-10, "something near prox(z) has a lower objective"
            )
