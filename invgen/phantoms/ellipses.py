"""Sums of uniform ellipses: their exact images, Fourier transforms, and projections along rays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from invgen.phantoms.shapes import BLOCK, Shapes, bin_places, check_source, draw, view_angles, window

__all__ = ["Ellipses"]


@dataclass(frozen=True, eq=False)
class Ellipses(Shapes):
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
        its length in each pixel, are exact; only the integral over y is a (midpoint) sum.

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
        # In space, an ellipse is a cylinder without end.
        solids = [(value, x, y, 0.0, a, b, math.inf, r) for value, x, y, a, b, r in self._rows()]
        return draw(solids, (1, *shape), pixel_size, (1, supersample))[0]

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
        t = view_angles(angles)[:, None]
        s = bin_places(detector_count, detector_spacing, detector_offset)
        if bin_average:
            s = torch.cat((s, s[-1:] + detector_spacing)) - detector_spacing / 2  # the bins' edges
        total = torch.zeros(len(t), len(s), dtype=torch.float64)
        for value, *ellipse in self._rows():
            u, half, area = _cross(t.cos(), t.sin(), s, *ellipse)
            root = (1 - u * u).sqrt_()
            total += value * area * (u * root + u.asin() if bin_average else 2 * root / half)
        return total.diff(dim=1) / detector_spacing if bin_average else total

    def fan_sinogram(
        self,
        angles: Tensor | Sequence[float],
        source_origin: float,
        source_detector: float,
        detector_count: int,
        detector_spacing: float,
        detector_offset: float = 0.0,
        curved: bool = False,
        subrays: int = 8,
    ) -> Tensor:
        r"""Project the phantom along the rays of a fan, the chord of each ray in closed form.

        At view angle t the detector's axis is ``e_u = (cos t, sin t)``; the source is at
        ``-source_origin * e_w`` with ``e_w = (-sin t, cos t)``, the direction of the fan's central ray. The
        ray at fan angle g, in direction ``sin(g) e_u + cos(g) e_w``, is the parallel-beam ray of angle
        ``t - g`` and distance ``s = source_origin * sin(g)`` (Kak and Slaney 1988, section 3.4), whose chord
        is that of `sinogram`.

        Parameters
        ----------
        angles : Tensor or sequence of float, shape (views,)
            Angles t, in radians.
        source_origin, source_detector : float
            Distances from the source to the rotation axis and to the detector. The source is outside of the
            phantom.
        detector_count : int
            Number of bins n.
        detector_spacing, detector_offset : float
            Bin d is centered at ``u = (d - (n - 1) / 2) * spacing + offset``, in length units on the detector
            itself.
        curved : bool
            The detector is an arc around the source, u its length: ``g = u / source_detector``; otherwise
            it is straight, ``g = arctan(u / source_detector)``.
        subrays : int
            Number of rays at equal distances in a bin, of which it is the mean; 1 is the ray through its
            center. With 8, the projections of `foam` on 512 bins are within 1e-4 (relative l2) of those with
            many rays; with 1, within 3e-3.

        Returns
        -------
        Tensor, float64, shape (views, detector_count)
            Line integrals, in value times length.

        Raises
        ------
        ParameterError, ShapeError
            If the detector or a distance makes no sense, or the angles are no vector.
        """
        t = view_angles(angles)
        place = bin_places(detector_count, detector_spacing, detector_offset, subrays) / source_detector
        check_source(source_origin, source_detector, self.radius)
        fan = place if curved else place.atan()
        total = torch.zeros(len(t), detector_count, dtype=torch.float64)
        views = max(1, BLOCK // len(fan))
        for part, sums in zip(t.split(views), total.split(views), strict=True):
            cos, sin = part.cos(), part.sin()
            for value, x, y, a, b, rotation in self._rows():
                # Only the rays that can meet the disc around the ellipse are computed.
                side, depth = x * cos + y * sin, source_origin + y * cos - x * sin
                toward, half = torch.atan2(side, depth), (max(a, b) / torch.hypot(side, depth)).asin()
                bins, rays = window(fan, toward - half, toward + half, subrays)
                angle = part[:, None] - fan[rays]
                s = source_origin * fan[rays].sin()
                u, width, area = _cross(angle.cos(), angle.sin(), s, x, y, a, b, rotation)
                chord = (1 - u * u).sqrt_().div_(width).reshape(*bins.shape, subrays).mean(2)
                sums.scatter_add_(1, bins, 2 * value * area * chord)
        return total

    def kspace(self, kx: Tensor | float, ky: Tensor | float) -> Tensor:
        r"""Evaluate the Fourier transform of the phantom at any frequencies, in closed form.

        ``integral of f(x, y) exp(-2 pi i (kx x + ky y)) dx dy``. That of an ellipse is the disc's, stretched
        and turned: ``value a b J1(2 pi q) / q`` with ``q = hypot(a k_a, b k_b)`` for the frequencies along
        the ellipse's own axes, times the phase of its center (Van de Walle et al. 2000; Guerquin-Kern et al.
        2012).

        Parameters
        ----------
        kx, ky : Tensor
            Frequencies in cycles per length unit, x to the right and y up, that broadcast to one shape: a row
            and a column make a grid, which needs fewer phases than its points one by one.

        Returns
        -------
        Tensor, complex128
            In value times area.

        References
        ----------
        Van de Walle et al. (2000), Reconstruction of MR images from data acquired on a general nonregular
        grid by pseudoinverse calculation; Guerquin-Kern et al. (2012), Realistic analytical phantoms for
        parallel magnetic resonance imaging.
        """
        from scipy.special import j1  # torch's is accurate to 5e-7 only

        kx, ky = (torch.as_tensor(k, dtype=torch.float64) for k in (kx, ky))
        total = torch.zeros(torch.broadcast_shapes(kx.shape, ky.shape), dtype=torch.complex128)
        for value, x, y, a, b, rotation in self._rows():
            cos, sin = math.cos(rotation), math.sin(rotation)
            q = torch.hypot(a * (kx * cos + ky * sin), b * (ky * cos - kx * sin)).clamp_min_(1e-30)
            jinc = torch.as_tensor(j1((2 * math.pi * q).numpy())) / q
            one = torch.ones((), dtype=torch.float64)
            phase_x, phase_y = (torch.polar(one, -2 * math.pi * k * c) for k, c in ((kx, x), (ky, y)))
            total += (value * a * b) * jinc * (phase_x * phase_y)
        return total


def _cross(
    cos: Tensor, sin: Tensor, s: Tensor, x: float, y: float, a: float, b: float, rotation: float
) -> tuple[Tensor, Tensor, float]:
    """Where lines ``s = x cos t + y sin t`` cross an ellipse: u in [-1, 1], half width of its shadow, a b."""
    c, d = math.cos(rotation), math.sin(rotation)
    half = torch.hypot(a * (cos * c + sin * d), b * (sin * c - cos * d))
    return ((s - x * cos - y * sin) / half).clamp_(-1, 1), half, a * b
