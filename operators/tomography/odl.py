"""Geometries of ODL in our parameters.

ODL indexes images ``[x, y]`` and volumes ``[x, y, z]``, all axes growing, and projections of a cone beam
``[view, u, v]`` with u along the detector's row. Ours are ``[row, column]`` with row 0 at the top, volumes a
stack of those along z, and projections ``[view, v, u]``. So, with NumPy::

    image = theirs.T[::-1]        volume = theirs.transpose(2, 1, 0)[:, ::-1]
    sinogram = theirs             projections = theirs.swapaxes(1, 2)

What a geometry means is not read from its parameters alone: the positions of source and detector that ODL
gives are compared with ours, view by view.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from invgen.core.errors import CapabilityError, DtypeError
from invgen.operators.odl import import_odl

__all__ = ["cone_parameters", "fan_parameters", "parallel_parameters"]

#: Largest difference of positions, relative to the size of the whole.
_TOLERANCE = 1e-9


def parallel_parameters(geometry: Any, domain: Any) -> dict[str, Any]:
    """Parameters of `Radon` for a ``Parallel2dGeometry`` and an image space."""
    _check_type("Radon", geometry, "Parallel2dGeometry")
    shape, pixel_size = _grid("Radon", domain, 2)
    (count,), (spacing,) = _detector("Radon", geometry)
    # det_axis_init turns all views alike
    axis = geometry.det_axis(geometry.angles[0])
    angles = _turned(geometry.angles, np.arctan2(axis[1], axis[0]))
    u, w = _axes(angles)
    points = _points(geometry, geometry.det_grid.coord_vectors)
    s = (points * u[:, None]).sum(-1)
    offset = _middle(s[0])
    ours = np.broadcast_to(_bins(count, spacing, offset), s.shape)
    _check_same("Radon", "a bin", s[..., None], ours[..., None], np.abs(ours).max())
    rays = geometry.det_to_src(geometry.angles, np.full(len(angles), geometry.det_grid.mid_pt))
    rays = rays * np.sign((rays * w).sum(-1, keepdims=True))
    _check_same("Radon", "the direction of rays", rays[:, None], w[:, None], 1.0)
    return {
        "image_shape": shape,
        "angles": angles,
        "detector_count": count,
        "detector_spacing": spacing,
        "detector_offset": offset,
        "pixel_size": pixel_size,
    }


def fan_parameters(geometry: Any, domain: Any) -> dict[str, Any]:
    """Parameters of `FanBeam` for a ``FanBeamGeometry`` and an image space."""
    _check_type("FanBeam", geometry, "FanBeamGeometry")
    shape, pixel_size = _grid("FanBeam", domain, 2)
    (count,), (spacing,) = _detector("FanBeam", geometry)
    angles, origin, distance, source = _source("FanBeam", geometry)
    (coordinates,) = geometry.det_grid.coord_vectors
    curved = geometry.det_curvature_radius is not None
    if curved:  # ODL counts angles there, we lengths of arc
        spacing, coordinates = spacing * distance, coordinates * distance
    offset = _middle(coordinates)
    bins = _bins(count, spacing, offset)
    u, w = _axes(angles)
    across, along = bins, np.full(count, distance)
    if curved:
        across, along = distance * np.sin(bins / distance), distance * np.cos(bins / distance)
    ours = source[:, None] + across[:, None] * u[:, None] + along[:, None] * w[:, None]
    _check_same("FanBeam", "a bin", _points(geometry, geometry.det_grid.coord_vectors), ours, distance)
    return {
        "image_shape": shape,
        "angles": angles,
        "source_origin": origin,
        "source_detector": distance,
        "detector_count": count,
        "detector_spacing": spacing,
        "detector_offset": offset,
        "curved": curved,
        "pixel_size": pixel_size,
    }


def cone_parameters(geometry: Any, domain: Any) -> dict[str, Any]:
    """Parameters of `ConeBeam` for a ``ConeBeamGeometry`` and a space of volumes."""
    _check_type("ConeBeam", geometry, "ConeBeamGeometry")
    shape, voxel_size = _grid("ConeBeam", domain, 3)
    counts, spacings = _detector("ConeBeam", geometry)
    angles, origin, distance, source = _source("ConeBeam", geometry)
    coordinates = geometry.det_grid.coord_vectors
    offsets = [_middle(c) for c in coordinates]
    # corners, edges and middle: a detector that is curved or turned shows there
    some = [sorted({0, n // 2, n - 1}) for n in counts]
    theirs = _points(geometry, [c[i] for c, i in zip(coordinates, some, strict=True)])
    across, up = (
        _bins(n, spacing, offset)[i]
        for n, spacing, offset, i in zip(counts, spacings, offsets, some, strict=True)
    )
    u, w = (axis[:, None, None] for axis in _axes(angles, 3))
    ours = source[:, None, None] + distance * w + across[:, None, None] * u + up[:, None] * np.eye(3)[2]
    theirs, ours = (points.reshape(len(angles), -1, 3) for points in (theirs, ours))
    _check_same("ConeBeam", "a bin", theirs, ours, distance)
    return {
        "volume_shape": shape,
        "angles": angles,
        "source_origin": origin,
        "source_detector": distance,
        "detector_shape": counts[::-1],
        "detector_spacing": spacings[::-1],
        "detector_offset": tuple(offsets[::-1]),
        "voxel_size": voxel_size,
    }


def _check_type(who: str, geometry: Any, name: str) -> None:
    if not isinstance(geometry, getattr(import_odl().applications.tomo, name)):
        raise DtypeError(f"{who}.from_odl expects ODL's {name}; got {type(geometry).__name__}.")


def _grid(who: str, domain: Any, ndim: int) -> tuple[tuple[int, ...], float]:
    """Our shape, and the size of a pixel, of a space of images around the origin."""
    if not isinstance(domain, import_odl().DiscretizedSpace):
        raise DtypeError(
            f"{who}.from_odl expects odl.uniform_discr as the domain; got {type(domain).__name__}."
        )
    if domain.ndim != ndim or not domain.is_real or not domain.partition.is_uniform:
        raise CapabilityError(f"{who}.from_odl expects a uniform real domain of {ndim} axes; got {domain!r}.")
    sides, middle = domain.cell_sides, np.array([c.mean() for c in domain.grid.coord_vectors])
    if np.ptp(sides) > _TOLERANCE * sides.max():
        raise CapabilityError(
            f"{who}.from_odl expects pixels with equal sides; got {tuple(map(float, sides))}."
        )
    if np.abs(middle).max() > _TOLERANCE * np.abs(domain.max_pt - domain.min_pt).max():
        raise CapabilityError(
            f"{who}.from_odl expects the domain around the rotation axis, the origin; its middle is "
            f"at {tuple(map(float, middle))}. Move domain and geometry."
        )
    return tuple(map(int, domain.shape[::-1])), float(sides.mean())


def _detector(who: str, geometry: Any) -> tuple[tuple[int, ...], tuple[float, ...]]:
    partition = geometry.det_partition
    if not partition.is_uniform:
        raise CapabilityError(
            f"{who}.from_odl expects bins of one size; the detector's partition has several."
        )
    return tuple(map(int, partition.shape)), tuple(map(float, partition.cell_sides))


def _source(who: str, geometry: Any) -> tuple[np.ndarray, float, float, np.ndarray]:
    """View angles, distances from the source to origin and detector, and positions of the source."""
    theirs = geometry.src_position(geometry.angles)
    origin, distance = float(geometry.src_radius), float(geometry.src_radius + geometry.det_radius)
    angles = _turned(geometry.angles, np.arctan2(theirs[0, 0], -theirs[0, 1]))
    ours = -origin * _axes(angles, theirs.shape[1])[1]
    _check_same(who, "the source", theirs[:, None], ours[:, None], distance)
    return angles, origin, distance, ours


def _turned(angles: np.ndarray, first: float) -> np.ndarray:
    """ODL's angles, turned so that the first is where it lies in our convention."""
    turn = (first - angles[0] + np.pi) % (2 * np.pi) - np.pi
    return angles + (turn if abs(turn) > _TOLERANCE else 0.0)


def _axes(angles: np.ndarray, ndim: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the detector's row and of the central ray, (views, ndim) each."""
    cos, sin, zeros = np.cos(angles), np.sin(angles), np.zeros_like(angles)
    return np.stack([cos, sin, zeros][:ndim], -1), np.stack([-sin, cos, zeros][:ndim], -1)


def _bins(count: int, spacing: float, offset: float) -> np.ndarray:
    return (np.arange(count) - (count - 1) / 2) * spacing + offset


def _middle(coordinates: np.ndarray) -> float:
    """Mean, and zero where it is but for rounding."""
    middle = float(coordinates.mean())
    return middle if abs(middle) > _TOLERANCE * np.abs(coordinates).max() else 0.0


def _points(geometry: Any, coordinates: Any) -> np.ndarray:
    """Positions of bins in each view, (views, *bins, axes)."""
    mesh = np.meshgrid(geometry.angles, *coordinates, indexing="ij")
    return geometry.det_point_position(mesh[0], mesh[1] if len(mesh) == 2 else mesh[1:])


def _check_same(who: str, what: str, theirs: np.ndarray, ours: np.ndarray, size: float) -> None:
    """Compare positions (views, points, axes)."""
    distance = np.linalg.norm(theirs - ours, axis=-1)
    if not distance.max() <= _TOLERANCE * size:
        view, point = np.unravel_index(distance.argmax(), distance.shape)
        there, here = (tuple(np.round(p[view, point], 6).tolist()) for p in (theirs, ours))
        raise CapabilityError(
            f"{who}.from_odl expects a circular scan that is not mirrored, tilted or shifted; at view {view} "
            f"ODL's geometry has {what} at {there}, {who} at {here}. Use from_odl(RayTransform(domain, "
            "geometry)), which takes any."
        )
