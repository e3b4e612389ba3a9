"""Phantoms made of ellipses: exact images and exact projections of the same object.

An ellipse has a closed-form projection, so a phantom gives the sinogram that an ideal scanner would
record, free of the pixels that a reconstruction is made of. Lengths are in the caller's unit; x runs to
the right, y up, the origin is the centre of the image and the rotation axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from invgen.errors import ParameterError, ShapeError

_BLOCK = 1 << 21  # numbers held at once while drawing: 16 MiB


@dataclass(frozen=True, eq=False)
class Ellipses:
    """A sum of uniform ellipses; where they overlap, their values add.

    Parameters
    ----------
    value : array_like, shape (n,)
        What each ellipse adds inside (attenuation, in 1/length for a scan).
    x, y : array_like, shape (n,)
        Centers, in length units.
    a, b : array_like, shape (n,)
        Semi-axes along the ellipse's own first and second axis, in length units, positive.
    rotation : array_like, shape (n,)
        Counterclockwise angle from the x axis to the first own axis, in radians.

    Raises
    ------
    ShapeError
        If the arrays are not vectors of one length.
    ParameterError
        If a number is not finite or a semi-axis is not positive.
    """

    value: Tensor
    x: Tensor
    y: Tensor
    a: Tensor
    b: Tensor
    rotation: Tensor

    def __post_init__(self) -> None:
        for field in fields(self):
            array = torch.as_tensor(getattr(self, field.name), dtype=torch.float64).clone()
            object.__setattr__(self, field.name, array)
            if array.ndim != 1 or array.shape != self.value.shape:
                raise ShapeError(
                    f"Ellipses expects six vectors of one length; got {field.name} of shape "
                    f"{tuple(array.shape)} beside value of shape {tuple(self.value.shape)}."
                )
            if not bool(torch.isfinite(array).all()):
                raise ParameterError(f"Ellipses expects finite numbers; {field.name} has NaN or Inf.")
        if bool((torch.stack((self.a, self.b)) <= 0).any()):
            raise ParameterError("Ellipses expects positive semi-axes a and b; remove the empty ellipses.")

    def __len__(self) -> int:
        return len(self.value)

    @property
    def radius(self) -> float:
        """Radius of a disc around the origin that holds every ellipse."""
        reach = torch.hypot(self.x, self.y) + torch.maximum(self.a, self.b)
        return float(reach.max()) if len(self) else 0.0

    def scaled(self, *, length: float = 1.0, value: float = 1.0) -> Ellipses:
        """Return the phantom with all lengths and all values multiplied by the given factors."""
        lengths = {name: getattr(self, name) * length for name in ("x", "y", "a", "b")}
        return replace(self, value=self.value * value, **lengths)

    def rotated(self, angle: float) -> Ellipses:
        """Return the phantom turned counterclockwise about the origin by `angle` radians."""
        cos, sin = math.cos(angle), math.sin(angle)
        return replace(
            self,
            x=self.x * cos - self.y * sin,
            y=self.x * sin + self.y * cos,
            rotation=self.rotation + angle,
        )

    def image(self, shape: tuple[int, int], pixel_size: float, supersample: int = 8) -> Tensor:
        """Draw the phantom, each pixel the mean of the phantom over its box.

        Every pixel row is cut into `supersample` lines. The chord that an ellipse cuts from a line, and
        how much of it each pixel holds, are exact; only the integral over y is a (midpoint) sum.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of the image.
        pixel_size : float
            Side of a pixel, in length units.
        supersample : int
            Lines per pixel row.

        Returns
        -------
        Tensor, float64, shape (H, W)
            Row 0 is the top (largest y).
        """
        height, width = shape
        if min(height, width, supersample) < 1 or not pixel_size > 0:
            raise ParameterError(
                f"An image needs a positive shape, pixel size and supersample; got {shape}, {pixel_size} "
                f"and {supersample}."
            )
        image = torch.zeros(height, width, dtype=torch.float64)
        for value, x, y, a, b, rotation in self._rows():
            cos, sin = math.cos(rotation), math.sin(rotation)
            half_x, half_y = math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)
            # Only the pixels that the ellipse touches are visited, in blocks of rows of bounded size.
            left, right = _touched(x - half_x, x + half_x, width, pixel_size)
            top, bottom = _touched(-y - half_y, -y + half_y, height, pixel_size)
            rows = max(1, _BLOCK // (supersample * max(1, right - left)))
            edges = (torch.arange(left, right + 1, dtype=torch.float64) - width / 2) * pixel_size - x
            for start in range(top, bottom, rows):
                stop = min(start + rows, bottom)
                line = torch.arange(start * supersample, stop * supersample, dtype=torch.float64)
                line = (height / 2 - (line + 0.5) / supersample) * pixel_size - y
                # The ellipse on the line y: |x - shear * y| <= half.
                shear = (a * a - b * b) * sin * cos / half_y**2
                half = a * b / half_y**2 * (half_y**2 - line**2).clamp_min(0).sqrt()
                middle = shear * line
                covered = edges.clamp(min=(middle - half)[:, None], max=(middle + half)[:, None]).diff()
                coverage = covered.reshape(stop - start, supersample, right - left).mean(1) / pixel_size
                image[start:stop, left:right] += value * coverage
        return image

    def sinogram(
        self,
        angles: Tensor | Sequence[float],
        detector_count: int,
        detector_spacing: float = 1.0,
        detector_offset: float = 0.0,
        bin_average: bool = True,
    ) -> Tensor:
        r"""Project the phantom along parallel rays, in closed form.

        A ray at distance s from the origin, ``s = x cos t + y sin t``, crosses an ellipse with center
        projected to ``s0`` along a chord of length ``2 a b sqrt(w^2 - (s - s0)^2) / w^2``, where
        ``w^2 = a^2 cos^2(t - r) + b^2 sin^2(t - r)`` for the rotation r (Kak and Slaney 1988, section
        3.1). Its antiderivative is ``a b (u sqrt(1 - u^2) + arcsin u)`` with ``u = (s - s0) / w``
        clipped to [-1, 1]; the mean over a bin is the difference of that between the bin's edges.

        Parameters
        ----------
        angles : Tensor or sequence of float, shape (views,)
            Angles t, in radians.
        detector_count : int
            Number of bins n.
        detector_spacing, detector_offset : float
            Bin d is centered at ``(d - (n - 1) / 2) * spacing + offset``, in length units.
        bin_average : bool
            Average over each bin's width; otherwise take the ray through its center.

        Returns
        -------
        Tensor, float64, shape (views, detector_count)
            Line integrals, in value times length.
        """
        t = torch.as_tensor(angles, dtype=torch.float64)
        if t.ndim != 1:
            raise ShapeError(f"Angles are a vector, one per view; got shape {tuple(t.shape)}.")
        if detector_count < 1 or not detector_spacing > 0:
            raise ParameterError(
                f"A detector needs bins of positive number and width; got {detector_count} bins of "
                f"width {detector_spacing}."
            )
        place = torch.arange(detector_count + bin_average, dtype=torch.float64) - detector_count / 2
        s = (place if bin_average else place + 0.5) * detector_spacing + detector_offset
        total = torch.zeros(len(t), len(s), dtype=torch.float64)
        for value, x, y, a, b, rotation in self._rows():
            center = x * t.cos() + y * t.sin()
            half = torch.hypot(a * (t - rotation).cos(), b * (t - rotation).sin())
            u = ((s - center[:, None]) / half[:, None]).clamp_(-1, 1)
            root = (1 - u * u).sqrt_()
            if bin_average:
                total += value * a * b * (u * root + u.asin())
            else:
                total += 2 * value * a * b * root / half[:, None]
        return total.diff(dim=1) / detector_spacing if bin_average else total

    def _rows(self) -> list[list[float]]:
        return torch.stack([getattr(self, field.name) for field in fields(self)], dim=1).tolist()


def _touched(low: float, high: float, count: int, pixel_size: float) -> tuple[int, int]:
    """Range of the `count` centered pixels that the interval [low, high] touches."""
    start = math.floor(low / pixel_size + count / 2)
    stop = math.ceil(high / pixel_size + count / 2)
    return min(max(start, 0), count), min(max(stop, 0), count)


def _ellipses(rows: Sequence[Sequence[float]], half_width: float) -> Ellipses:
    """Build a phantom from rows (value, x, y, a, b, rotation) in the field [-1, 1]^2."""
    if not (half_width > 0 and math.isfinite(half_width)):
        raise ParameterError(f"The half width of a phantom's field is a positive length; got {half_width}.")
    return Ellipses(*torch.tensor(rows, dtype=torch.float64).T).scaled(length=half_width)


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
        Half the side of the square field that the head stands in, in length units.
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
    dense grains, hollow shells, sponges with tiny pores, and grains cut by bars of falling width.
    No value is negative and the largest is 1.

    Parameters
    ----------
    seed : int
        Chooses the object; the same seed gives the same object.
    half_width : float
        Half the side of the square field that the tube stands in, in length units.
    """
    random = torch.Generator().manual_seed(seed)
    matrix = 0.5
    rows = [_disc(0.6, 0, 0, 0.92), _disc(-0.6, 0, 0, 0.88), _disc(matrix, 0, 0, 0.84)]
    sizes = torch.tensor([0.15] * 3 + [0.11] * 6 + [0.075] * 10 + [0.045] * 18 + [0.025] * 36 + [0.011] * 60)
    sizes = sizes * (0.85 + 0.3 * torch.rand(len(sizes), generator=random))
    centers = _pack(sizes.tolist(), 0.82, gap=0.008, random=random)
    for index, (x, y, radius) in enumerate(centers):
        kind = index % 4
        if radius > 0.06 and kind == 0:  # a sponge: tiny pores, down to nothing, in a dense grain
            rows.append(_disc(0.3, x, y, radius))
            pores = _pack([radius * f for f in [0.2] * 8 + [0.1] * 30], 0.9 * radius, 0.03 * radius, random)
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


def _pack(
    radii: Sequence[float], within: float, gap: float, random: torch.Generator
) -> list[tuple[float, float, float]]:
    """Throw discs into a disc of radius `within` so that none overlap; drop those that find no place."""
    placed = torch.empty(0, 3, dtype=torch.float64)
    for radius in radii:
        reach = (within - radius) * torch.rand(200, 1, generator=random, dtype=torch.float64).sqrt()
        turn = 2 * math.pi * torch.rand(200, 1, generator=random, dtype=torch.float64)
        tries = torch.cat((reach * turn.cos(), reach * turn.sin()), dim=1)
        free = (torch.cdist(tries, placed[:, :2]) >= placed[:, 2] + radius + gap).all(dim=1).nonzero()
        if len(free):
            disc = torch.cat((tries[free[0, 0]], torch.tensor([radius], dtype=torch.float64)))
            placed = torch.cat((placed, disc[None]))
    return [(x, y, radius) for x, y, radius in placed.tolist()]
