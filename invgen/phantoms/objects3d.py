"""Phantoms in space: a ball, the head of Kak and Slaney, and a foam of pores and grains."""

from __future__ import annotations

import torch
from torch import Tensor

from invgen.phantoms.ellipsoids import Ellipsoids
from invgen.phantoms.objects import check_size, pack

__all__ = ["ball", "foam_3d", "shepp_logan_3d"]

# Center, semi-axes, rotation in degrees, value: Kak and Slaney (1988), table 3.2.
_KAK_SLANEY = (
    (0.00, 0.000, 0.000, 0.6900, 0.920, 0.900, 0, 2.00),
    (0.00, 0.000, 0.000, 0.6624, 0.874, 0.880, 0, -0.98),
    (-0.22, 0.000, -0.250, 0.4100, 0.160, 0.210, 108, -0.02),
    (0.22, 0.000, -0.250, 0.3100, 0.110, 0.220, 72, -0.02),
    (0.00, 0.350, -0.250, 0.2100, 0.250, 0.500, 0, 0.02),
    (0.00, 0.100, -0.250, 0.0460, 0.046, 0.046, 0, 0.02),
    (-0.08, -0.650, -0.250, 0.0460, 0.023, 0.020, 0, 0.01),
    (0.06, -0.650, -0.250, 0.0460, 0.023, 0.020, 90, 0.01),
    (0.06, -0.105, 0.625, 0.0560, 0.040, 0.100, 90, 0.02),
    (0.00, 0.100, 0.625, 0.0560, 0.056, 0.100, 0, -0.02),
)
_MODIFIED = (1.0, -0.8, -0.2, -0.2, 0.2, 0.2, 0.1, 0.1, 0.2, -0.2)


def ball(
    radius: float, *, value: float = 1.0, center: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Ellipsoids:
    """Build one uniform ball of the given radius and center (x, y, z), in length units."""
    return Ellipsoids(*torch.tensor([[value, *center, radius, radius, radius, 0.0]], dtype=torch.float64).T)


def shepp_logan_3d(half_width: float = 1.0, *, modified: bool = True) -> Ellipsoids:
    """Build the head phantom in space of Kak and Slaney (Computerized Tomographic Imaging, 1988, table 3.2).

    Parameters
    ----------
    half_width : float
        Half the side of the cube around the head, in length units.
    modified : bool
        Use a higher contrast, in which the features can be seen: skull and brain as in `shepp_logan`, after
        Toft (1996), and the features tenfold; otherwise the original's, with 1 to 2 % between the tissues.
    """
    check_size(half_width=half_width)
    x, y, z, a, b, c, degrees, value = torch.tensor(_KAK_SLANEY, dtype=torch.float64).T
    if modified:
        value = torch.tensor(_MODIFIED, dtype=torch.float64)
    return Ellipsoids(value, x, y, z, a, b, c, degrees.deg2rad()).scaled(length=half_width)


def foam_3d(seed: int = 0, half_width: float = 1.0, half_height: float | None = None) -> Ellipsoids:
    """Build a porous rock in a shell: balls that do not overlap, pores and grains, in a dense ellipsoid.

    The shell (semi-axes 0.92 of the half width and half height) holds a matrix of value 0.5 packed with
    balls down to a hundredth of its size: empty pores, faint, dense and very dense grains, and hollow
    ones. No value is negative and the largest is 1.

    Parameters
    ----------
    seed : int
        Determines the object.
    half_width : float
        Half the width of the field around the shell, in length units.
    half_height : float, optional
        Half the height of that field, along z; by default the half width. In a flat field the balls are
        smaller, and fill the same fraction of its volume.
    """
    height = half_width if half_height is None else half_height
    check_size(half_width=half_width, half_height=height)
    flat = height / half_width
    random = torch.Generator().manual_seed(seed)
    matrix = 0.5
    rows = [
        (value, 0.0, 0.0, 0.0, reach, reach, reach * flat, 0.0)
        for value, reach in ((0.6, 0.92), (-0.6, 0.88), (matrix, 0.84))
    ]
    axes = torch.tensor([0.83, 0.83, 0.83 * flat], dtype=torch.float64)
    narrow = float(axes.min())

    def throw(radius: float) -> Tensor:
        """Candidate places: balls of radius r about points of E (1 - r / narrow) lie in the ellipsoid E."""
        inside = torch.randn(400, 3, generator=random, dtype=torch.float64)
        inside /= inside.norm(dim=1, keepdim=True)
        inside *= torch.rand(400, 1, generator=random, dtype=torch.float64) ** (1 / 3)
        return inside * axes * (1 - radius / narrow)

    sizes = torch.tensor([0.22] * 3 + [0.16] * 8 + [0.11] * 30 + [0.07] * 100 + [0.04] * 250 + [0.02] * 400)
    sizes = sizes * (0.85 + 0.3 * torch.rand(len(sizes), generator=random))
    sizes = (sizes * flat ** (1 / 3)).clamp(max=0.4 * narrow)
    for index, (x, y, z, radius) in enumerate(pack(sizes.tolist(), 0.004, throw)):
        if index % 5 == 4:  # a hollow grain
            rows.append((0.5, x, y, z, radius, radius, radius, 0.0))
            value, radius = -matrix - 0.5, 0.7 * radius
        else:
            value = (-matrix, 0.5, 0.25, -0.2)[index % 5]
        rows.append((value, x, y, z, radius, radius, radius, 0.0))
    return Ellipsoids(*torch.tensor(rows, dtype=torch.float64).T).scaled(length=half_width)
