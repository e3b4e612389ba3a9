"""Geometries of ODL: our projections are those of its ray transforms, and points project to where it says."""

import numpy as np
import pytest
import torch

from invgen.core.errors import CapabilityError, DtypeError
from invgen.operators import ConeBeam, FanBeam, Radon, from_odl
from invgen.operators.odl import import_odl
from invgen.phantoms import Ellipses

odl = import_odl()
tomo = odl.applications.tomo


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relative(a, b):
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))


APART = odl.uniform_partition(0.2, 3.5, 11)


def image_space(**parameters):
    return odl.uniform_discr([-4, -3], [4, 3], (32, 24), dtype="float32", **parameters)


def image():
    """Different from all of its mirror images and turns."""
    shapes = Ellipses(
        [1, 0.5, -0.3], [0.7, -1.8, 1.1], [0.6, -0.6, 1.2], [0.9, 0.6, 0.4], [1.3, 0.5, 0.5], [0.4, 0, 1]
    )
    return shapes.image((24, 32), 0.25).float()


def theirs(image):
    """An image or volume as ODL indexes it: x first, y upwards."""
    return image.flip(-2).permute(*range(image.ndim)[::-1]).contiguous()


def test_radon_is_the_ray_transform_of_odl():
    pytest.importorskip("astra")
    geometry = tomo.Parallel2dGeometry(APART, odl.uniform_partition(-5.5, 5.5, 60))
    transform = from_odl(tomo.RayTransform(image_space(), geometry, impl="astra_cpu"))
    expected = transform(theirs(image()))
    for method, bound in (("joseph", 1e-5), ("fourier", 0.05)):
        A = Radon.from_odl(geometry, image_space(), method=method)
        assert relative(A(image()), expected) < bound
    y = normal(11, 60, dtype=torch.float32)
    assert (
        relative(theirs(Radon.from_odl(geometry, image_space(), method="joseph").H(y)), transform.H(y)) < 1e-5
    )


@pytest.mark.parametrize(
    "parameters",
    [{}, {"det_axis_init": (-1, 0)}, {"det_pos_init": (1, 0)}, {"det_axis_init": (0.8, 0.6)}],
    ids=["plain", "mirrored", "turned", "turned by a little"],
)
def test_points_project_to_where_odl_says(parameters):
    """With an offset, which ODL's ASTRA backend for the CPU leaves out, but its geometry has."""
    geometry = tomo.Parallel2dGeometry(APART, odl.uniform_partition(-5, 7, 60), **parameters)
    A = Radon.from_odl(geometry, image_space(), fov="image", method="joseph")
    x = torch.zeros(24, 32, dtype=torch.float64)
    row, column = 4, 21
    x[row, column] = 1
    point = np.array([(column - 15.5) * 0.25, (11.5 - row) * 0.25])
    y = A(x)
    measured = (y * torch.arange(60)).sum(1) / y.sum(1)
    bins = geometry.det_grid.coord_vectors[0]
    for angle, place in zip(geometry.angles, measured, strict=True):
        s = geometry.det_point_position(np.full(60, angle), bins) @ geometry.det_axis(angle)
        assert np.interp(point @ geometry.det_axis(angle), s, np.arange(60)) == pytest.approx(
            float(place), abs=0.1
        )


@pytest.mark.parametrize(
    ("geometry", "space", "words"),
    [
        (
            lambda: tomo.Parallel2dGeometry(APART, odl.uniform_partition(-5, 5, 9), translation=(1, 0)),
            None,
            "shifted",
        ),
        (lambda: tomo.Parallel2dGeometry(APART, odl.nonuniform_partition([0, 1, 3.0])), None, "bins"),
        (None, lambda: odl.uniform_discr([-4, -3], [4, 3], (32, 20)), "sides"),
        (None, lambda: odl.uniform_discr([0, 0], [4, 3], (32, 24)), "axis"),
        (None, lambda: odl.uniform_discr([-4, -3], [4, 3], (32, 24), dtype=complex), "real"),
        (None, lambda: odl.uniform_discr([-1] * 3, [0.4, 0.6, 0.7], (2, 3, 4)), "2 axes"),
    ],
)
def test_parallel_geometries_that_do_not_fit_are_refused(geometry, space, words):
    geometry = geometry() if geometry else tomo.Parallel2dGeometry(APART, odl.uniform_partition(-5, 5, 9))
    with pytest.raises(CapabilityError, match=words):
        Radon.from_odl(geometry, space() if space else image_space())


def test_other_objects_than_geometries_and_spaces_are_refused():
    geometry = tomo.Parallel2dGeometry(APART, odl.uniform_partition(-5, 5, 9))
    with pytest.raises(DtypeError, match="Parallel2dGeometry"):
        Radon.from_odl(tomo.FanBeamGeometry(APART, odl.uniform_partition(-5, 5, 9), 9, 9), image_space())
    with pytest.raises(DtypeError, match="uniform_discr"):
        Radon.from_odl(geometry, odl.rn((32, 24)))


# geometries with a source

CIRCLE = odl.uniform_partition(0.3, 0.3 + 2 * np.pi, 13)
ROW = odl.uniform_partition(-9, 11, 80)
PANEL = odl.uniform_partition([-9, -7], [11, 8], (80, 50))
ARC = odl.uniform_partition(-0.4, 0.45, 70)


def fan(row=ROW, **parameters):
    return tomo.FanBeamGeometry(CIRCLE, row, 15, 7, **parameters)


def cone(panel=PANEL, **parameters):
    return tomo.ConeBeamGeometry(CIRCLE, panel, 15, 7, **parameters)


def volume_space(**parameters):
    return odl.uniform_discr([-4, -3, -2], [4, 3, 2], (32, 24, 16), dtype="float32", **parameters)


def test_fan_beam_is_the_ray_transform_of_odl():
    """ASTRA's weights are lengths within pixels, ours linear interpolation."""
    pytest.importorskip("astra")
    transform = from_odl(tomo.RayTransform(image_space(), fan(), impl="astra_cpu"))
    y, expected = FanBeam.from_odl(fan(), image_space())(image()), transform(theirs(image()))
    assert relative(y, expected) < 0.05
    assert relative(y.roll(1, -1), expected) > 0.15  # a bin aside


@pytest.mark.parametrize("turn", [{}, {"src_to_det_init": (1, 0)}], ids=["plain", "turned"])
@pytest.mark.parametrize("curved", [False, True])
def test_points_project_through_a_fan_to_where_odl_says(curved, turn):
    geometry = fan(ARC, det_curvature_radius=22, **turn) if curved else fan(**turn)
    A = FanBeam.from_odl(geometry, image_space(), fov="image")
    x = torch.zeros(24, 32, dtype=torch.float64)
    x[4, 21] = 1
    point = np.array([(21 - 15.5) * 0.25, (11.5 - 4) * 0.25])
    y = A(x)
    bins = geometry.det_grid.coord_vectors[0]
    measured = (y * torch.arange(len(bins))).sum(1) / y.sum(1)

    def direction(rays, source):
        """Angle to the ray from the source through the origin."""
        return np.arctan2(rays @ np.array([-source[1], source[0]]), -rays @ source)

    for angle, place in zip(geometry.angles, measured, strict=True):
        source = geometry.src_position(angle)
        rays = geometry.det_point_position(np.full(len(bins), angle), bins) - source
        expected = np.interp(direction(point - source, source), direction(rays, source), np.arange(len(bins)))
        assert expected == pytest.approx(float(place), abs=0.1)


@pytest.mark.parametrize("turn", [{}, {"src_to_det_init": (0.6, 0.8, 0)}], ids=["plain", "turned"])
def test_points_project_through_a_cone_to_where_odl_says(turn):
    if turn:
        turn["det_axes_init"] = [(0.8, -0.6, 0), (0, 0, 1)]
    geometry = cone(**turn)
    A = ConeBeam.from_odl(geometry, volume_space(), fov="image")
    x = torch.zeros(16, 24, 32, dtype=torch.float64)
    x[12, 4, 21] = 1
    point = np.array([(21 - 15.5) * 0.25, (11.5 - 4) * 0.25, (12 - 7.5) * 0.25])
    y = A(x)
    rows = (y.sum(2) * torch.arange(50)).sum(1) / y.sum((1, 2))
    columns = (y.sum(1) * torch.arange(80)).sum(1) / y.sum((1, 2))
    u, v = geometry.det_grid.coord_vectors
    for angle, row, column in zip(geometry.angles, rows, columns, strict=True):
        source = geometry.src_position(angle)
        corner, right, up = (
            geometry.det_point_position(angle, p) for p in ([u[0], v[0]], [u[1], v[0]], [u[0], v[1]])
        )
        # source + a (point - source) = corner + column (right - corner) + row (up - corner)
        sides = np.stack([point - source, corner - right, corner - up], axis=1)
        _, expected_column, expected_row = np.linalg.solve(sides, corner - source)
        assert expected_column == pytest.approx(float(column), abs=0.1)
        assert expected_row == pytest.approx(float(row), abs=0.1)


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        (lambda: fan(det_axis_init=(-1, 0)), "mirrored"),
        (lambda: fan(translation=(0, 1)), "source"),
        (lambda: fan(ARC, det_curvature_radius=10), "bin"),
        (
            lambda: fan(src_shift_func=lambda angle: np.array([0.1, 0]) * np.ones((np.size(angle), 1))),
            "source",
        ),
    ],
    ids=["mirrored", "shifted", "curved around another point", "wobbling source"],
)
def test_fans_that_do_not_fit_are_refused(geometry, words):
    with pytest.raises(CapabilityError, match=words):
        FanBeam.from_odl(geometry(), image_space())


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        (lambda: cone(pitch=1.0), "source"),
        (lambda: cone(offset_along_axis=1), "source"),
        (lambda: cone(axis=(0, 1, 0)), "source"),
        (lambda: cone(det_axes_init=[(1, 0, 0), (0, 0, -1)]), "bin"),
        (lambda: cone(det_axes_init=[(1, 0, 0), (0, 0.6, 0.8)]), "bin"),
        (
            lambda: cone(
                odl.uniform_partition([-0.3, -7], [0.3, 7], (80, 50)), det_curvature_radius=[22, None]
            ),
            "bin",
        ),
    ],
    ids=["helical", "raised", "another axis", "upside down", "tilted", "curved"],
)
def test_cones_that_do_not_fit_are_refused(geometry, words):
    with pytest.raises(CapabilityError, match=words):
        ConeBeam.from_odl(geometry(), volume_space())
