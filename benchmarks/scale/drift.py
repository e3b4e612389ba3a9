"""Single against double precision: how far each method's image is from that of the same run in double."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import invgen as ig
from benchmarks.report import Report, relative
from invgen.core.draws import Draws
from invgen.core.errors import InvgenError
from invgen.solvers.methods import METHODS, Method

__all__ = ["drift"]

_SIDE = 24
#: Beyond this a docstring says it.
_TOLD = 1e-3


@contextmanager
def _equal_draws() -> Iterator[None]:
    """Random numbers of single precision are those of double, rounded: PyTorch draws others."""
    plain = Draws.__call__

    def drawn(self: Draws, like: Tensor, axes: int | None = None) -> Tensor:
        wide = torch.complex128 if like.is_complex() else torch.float64
        return plain(self, like.to(wide), axes).to(like.dtype)

    Draws.__call__ = drawn  # type: ignore[method-assign]
    try:
        yield
    finally:
        Draws.__call__ = plain  # type: ignore[method-assign]


def _operator(need: str) -> Any:
    shape, operators = (_SIDE, _SIDE), ig.operators
    coils = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.complex128)
    if need == "non-Cartesian MRI":
        return operators.NonCartesianMRI(shape, operators.trajectories.radial(24, _SIDE), coils)
    if need == "partial Fourier MRI":
        return operators.MRI(shape, torch.arange(_SIDE)[:, None] >= 9)
    if need == "Cartesian MRI":
        return operators.MRI(shape, operators.sampling.equispaced_lines(shape, 2), coils)
    if need == "cone beam":
        return operators.ConeBeam((4, *shape), 24, 60.0, 90.0)
    if need == "singular vectors":
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.6
        return operators.Mask(mask.double())
    return operators.Radon(shape, angles=24, method="joseph" if need == "non-negative" else "fourier")


def _prior(method: Method, shape: tuple[int, ...], field: str) -> Any:
    mean = torch.zeros(shape, dtype=torch.complex128 if field == "complex" else torch.float64)
    if method.prior is None:
        return ()
    if method.penalized:
        return (ig.priors.TotalVariation(1.0),)
    return (ig.priors.Gaussian(mean + 0.3, 0.3),)


def _image(method: Method, dtype: torch.dtype) -> Tensor:
    A = _operator(method.operator)
    x = ig.phantoms.shepp_logan(_SIDE / 2).image((_SIDE, _SIDE), 1.0).double().expand(A.domain.shape)
    x = x.to(torch.complex128) if A.domain.field == "complex" else x
    poisson = method.noise == "Poisson"
    noise: Any = ig.noise.Poisson(0.05) if poisson else ig.noise.Gaussian(0.05)
    y = noise.sample(A(x).clamp(min=0) if poisson else A(x), seed=0)
    problem = ig.Problem(A, y.to(dtype.to_complex() if y.is_complex() else dtype), noise)
    solver = method.solver(*_prior(method, A.domain.shape, A.domain.field))
    return solver(problem, seed=0).x


def drift(report: Report) -> None:
    """Each method of the command line, with its defaults."""
    torch.set_num_threads(1)
    done: set[type] = set()
    for method in METHODS:
        if method.latent or method.solver in done:
            continue
        done.add(method.solver)
        try:
            with _equal_draws():
                single, double = (_image(method, dtype) for dtype in (torch.float32, torch.float64))
        except InvgenError as error:
            report.row(method.solver.__name__, f"not measured: {str(error)[:100]}")
            continue
        found = relative(single.to(double.dtype), double)
        report.row(method.solver.__name__, f"{found:.1e}", f"below {_TOLD:g}, or in its docstring", None)
