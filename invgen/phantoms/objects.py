"""Phantoms in the plane: a disc, the head of Shepp and Logan, and a porous rock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from invgen.core.errors import ParameterError
from invgen.phantoms.ellipses import Ellipses

__all__ = ["check_size", "disc", "foam", "pack", "shepp_logan"]

# Semi-axes, center and rotation in degrees: Shepp and Logan (1974), table 1.
_SHEPP_LOGAN = (
    (0.6900, 0.920, 0.00, 0.0000, 0.0),
    (0.6624, 0.874, 0.00, -0.0184, 0.0),
    (0.1100, 0.310, 0.22, 0.0000, -18.0),
    (0.1600, 0.410, -0.22, 0.0000, 18.0),
    (0.2100, 0.250, 0.00, 0.3500, 0.0),
    (0.0460, 0.046, 0.00, 0.1000, 0.0),
    (0.0460, 0.046, 0.00, -0.1000, 0.0),
    (0.0460, 0.023, -0.08, -0.6050, 0.0),
    (0.0230, 0.023, 0.00, -0.6060, 0.0),
    (0.0230, 0.046, 0.06, -0.6050, 0.0),
)
_ORIGINAL = (2.0, -0.98, -0.02, -0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01)
_MODIFIED = (1.0, -0.8, -0.2, -0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)


def shepp_logan(half_width: float = 1.0, *, modified: bool = True) -> Ellipses:
    """Build the head phantom of Shepp and Logan (IEEE Trans. Nucl. Sci. 21, 1974).

    Parameters
    ----------
    half_width : float
        Half the side of the square field around the head, in length units.
    modified : bool
        Use the higher contrast of Toft (The Radon Transform, PhD thesis, 1996, table B.3), in which the
        features can be seen; otherwise that of the original, with 1 % between the tissues.
    """
    values = _MODIFIED if modified else _ORIGINAL
    rows = [
        (value, x, y, a, b, math.radians(degrees))
        for value, (a, b, x, y, degrees) in zip(values, _SHEPP_LOGAN, strict=True)
    ]
    return _ellipses(rows, half_width)


def disc(radius: float, *, value: float = 1.0, center: tuple[float, float] = (0.0, 0.0)) -> Ellipses:
    """Build one uniform disc of the given radius and center (x, y), in length units."""
    row = torch.tensor([value, *center, radius, radius, 0.0], dtype=torch.float64)
    return Ellipses(*row[:, None])


def foam(seed: int = 0, half_width: float = 1.0) -> Ellipses:
    """Build a porous rock in a tube: pores, grains of several contrasts, and detail inside the grains.

    The tube (outer radius 0.92 of the half width) holds a round matrix of value 0.5 packed with discs
    that do not overlap, from a sixth to a hundredth of its size: empty pores, faint, dense and very
    dense grains, hollow shells, sponges with tiny pores, and grains cut by bars of decreasing width.
    No value is negative and the largest is 1.

    Parameters
    ----------
    seed : int
        Determines the object.
    half_width : float
        Half the side of the square field around the tube, in length units.
    """
    random = torch.Generator().manual_seed(seed)
    matrix = 0.5
    rows = [_disc(0.6, 0, 0, 0.92), _disc(-0.6, 0, 0, 0.88), _disc(matrix, 0, 0, 0.84)]
    sizes = torch.tensor([0.15] * 3 + [0.11] * 6 + [0.075] * 10 + [0.045] * 18 + [0.025] * 36 + [0.011] * 60)
    sizes = sizes * (0.85 + 0.3 * torch.rand(len(sizes), generator=random))
    centers = pack(sizes.tolist(), 0.008, _in_disc(0.82, random))
    for index, (x, y, radius) in enumerate(centers):
        kind = index % 4
        if radius > 0.06 and kind == 0:  # a sponge: tiny pores in a dense grain
            rows.append(_disc(0.3, x, y, radius))
            tiny = [radius * f for f in [0.2] * 8 + [0.1] * 30]
            pores = pack(tiny, 0.03 * radius, _in_disc(0.9 * radius, random))
            rows += [_disc(-matrix - 0.3, x + u, y + v, r) for u, v, r in pores]
        elif radius > 0.06 and kind == 1:  # bars: a resolution test
            rows.append(_disc(0.4, x, y, radius))
            turn = math.pi * float(torch.rand((), generator=random))
            for place, width in ((-0.55, 0.13), (-0.15, 0.08), (0.15, 0.05), (0.4, 0.03)):
                u, v = -place * radius * math.sin(turn), place * radius * math.cos(turn)
                rows.append((-matrix - 0.4, x + u, y + v, 0.6 * radius, width * radius, turn))
        elif radius > 0.03 and kind == 2:  # a hollow shell
            rows += [_disc(0.5, x, y, radius), _disc(-matrix - 0.5, x, y, 0.7 * radius)]
        else:
            rows.append(_disc((-matrix, 0.5, 0.25, -0.2)[index // 4 % 4], x, y, radius))
    return _ellipses(rows, half_width)


def _disc(value: float, x: float, y: float, radius: float) -> tuple[float, ...]:
    return (value, x, y, radius, radius, 0.0)


def _ellipses(rows: Sequence[Sequence[float]], half_width: float) -> Ellipses:
    """Build a phantom from rows (value, x, y, a, b, rotation) in the field [-1, 1]^2."""
    check_size(half_width=half_width)
    return Ellipses(*torch.tensor(rows, dtype=torch.float64).T).scaled(length=half_width)


def check_size(**lengths: float) -> None:
    """Refuse a field without size.

    Raises
    ------
    ParameterError
    """
    for name, length in lengths.items():
        if not (length > 0 and math.isfinite(length)):
            words = name.replace("_", " ")
            raise ParameterError(f"The {words} of a phantom's field is a positive length; got {length}.")


def _in_disc(within: float, random: torch.Generator) -> Callable[[float], Tensor]:
    """Candidate places for a disc of a given radius in a disc of radius `within`."""

    def throw(radius: float) -> Tensor:
        reach = (within - radius) * torch.rand(200, 1, generator=random, dtype=torch.float64).sqrt()
        turn = 2 * math.pi * torch.rand(200, 1, generator=random, dtype=torch.float64)
        return torch.cat((reach * turn.cos(), reach * turn.sin()), dim=1)

    return throw


def pack(radii: Sequence[float], gap: float, throw: Callable[[float], Tensor]) -> list[list[float]]:
    """Place discs or balls so that none overlap; those that find no place are dropped.

    Parameters
    ----------
    radii : sequence of float
        Radii, in the order in which they are placed.
    gap : float
        Smallest distance of two.
    throw : callable(radius)
        Draws candidate places, shape (tries, n).

    Returns
    -------
    list of rows of n coordinates and the radius
    """
    placed: list[Tensor] = []
    for radius in radii:
        tries = throw(radius)
        if placed:
            others = torch.stack(placed)
            apart = torch.cdist(tries, others[:, :-1]) >= others[:, -1] + radius + gap
            tries = tries[apart.all(dim=1)]
        if len(tries):
            placed.append(torch.cat((tries[0], tries.new_tensor([radius]))))
    return [place.tolist() for place in placed]
