"""Random objects, from which a prior of scanned objects can be learned without a scanner."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from invgen.phantoms.blobs import Blobs
from invgen.phantoms.ellipses import Ellipses
from invgen.phantoms.objects import check_size, pack
from invgen.phantoms.polygons import Polygons

__all__ = ["Assembly", "random"]


@dataclass(frozen=True, eq=False)
class Assembly:
    """A sum of phantoms of different shapes.

    Parameters
    ----------
    parts : sequence of Ellipses, Polygons and Blobs
    """

    parts: tuple[Ellipses | Polygons | Blobs, ...]

    @property
    def radius(self) -> float:
        """Radius of a disc around the origin that holds every part."""
        return max((part.radius for part in self.parts), default=0.0)

    def scaled(self, *, length: float = 1.0, value: float = 1.0) -> Assembly:
        """Return the phantom with all lengths and all values multiplied by the given factors."""
        return Assembly(tuple(part.scaled(length=length, value=value) for part in self.parts))

    def image(self, shape: tuple[int, int], pixel_size: float, supersample: int = 8) -> Tensor:
        """Draw the phantom, each pixel the mean over its box; see `Ellipses.image`."""
        return torch.stack([part.image(shape, pixel_size, supersample) for part in self.parts]).sum(0)

    def sinogram(
        self,
        angles: Tensor | Sequence[float],
        detector_count: int,
        detector_spacing: float = 1.0,
        detector_offset: float = 0.0,
        bin_average: bool = True,
    ) -> Tensor:
        """Project the phantom along parallel rays, in closed form; see `Ellipses.sinogram`."""
        detector = (detector_count, detector_spacing, detector_offset, bin_average)
        return torch.stack([part.sinogram(angles, *detector) for part in self.parts]).sum(0)


def random(seed: int, half_width: float = 1.0) -> Assembly:
    """Build a random object: a body of one material or none, and what is in it.

    Bodies are ellipses or polygons, some in a shell and some with a texture; in them lie, without contact,
    ellipses, polygons, discs with a hole or many, textured discs, and voids, of sizes from a third to a
    fiftieth of the field and of contrasts from strong to faint. Texture is made of soft grains, so that all
    of it has exact projections. Values lie in [0, 1].

    Parameters
    ----------
    seed : int
        Determines the object.
    half_width : float
        Half the side of the square field, in length units. The object lies in the disc that touches the
        field's sides.
    """
    check_size(half_width=half_width)
    return _Maker(seed).made().scaled(length=half_width)


class _Maker:
    """Assembles an object in the field [-1, 1]^2; corners are those of convex polygons."""

    def __init__(self, seed: int) -> None:
        self.many, self.one = torch.Generator().manual_seed(seed), Random(seed)
        self.ellipses: list[tuple[float, ...]] = []
        self.polygons: list[tuple[float, Tensor]] = []
        self.grains: list[tuple[float, ...]] = []

    def made(self) -> Assembly:
        inside, matrix, amplitude = self.body()
        count, largest = self.whole(3, 40), self.between(0.1, 0.45)
        sizes = largest * torch.tensor([self.between(0, 1) ** 2 for _ in range(count)]).clamp(min=0.06)
        for x, y, radius in pack(sizes.sort(descending=True).values.tolist(), 0.008, self.places(inside)):
            self.inclusion(x, y, radius, matrix, amplitude)
        values, corners = [value for value, _ in self.polygons], tuple(p for _, p in self.polygons)
        rows = [
            torch.tensor(rows, dtype=torch.float64).reshape(-1, width).T
            for rows, width in ((self.ellipses, 6), (self.grains, 4))
        ]
        return Assembly(
            (
                Ellipses(*rows[0]),
                Polygons(torch.tensor(values, dtype=torch.float64), corners),
                Blobs(*rows[1]),
            )
        )

    def body(self) -> tuple[Tensor, float, float]:
        """Corners around the region to fill, the value of the material there, and its texture's amplitude."""
        turn, x, y = self.between(0, math.pi), self.between(-0.08, 0.08), self.between(-0.08, 0.08)
        a, b = self.between(0.5, 0.85), self.between(0.5, 0.85)
        kind = self.between(0, 1)
        if kind < 0.15:
            return _ring(x, y, 0.85, 0.85, 0.0), 0.0, 0.0
        matrix = self.between(0.15, 0.7)
        shell = self.between(0.85, 0.97) if self.between(0, 1) < 0.35 else None
        if kind < 0.65:
            outline = _ring(x, y, a, b, turn)

            def fill(value: float, size: float) -> None:
                self.ellipses.append((value, x, y, size * a, size * b, turn))

        else:
            outline = self.corners(x, y, a, b, self.whole(4, 9))

            def fill(value: float, size: float) -> None:
                self.polygons.append((value, size * outline + (1 - size) * outline.mean(0)))

        if shell is not None:
            wall = self.between(0.1, 1.0)
            fill(wall, 1.0)
            fill(matrix - wall, shell)
            outline = shell * outline + (1 - shell) * outline.mean(0)
        else:
            fill(matrix, 1.0)
        amplitude = 0.0
        if self.between(0, 1) < 0.35:
            amplitude = self.between(0.02, 0.12)
            self.texture(outline, amplitude)
        return outline, matrix, amplitude

    def inclusion(self, x: float, y: float, radius: float, matrix: float, amplitude: float) -> None:
        """Add something within a disc of the given radius; the texture there has the given amplitude."""
        faint = matrix > 0 and self.between(0, 1) < 0.4
        value = matrix + self.between(-0.15, 0.15) if faint else self.between(0, 1)
        value = min(max(value, amplitude), 1 - amplitude)
        step, kind = value - matrix, self.whole(0, 5)
        if kind == 0:
            flat = radius * self.between(0.25, 1)
            self.ellipses.append((step, x, y, radius, flat, self.between(0, math.pi)))
        elif kind == 1 or radius < 0.04:
            self.disc(step, x, y, radius)
        elif kind == 2:
            flat = radius * self.between(0.4, 1)
            self.polygons.append((step, self.corners(x, y, radius, flat, self.whole(3, 6))))
        elif kind == 3:  # with a hole, of the material around it or empty
            self.disc(step, x, y, radius)
            hole = matrix if self.between(0, 1) < 0.5 else amplitude
            self.disc(hole - value, x, y, radius * self.between(0.3, 0.85))
        elif kind == 4:  # with many holes
            self.disc(step, x, y, radius)
            sizes = [radius * self.between(0.06, 0.25) for _ in range(20)]
            for u, v, size in pack(sizes, 0.03 * radius, self.places(_ring(x, y, radius, radius, 0.0))):
                self.disc(amplitude - value, u, v, size)
        else:
            self.disc(step, x, y, radius)
            margin = min(value, 1 - value) - amplitude
            self.texture(_ring(x, y, radius, radius, 0.0), min(margin, self.between(0.03, 0.3)))

    def texture(self, outline: Tensor, amplitude: float) -> None:
        """Add soft grains within a convex outline, whose sum is within plus or minus `amplitude`."""
        low, high = outline.min(0).values, outline.max(0).values
        grain = max(0.025, float((high - low).min()) * self.between(0.03, 0.12))
        turn = self.between(0, math.pi)
        reach = int(float((high - low).norm()) / 2 / grain) + 1
        steps = torch.arange(-reach, reach + 1, dtype=torch.float64) * grain
        u, v = (g.flatten() for g in torch.meshgrid(steps, steps, indexing="ij"))
        lattice = torch.stack(
            (u * math.cos(turn) - v * math.sin(turn), u * math.sin(turn) + v * math.cos(turn))
        )
        centers = (low + high) / 2 + lattice.T
        centers = centers[_depth(outline, centers) >= grain]
        # on a square lattice as wide as the grains' radius, equal grains add up to 9/8 between two of them
        values = 8 / 9 * amplitude * (2 * torch.rand(len(centers), generator=self.many) - 1)
        self.grains += [(a, x, y, grain) for a, (x, y) in zip(values.tolist(), centers.tolist(), strict=True)]

    def disc(self, value: float, x: float, y: float, radius: float) -> None:
        self.ellipses.append((value, x, y, radius, radius, 0.0))

    def corners(self, x: float, y: float, a: float, b: float, count: int) -> Tensor:
        """A convex polygon with its corners on an ellipse, not too close to each other."""
        gaps = 0.5 + torch.rand(count, generator=self.many, dtype=torch.float64)
        places = 2 * math.pi * gaps.cumsum(0) / gaps.sum()
        return _on_ellipse(places, x, y, a, b, self.between(0, math.pi))

    def places(self, outline: Tensor) -> Callable[[float], Tensor]:
        """Candidate places for a disc of a given radius in a convex outline."""
        low, high = outline.min(0).values, outline.max(0).values

        def throw(radius: float) -> Tensor:
            tries = low + (high - low) * torch.rand(120, 2, generator=self.many, dtype=torch.float64)
            return tries[_depth(outline, tries) >= radius + 0.005]

        return throw

    def between(self, low: float, high: float) -> float:
        return self.one.uniform(low, high)

    def whole(self, low: int, high: int) -> int:
        """One of the integers from low to high."""
        return self.one.randint(low, high)


def _ring(x: float, y: float, a: float, b: float, rotation: float) -> Tensor:
    """Corners of a polygon that nearly fills an ellipse."""
    return _on_ellipse(torch.arange(48, dtype=torch.float64) * (math.pi / 24), x, y, a, b, rotation)


def _on_ellipse(places: Tensor, x: float, y: float, a: float, b: float, rotation: float) -> Tensor:
    u, v, c, s = a * places.cos(), b * places.sin(), math.cos(rotation), math.sin(rotation)
    return torch.stack((x + u * c - v * s, y + u * s + v * c), dim=1)


def _depth(outline: Tensor, points: Tensor) -> Tensor:
    """Distance of points from the sides of a convex, counterclockwise polygon; negative outside."""
    sides = outline.roll(-1, 0) - outline
    inward = torch.stack((-sides[:, 1], sides[:, 0]), dim=1) / sides.norm(dim=1, keepdim=True)
    return (points @ inward.T - (outline * inward).sum(1)).min(1).values
