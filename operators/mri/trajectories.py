"""Trajectories through k-space, their units, and the compensation of their density.

All trajectories are float64 tensors (shots, samples, dimensions) in cycles per pixel, within half a cycle,
(ky, kx) or (kz, ky, kx) along the last axis, as `NonCartesianMRI` takes them. Each shot has a sample in the
middle of k-space. An angle goes from the axis of kx towards that of ky.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from invgen.core.checks import as_count
from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.operators.mri.checks import checked_image_shape
from invgen.operators.mri.density import density_compensation

__all__ = [
    "density_compensation",
    "golden_angle",
    "koosh_ball",
    "radial",
    "spiral",
    "to_cycles_per_pixel",
]

#: The golden ratio.
_PHI = (1 + math.sqrt(5)) / 2


def golden_angle(number: int = 1) -> float:
    """Increment of the angle, in radians, for which any number of successive spokes is nearly uniform.

    Parameters
    ----------
    number : int
        1 is the golden angle, 111.246 degrees (Winkelmann et al. 2007). Larger ones are the tiny golden
        angles ``pi / (phi + number - 1)``, with smaller steps between successive spokes: 23.628 degrees for 7
        (Wundrak et al. 2016).
    """
    return math.pi / (_PHI + as_count(number, "number") - 1)


def radial(spokes: int, samples: int, angle: str | float = "golden") -> torch.Tensor:
    """Spokes through the middle of k-space.

    Sample j of a spoke is at ``(j - samples // 2) / samples`` cycles per pixel. An image of N x N pixels
    needs ``pi / 2 * N`` equiangular spokes, with ends that are 1 / N cycles per pixel apart, and N samples
    on each. Scanners oversample spokes twice: the middle of k-space, where they cross, is then sampled
    densely enough for `density_compensation`.

    Parameters
    ----------
    spokes, samples : int
    angle : {"golden", "uniform"} or float
        Spokes at multiples of `golden_angle`, at multiples of pi / spokes, or of this angle in radians.

    Returns
    -------
    tensor, float64 (spokes, samples, 2)

    References
    ----------
    Winkelmann et al. (2007), An optimal radial profile order based on the golden ratio for time-resolved
    MRI.
    """
    spokes = as_count(spokes, "spokes")
    if angle == "golden":
        angle = golden_angle()
    elif angle == "uniform":
        angle = math.pi / spokes
    elif isinstance(angle, str) or not math.isfinite(angle):
        raise ParameterError(f"angle is 'golden', 'uniform' or a number of radians; got {angle!r}.")
    t = angle * torch.arange(spokes, dtype=torch.float64)
    return _readout(samples)[:, None] * torch.stack([t.sin(), t.cos()], dim=-1)[:, None]


def koosh_ball(spokes: int, samples: int) -> torch.Tensor:
    """Spokes through the middle of a volume's k-space, any number of successive ones nearly uniform.

    Their ends lie on a half sphere at multiples of the two-dimensional golden means, Chan et al. (2009).
    A volume of N x N x N voxels needs about ``pi / 2 * N^2`` spokes.

    Parameters
    ----------
    spokes, samples : int
        Sample j of a spoke is at ``(j - samples // 2) / samples`` cycles per pixel.

    Returns
    -------
    tensor, float64 (spokes, samples, 3)

    References
    ----------
    Chan et al. (2009), Temporal stability of adaptive 3D radial MRI using multidimensional golden means.
    """
    # the real root of x^3 + x = 1; the means are (x^2, x), 0.4656 and 0.6823
    x = math.cbrt((9 + math.sqrt(93)) / 18) + math.cbrt((9 - math.sqrt(93)) / 18)
    index = torch.arange(as_count(spokes, "spokes"), dtype=torch.float64)
    z, t = (x * x * index) % 1, 2 * math.pi * ((x * index) % 1)
    across = (1 - z * z).sqrt()
    return _readout(samples)[:, None] * torch.stack([z, across * t.sin(), across * t.cos()], dim=-1)[:, None]


def spiral(
    interleaves: int, samples: int, turns: float, *, power: float = 1.0, velocity: str = "linear"
) -> torch.Tensor:
    """Spirals from the middle of k-space outwards, rotated against each other.

    ``|k| = s^power / 2`` at the angle ``2 pi turns s``, s from zero to one: Kim, Adalsteinsson and Spielman
    (2003). An image of N x N pixels needs ``interleaves * turns >= power * N / 2``, since the distance of
    turns is largest at the edge.

    Parameters
    ----------
    interleaves, samples : int
    turns : float
        Number of turns of each interleave.
    power : float
        At least one: 1 is Archimedes' spiral, of uniform density; larger ones are denser in the middle.
    velocity : {"linear", "angular"}
        Constant velocity along the spiral, as with gradients of constant amplitude, or constant angular
        velocity, with more samples in the middle.

    Returns
    -------
    tensor, float64 (interleaves, samples, 2)

    References
    ----------
    Kim, Adalsteinsson and Spielman (2003), Simple analytic variable density spiral design.
    """
    interleaves, samples = as_count(interleaves, "interleaves"), as_count(samples, "samples")
    if not (turns > 0 and math.isfinite(turns)):
        raise ParameterError(f"turns is a positive number; got {turns}.")
    if not (power >= 1 and math.isfinite(power)):
        raise ParameterError(f"power is a number of at least 1; got {power}.")
    if velocity not in ("linear", "angular"):
        raise ParameterError(f"velocity is 'linear' or 'angular'; got {velocity!r}.")
    s = torch.arange(samples, dtype=torch.float64) / max(1, samples - 1)
    if velocity == "linear":
        s = _equidistant(samples, turns, power)
    t = 2 * math.pi * (turns * s + torch.arange(interleaves, dtype=torch.float64)[:, None] / interleaves)
    return (s**power / 2)[:, None] * torch.stack([t.sin(), t.cos()], dim=-1)


def _equidistant(samples: int, turns: float, power: float) -> torch.Tensor:
    """Parameters s of points on a spiral that are equidistant along it."""
    s = np.linspace(0, 1, 32 * samples + 1)
    speed = np.hypot(power * s ** (power - 1), 2 * math.pi * turns * s**power)
    length = np.concatenate([[0.0], np.cumsum(speed[1:] + speed[:-1])])
    return torch.from_numpy(np.interp(np.linspace(0, length[-1], samples), length, s))


def to_cycles_per_pixel(
    k: Any, unit: str, image_shape: tuple[int, ...], field_of_view: float | Sequence[float] | None = None
) -> torch.Tensor:
    """Trajectory in cycles per pixel, from other units.

    Parameters
    ----------
    k : float tensor, shape (..., 2) or (..., 3)
        The components are in the order of the image's axes.
    unit : {"rad/pixel", "1/m", "cycles/fov"}
        Radians per pixel go to pi, cycles per field of view to N / 2.
    image_shape : tuple of int
        Shape of the image that is to be reconstructed, in pixels.
    field_of_view : float or one for each axis, optional
        Size of the image in m, for "1/m".

    Returns
    -------
    tensor, float64, of the shape of `k`

    Raises
    ------
    DtypeError, ShapeError, ParameterError
        For complex trajectories, shapes that do not fit, other units, and a field of view that is missing.
    """
    shape = checked_image_shape(image_shape, "to_cycles_per_pixel")
    k = torch.as_tensor(k)
    if k.is_complex():
        raise DtypeError(
            "to_cycles_per_pixel expects real numbers; for kx + i ky give torch.stack([k.imag, k.real], -1)."
        )
    if k.shape[-1:] != (len(shape),):
        raise ShapeError(
            f"to_cycles_per_pixel expects a trajectory of shape (..., {len(shape)}); got {tuple(k.shape)}."
        )
    pixels = torch.tensor(shape, dtype=torch.float64)
    if unit == "rad/pixel":
        return k.double() / (2 * math.pi)
    if unit == "cycles/fov":
        return k.double() / pixels
    if unit != "1/m":
        raise ParameterError(f"unit is 'rad/pixel', '1/m' or 'cycles/fov'; got {unit!r}.")
    if field_of_view is None:
        raise ParameterError("A trajectory in 1/m needs the field_of_view in m.")
    fov = torch.as_tensor(field_of_view, dtype=torch.float64)
    if fov.shape not in ((), (len(shape),)) or not bool((fov > 0).all() & torch.isfinite(fov).all()):
        raise ParameterError(
            f"field_of_view is a positive size in m, or one for each axis; got {field_of_view}."
        )
    return k.double() * (fov / pixels)


def _readout(samples: int) -> torch.Tensor:
    """Positions along a spoke, one of them in the middle of k-space."""
    n = as_count(samples, "samples")
    return (torch.arange(n, dtype=torch.float64) - n // 2) / n
