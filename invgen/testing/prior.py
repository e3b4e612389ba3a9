"""Checks of a prior of variational solvers against the rules of its protocols."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import torch

from invgen.core.errors import CapabilityError
from invgen.noise import Gaussian
from invgen.operators import Identity, Space
from invgen.priors.base import Composite, Prior, has_closed_form
from invgen.priors.image_format import format_of
from invgen.problem import Problem
from invgen.testing.report import Checks, Report, distance, pickled, refuses_change, same_bits

__all__ = ["check_prior"]

_RULES = ("format", "immutability", "pickling", "resolve", "value", "terms", "prox")


def check_prior(
    prior: Prior,
    *,
    image_shape: tuple[int, ...] = (6, 7),
    field: str = "real",
    seed: int = 0,
    skip: Collection[str] = (),
) -> Report:
    """Check a prior against the rules that solvers rely on.

    Its image format, where it has one, is that of the images; the value of a batch is that of its elements;
    `resolve` gives a prior with a number for its weight, which a second `resolve` keeps; a closed-form
    proximal map is the minimizer of its objective; the terms of a composite prior add up to its value, and
    their conjugate proximal maps satisfy Moreau's identity.

    Parameters
    ----------
    prior : Prior
    image_shape : tuple of int
        Shape of the random images, small.
    field : {"real", "complex"}
    seed : int
        Of the images.
    skip : collection of str
        Rules to leave out, by the names in the report.

    Returns
    -------
    Report

    Raises
    ------
    CheckError
        Names the rule that is violated and the measured figure.
    """
    if not isinstance(prior, Prior):
        raise CapabilityError(
            f"check_prior expects an object with value and resolve; got {type(prior).__name__}."
        )
    space = Space(image_shape, field)
    checks = Checks(prior, skip, _RULES)
    x = space.random((3,), seed=seed, dtype=torch.float64)
    problem = Problem(Identity(image_shape, field), x, Gaussian(0.3))
    resolved = prior.resolve(problem)
    checks.run("format", lambda: format_of(prior).check(x, "image_format"))
    checks.run("resolve", lambda: _check_resolve(resolved, problem, checks))
    # a weight for each element of a batch does not fit images of other batches: continue with one element
    one = prior.resolve(Problem(problem.operator, x[0], problem.noise))
    checks.run("immutability", lambda: _check_immutability(one, x, checks))
    checks.run("pickling", lambda: _check_pickling(one, x, checks))
    checks.run("value", lambda: _check_value(one, x, checks))
    if isinstance(one, Composite):
        checks.run("terms", lambda: _check_terms(one, space, seed, checks))
    if has_closed_form(one, space):
        checks.run("prox", lambda: _check_minimum(one.value, one.prox, x[0], seed, "prox", checks))
    return checks.report()


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


def _check_immutability(prior: Any, x: torch.Tensor, checks: Checks) -> None:
    checks.true("immutability: attributes", refuses_change(prior), "attributes can be set after construction")
    kept = x.clone()
    first, second = prior.value(x), prior.value(x)
    checks.true("immutability: repeat", same_bits(first, second), "the value changed from call to call")
    checks.true("immutability: input", same_bits(x, kept), "value(x) changed x")


def _check_pickling(prior: Any, x: torch.Tensor, checks: Checks) -> None:
    same = same_bits(pickled(prior).value(x), prior.value(x))
    checks.true("pickling", same, "a pickled copy gives other values")


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
