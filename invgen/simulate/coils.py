"""Receiver coils around a simulated object, as sums of a few complex exponentials.

The k-space of an object times a complex exponential is that of the object, shifted. With sensitivities that
are sums of exponentials the signal of an analytic phantom thus has a closed form (Guerquin-Kern et al. 2012,
Realistic analytical phantoms for parallel magnetic resonance imaging).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["ORDER", "fit", "on_grid", "orders"]

#: Highest order of the exponentials, whose period is twice the field of view: the sensitivities need not be
#: periodic on it.
ORDER = 2

_SEGMENTS = 48  # straight pieces of a coil's wire
_FIT = 32  # points along each axis that the exponentials are fitted to
_RIDGE = 1e-6  # of the largest eigenvalue: keeps the fit small where it is not determined, beyond the object


def orders() -> Tensor:
    """Orders of the exponentials along an axis, in half cycles per field of view."""
    return torch.arange(-ORDER, ORDER + 1)


def on_grid(weights: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Values of sums of exponentials on a grid, (maps, rows, columns), from weights (maps, orders, orders).

    Rows and columns are at `y`, downwards, and `x`, in fields of view from the origin.
    """
    along_y, along_x = (_turn(math.pi * orders()[:, None] * place) for place in (y, x))
    return torch.einsum("cij,ih,jw->chw", weights, along_y, along_x)


def fit(coils: int, height: float, aspect: float, seed: int) -> tuple[Tensor, Tensor]:
    """Weights of the phase of the object, and of each coil's sensitivity times that phase.

    The coils are loops of wire at equal angles on a cylinder around the object, each with its own phase;
    a loop's sensitivity is the transverse magnetic field of a current in it, by the law of Biot and Savart.

    Parameters
    ----------
    coils : int
    height : float
        Position of the slice along the axis of the cylinder, in half widths of the field of view.
    aspect : float
        Height of the field of view over its width.
    seed : int
        Determines the phases.

    Returns
    -------
    phase : complex128 Tensor, shape (orders, orders)
        Of modulus close to one.
    weights : complex128 Tensor, shape (coils, orders, orders)
        The root sum of squares of the sensitivities has a mean square of one over the object.
    """
    place = (torch.arange(_FIT, dtype=torch.float64) + 0.5) / _FIT - 0.5
    y, x = torch.meshgrid(-2 * aspect * place, 2 * place, indexing="ij")  # half widths, y up
    random = torch.Generator().manual_seed(seed)
    turn = 2 * math.pi * torch.rand(coils + 3, generator=random, dtype=torch.float64)
    # a constant phase, a linear one of an echo off the center, and a quadratic one of the main field
    slope = turn[:2].cos()
    phase = _turn(turn[2] + slope[0] * x + slope[1] * y + 0.5 * (x**2 - 0.5 * y**2))
    if coils == 1:  # a volume coil: a single loop is sensitive on one side only
        fields = torch.ones(1, *x.shape, dtype=torch.complex128)
    else:
        places = 2 * math.pi * (torch.arange(coils) + 0.5) / coils
        fields = torch.stack([_loop(x, y, height, place, aspect) for place in places.tolist()])
    fields = fields * _turn(turn[3:])[:, None, None]
    inside = (x**2 + (y / aspect) ** 2 < 1).to(torch.float64)
    fields /= ((fields.abs() ** 2).sum(0) * inside).sum().div(inside.sum()).sqrt()
    targets = torch.cat((phase[None], fields * phase))

    one = torch.eye((2 * ORDER + 1) ** 2, dtype=torch.complex128).unflatten(1, (2 * ORDER + 1, -1))
    basis = on_grid(one, place, place).flatten(1).T
    weighting = inside.flatten() + 0.05  # some weight in the corners bounds the field outside of the object
    gram = basis.mH @ (weighting[:, None] * basis)
    ridge = _RIDGE * torch.linalg.eigvalsh(gram).max() * torch.eye(len(gram))
    right = basis.mH @ (weighting[:, None] * targets.flatten(1).T)
    weights = torch.linalg.solve(gram + ridge, right).T.unflatten(1, (2 * ORDER + 1, -1))
    return weights[0], weights[1:]


def _loop(x: Tensor, y: Tensor, z: float, place: float, aspect: float) -> Tensor:
    """Transverse field Bx - i By at height z of a loop at an angle around the object.

    ``B = sum dl x r / |r|^3`` over the pieces of wire (Biot and Savart); the coil receives the component that
    rotates with the spins.
    """
    out = torch.tensor([math.cos(place), math.sin(place), 0.0], dtype=torch.float64)
    along = torch.tensor([-math.sin(place), math.cos(place), 0.0], dtype=torch.float64)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    distance, radius = 1.4 * math.hypot(out[0], aspect * out[1]), 0.5
    t = 2 * math.pi * torch.arange(_SEGMENTS, dtype=torch.float64)[:, None] / _SEGMENTS
    wire = distance * out + radius * (t.cos() * along + t.sin() * up)
    piece = (2 * math.pi * radius / _SEGMENTS) * (-t.sin() * along + t.cos() * up)
    field = torch.zeros(*x.shape, 3, dtype=torch.float64)
    point = torch.stack((x, y, torch.full_like(x, z)), dim=-1)
    for position, current in zip(wire, piece, strict=True):
        r = point - position
        field += torch.linalg.cross(current.expand_as(r), r) / r.norm(dim=-1, keepdim=True) ** 3
    return torch.complex(field[..., 0], -field[..., 1])


def _turn(angle: Tensor) -> Tensor:
    """Complex numbers of modulus one."""
    angle = angle.to(torch.float64)
    return torch.polar(torch.ones_like(angle), angle)
