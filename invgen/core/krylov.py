"""Krylov methods on batches: conjugate gradients and Lanczos, each batch element on its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from invgen.core.errors import InvgenWarning
from invgen.core.late import Reports
from invgen.core.space import Space

__all__ = [
    "conjugate_gradients",
    "conjugate_gradients_with_residual",
    "largest_eigenvalue",
    "power_of_two",
]

#: Number of last steps whose mean rate of convergence is extrapolated, and what the first is taken to have: a
#: start that is good where steps are long leaves an error that falls slowly.
_FEW, _FIRST_RATE = 4, 0.9

Apply = Callable[[torch.Tensor], torch.Tensor]


def conjugate_gradients(
    apply: Apply,
    b: torch.Tensor,
    space: Space,
    *,
    precondition: Apply | None = None,
    tolerance: float | None = None,
    iterations: int | None = None,
    error: float | torch.Tensor | None = None,
    least: torch.Tensor | None = None,
    enough: Apply | None = None,
) -> torch.Tensor:
    """Solve ``apply(x) = b`` for a positive semi-definite `apply`, Hestenes and Stiefel (1952).

    Each batch element stops by itself, so that a batch equals its elements. The iteration starts at zero: of
    a singular consistent system it finds the solution of smallest norm. A GPU is not waited for: the host
    learns that all have stopped when one iteration more is on its way, which changes nothing.

    Parameters
    ----------
    apply : callable
        The matrix, applied to tensors like `b`.
    b : tensor, shape (*batch, *space.shape)
    space : Space
    precondition : callable, optional
        Positive definite, close to the inverse of `apply`.
    tolerance : float, optional
        Norm of the residual, relative to the right-hand side, at which an element stops; by default 1e-6 in
        single and 1e-12 in double precision.
    iterations : int, optional
        Largest number of iterations. By default 2000, after which a warning states the residual reached.
    error : float or tensor of the batch's shape, optional
        Estimated error in the norm of `apply` at which an element stops.
    least : tensor, shape of the batch, optional
        Lower bound of the eigenvalues of `precondition` after `apply`. With it `error` is also known to be
        reached where ``sqrt(r.H precondition(r) / least)`` is below it, without any step of convergence seen.
    enough : callable, optional
        From the current solution to bool, shape of the batch: true for elements that stop. It is evaluated in
        every tenth iteration.

    Returns
    -------
    tensor like `b`
    """
    return conjugate_gradients_with_residual(
        apply,
        b,
        space,
        precondition=precondition,
        tolerance=tolerance,
        iterations=iterations,
        error=error,
        least=least,
        enough=enough,
    )[0]


def conjugate_gradients_with_residual(
    apply: Apply,
    b: torch.Tensor,
    space: Space,
    *,
    precondition: Apply | None = None,
    tolerance: float | None = None,
    iterations: int | None = None,
    error: float | torch.Tensor | None = None,
    least: torch.Tensor | None = None,
    enough: Apply | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`conjugate_gradients`, and what is left of `b`, as the iteration knows it."""
    if tolerance is None:
        tolerance = 1e-12 if b.dtype in (torch.float64, torch.complex128) else 1e-6
    # in units of the right-hand side, a power of two: products of large numbers exceed those of float32
    unit = space.per_sample(power_of_two(space.norm(b)))
    b = b / unit
    x, r = torch.zeros_like(b), b
    z = precondition(r) if precondition else r
    p, rz = z, space.inner(r, z).real
    target = tolerance * space.norm(b)
    active = space.norm(r) > target
    size = unit.reshape(rz.shape)
    if error is not None and least is not None:
        active = active & (size * (rz / least).sqrt() > error)
    lowered: list[torch.Tensor] = []
    reports = Reports(b.device)
    for step in range(1, (iterations or 2000) + 1):
        if not all(bool(moves) for _, moves in reports.after(active.any())):
            return unit * x, unit * r
        Ap = apply(p)
        # an element that has converged takes steps of length zero
        length = torch.where(active, rz / space.inner(p, Ap).real, 0)
        alpha = space.per_sample(length)
        x, r = x + alpha * p, r - alpha * Ap
        if error is not None:
            lowered.append(length * rz)
            active = active & (size * _energy_left(lowered).sqrt() > error)
        z = precondition(r) if precondition else r
        rz_old, rz = rz, space.inner(r, z).real
        p = z + space.per_sample(torch.where(active, rz / rz_old, 0)) * p
        active = active & (space.norm(r) > target)
        if error is not None and least is not None:
            active = active & (size * (rz / least).sqrt() > error)
        if enough is not None and step % 10 == 0:
            active = active & ~enough(unit * x)
    if iterations is None and bool(active.any()):
        reached = float((space.norm(r) / space.norm(b))[active].max())
        warnings.warn(
            f"Conjugate gradients stopped after 2000 iterations at a relative residual of "
            f"{reached:.1e} (wanted {tolerance:.0e}): the system is badly conditioned; a larger shift helps.",
            InvgenWarning,
            stacklevel=3,
        )
    return unit * x, unit * r


def _energy_left(lowered: list[torch.Tensor]) -> torch.Tensor:
    """Squared error that is left, from the amounts by which the steps so far have lowered it.

    A step lowers it by ``length * rz`` (Hestenes and Stiefel 1952, theorem 6:1). The remaining steps are
    assumed to lower it by a geometric series, with the mean rate of the last few.
    """
    before, last = lowered[-_FEW:][0], lowered[-1]
    count = min(_FEW, len(lowered)) - 1
    rate = (last / before) ** (1 / count) if count else torch.full_like(last, _FIRST_RATE)
    rate = torch.where(before > 0, rate, 0).clamp(max=0.99)
    return last * rate / (1 - rate)


def power_of_two(size: torch.Tensor) -> torch.Tensor:
    """A power of two near each positive number, one for others: division by it is exact."""
    exponent = torch.where(size > 0, torch.frexp(size).exponent, 0)
    return torch.ldexp(torch.ones_like(size), exponent)


def largest_eigenvalue(
    apply: Apply, start: torch.Tensor, space: Space, *, tolerance: float = 1e-9, iterations: int = 300
) -> torch.Tensor:
    """Largest eigenvalue of a positive semi-definite map, for each batch element of `start`, by Lanczos.

    Without reorthogonalization: rounding makes copies of the extreme eigenvalues, never wrong ones
    (Paige 1980). Each batch element stops by itself, when its largest Ritz value has settled to `tolerance`.
    """
    v, v_old = start * space.per_sample(1 / space.norm(start)), torch.zeros_like(start)
    beta = torch.zeros_like(space.norm(start))
    alphas: list[torch.Tensor] = []
    betas: list[torch.Tensor] = []
    found, reports = _LargestRitzValue(tolerance), Reports(start.device)
    for step in range(iterations):
        w = apply(v)
        if step == 0:  # in units of the map: the squares of large numbers exceed those of float32
            unit = power_of_two(space.inner(v, w).real)
        w = w / space.per_sample(unit)
        alphas.append(space.inner(v, w).real)
        w = w - space.per_sample(alphas[-1]) * v - space.per_sample(beta) * v_old
        if step < 5 or step % 5 == 0:
            come = reports.after(torch.stack([*alphas, *betas], -1))
            if any(found.settles(entries) for _, entries in come):
                break
        beta = space.norm(w)
        betas.append(beta)
        # where the Krylov space is exhausted beta vanishes, and zero vectors change nothing from there on
        v_old, v = v, w * space.per_sample(torch.where(beta > 0, 1 / beta, 0))
    for _, entries in reports.rest():
        found.settles(entries)
    return unit * found.value.to(unit.device, non_blocking=True)


class _LargestRitzValue:
    """That of Lanczos' method while it goes on, for each batch element, until all have settled."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self.value = torch.zeros(())
        self._settled = torch.zeros((), dtype=torch.bool)

    def settles(self, entries: torch.Tensor) -> bool:
        """Take note of more steps, and return whether all have settled.

        Parameters
        ----------
        entries : tensor, shape (*batch, 2 n - 1)
            Of the tridiagonal matrix, those on its diagonal first.
        """
        if bool(self._settled.all()):
            return True
        n = (entries.shape[-1] + 1) // 2
        diagonal, beside = entries.double().split([n, n - 1], -1)
        T = torch.diag_embed(diagonal) + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
        new = torch.linalg.eigvalsh(T)[..., -1].to(entries)
        old, self.value = self.value, torch.where(self._settled, self.value, new)
        self._settled = self._settled | ((self.value - old).abs() <= self._tolerance * self.value)
        return bool(self._settled.all())
