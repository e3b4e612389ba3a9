"""Cone beams: against closed forms, fans, and the formula in plain PyTorch."""

import math
import pickle

import numpy as np
import pytest
import torch

from invgen import phantoms
from invgen.core.errors import DtypeError, ParameterError, ShapeError
from invgen.operators import ConeBeam, FanBeam
from invgen.operators.tomography import cone_cpu, cone_torch
from invgen.operators.tomography.rays import DivergentRays

TURN = 2 * math.pi
#: Rays along axes and diagonals, and others.
ANGLES = torch.cat(
    [
        torch.arange(8, dtype=torch.float64) * (TURN / 8),
        torch.rand(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 9 - 3,
    ]
)


def white(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def relative(x, expected):
    return float((x - expected).norm() / expected.norm())


def voxel(shape, *place):
    volume = torch.zeros(shape, dtype=torch.float64)
    volume[place] = 1
    return volume


def shadow(operator, volume):
    """Heights and places on the panel of the middle of each view's shadow."""
    y, g = operator(volume), operator.geometry
    mass = y.sum((1, 2))
    return (y.sum(2) * g.rows()).sum(1) / mass, (y.sum(1) * g.fan.bins()).sum(1) / mass


GEOMETRIES = {
    "plain": {},
    "fine panel": {"detector_spacing": (0.6, 0.7)},
    "coarse panel": {"detector_spacing": (3.1, 2.2)},
    "displaced": {"detector_offset": (2.3, -1.7)},
    "truncated": {"detector_shape": (7, 9), "detector_offset": (-3.1, 1.1), "fov": "image"},
    "disc": {"detector_shape": (5, 11)},
    "wide cone": {"source_origin": 13.0, "source_detector": 13.0, "detector_shape": (25, 40)},
    "above the plane of the source": {"detector_shape": (6, 40), "detector_offset": (8.0, 0.0)},
    "one row": {"detector_shape": (1, 40)},
    "far source": {"source_origin": 1e6, "source_detector": 1e6},
    "units": {"voxel_size": 0.01, "source_origin": 0.25, "source_detector": 0.45},
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("shape", [(6, 12, 12), (5, 17, 10), (1, 7, 8), (9, 1, 3), (2, 3, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_compiled_projector_is_the_formula(shape, geometry, dtype, tolerance):
    parameters = {"source_origin": 20.0, "source_detector": 31.0, **GEOMETRIES[geometry]}
    A = ConeBeam(shape, ANGLES, **parameters)
    # the places of rays are rounded relative to the distance of the source
    tolerance = max(tolerance, 1e-15 * parameters["source_origin"])
    rays = DivergentRays(A.geometry)
    x, y = A.restrict(white(2, *shape, dtype=dtype)), white(2, *A.range.shape, dtype=dtype)
    forward, adjoint = cone_torch.forward(x, rays), A.restrict(cone_torch.adjoint(y, rays))
    torch.testing.assert_close(A(x), forward, rtol=0, atol=tolerance * float(forward.abs().max()))
    torch.testing.assert_close(A.H(y), adjoint, rtol=0, atol=tolerance * float(adjoint.abs().max()))


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_a_volume_is_the_sum_of_its_slabs(monkeypatch, layers):
    A = ConeBeam((9, 14, 12), ANGLES, 20.0, 31.0, detector_offset=(1.2, 0.7))
    x, y = white(2, 9, 14, 12), white(2, *A.range.shape)
    forward, adjoint = A(x), A.H(y)
    monkeypatch.setattr(cone_cpu, "_SLAB", layers * 14 * 12 + 5)
    torch.testing.assert_close(A(x), forward, rtol=0, atol=1e-12 * float(forward.abs().max()))
    torch.testing.assert_close(A.H(y), adjoint, rtol=0, atol=1e-12 * float(adjoint.abs().max()))
    monkeypatch.setattr(cone_cpu, "_SLAB", 1)  # a slice at a time at the least
    torch.testing.assert_close(A(x), forward, rtol=0, atol=1e-12 * float(forward.abs().max()))


def test_any_number_of_threads_gives_the_same_bits(set_threads):
    A = ConeBeam((20, 34, 30), 12, 60.0, 90.0)
    x, y = white(2, 20, 34, 30, dtype=torch.float32), white(2, *A.range.shape, dtype=torch.float32)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append((A(x), A.H(y)))
        assert torch.get_num_threads() == threads
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


OBLIQUE = phantoms.Ellipsoids(
    [1.0, 0.5, -0.4],
    [3.0, -9.0, 6.0],
    [-4.0, 6.0, 5.0],
    [2.0, -6.0, 8.0],
    [20.0, 8.0, 6.0],
    [14.0, 6.0, 9.0],
    [17.0, 9.0, 5.0],
    [0.4, 1.0, -0.7],
)


@pytest.mark.parametrize(
    ("distances", "panel"),
    [
        ((160.0, 240.0), ((90, 97), 1.5, (0.0, 0.0))),
        ((60.0, 60.0), ((100, 150), (1.1, 1.0), (4.0, -3.0))),
    ],
)
def test_projections_of_ellipsoids_to_two_hundredths(distances, panel):
    """Most of it from the edges, which are not sharp in voxels of a fortieth of the object."""
    A = ConeBeam((64, 64, 64), 12, *distances, *panel)
    exact = OBLIQUE.cone_sinogram(A.angles, *distances, *panel)
    y = A(OBLIQUE.volume((64, 64, 64), 1.0))
    assert relative(y, exact) <= 0.02
    for axis in range(3):
        assert relative(y.flip(axis), exact) > 0.1


def test_a_ball_casts_the_chords_that_its_rays_cut():
    radius, source, detector = 20.0, 80.0, 120.0
    A = ConeBeam((48, 48, 48), ANGLES, source, detector)
    g = A.geometry
    u, v = g.fan.bins(), g.rows()[:, None]
    flat = u**2 + v**2
    # distance of a ray from the centre, over which the source stands
    distance = source * (flat / (flat + detector**2)).sqrt()
    chord = 2 * (radius**2 - distance**2).clamp(min=0).sqrt()
    inside = distance < radius - 2
    error = (A(phantoms.ball(radius).volume((48, 48, 48), 1.0)) - chord)[:, inside]
    assert float(error.norm(dim=1).max() / chord[inside].norm()) < 0.01


@pytest.mark.parametrize("offset", [0.0, 1.3])
def test_the_central_row_is_a_fan_through_the_central_slice(offset):
    x = white(2, 7, 14, 12)
    cone_beam = ConeBeam((7, 14, 12), ANGLES, 20.0, 31.0, (9, 31), 1.4, (0.0, offset), 0.9)
    fan_beam = FanBeam((14, 12), ANGLES, 20.0, 31.0, 31, 1.4, offset, False, 0.9)
    torch.testing.assert_close(cone_beam(x)[:, :, 4], fan_beam(x[:, 3]), rtol=1e-12, atol=1e-12)


def test_a_volume_that_is_the_same_in_all_slices_is_a_fan_with_longer_rays():
    x = white(14, 12)
    A = ConeBeam((40, 14, 12), ANGLES, 20.0, 31.0, (9, 31), 1.4, (2.0, 1.3))
    g = A.geometry
    flat = FanBeam((14, 12), ANGLES, 20.0, 31.0, 31, 1.4, 1.3)(x)
    v, u = g.rows()[:, None], g.fan.bins()
    longer = (1 + v**2 / (u**2 + 31.0**2)).sqrt()
    torch.testing.assert_close(A(x.expand(40, 14, 12)), flat[:, None] * longer, rtol=1e-11, atol=1e-11)


def test_views_turn_counterclockwise_from_a_source_below_and_rows_go_up():
    """At angle zero the source is below and x is across; a quarter turn later it is to the right."""
    n, source, detector = 33, 100.0, 150.0
    A = ConeBeam((n, n, n), [0.0, math.pi / 2, math.pi], source, detector, detector_spacing=0.3)
    right, top, above = (
        voxel((n, n, n), 16, 16, 26),
        voxel((n, n, n), 16, 6, 16),
        voxel((n, n, n), 26, 16, 16),
    )
    m = detector / source
    expected = {
        right: ([0.0, 0.0, 0.0], [10 * m, 0.0, -10 * m]),
        top: ([0.0, 0.0, 0.0], [0.0, 10 * m, 0.0]),
        above: ([10 * m, 10 * m, 10 * m], [0.0, 0.0, 0.0]),
    }
    for volume, places in expected.items():
        for found, place in zip(shadow(A, volume), places, strict=True):
            torch.testing.assert_close(found, torch.tensor(place).double(), rtol=0, atol=0.05)
    # the higher, the nearer to the source
    both = voxel((n, n, n), 26, 16, 26)
    height, _ = shadow(A, both)
    expected_height = torch.tensor([10 * m, 10 * detector / (source - 10), 10 * m]).double()
    torch.testing.assert_close(height, expected_height, rtol=0, atol=0.05)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (3.1, -2.2), (-3.1, 2.2)])
def test_a_voxel_casts_its_shadow_where_its_ray_meets_the_panel(offset):
    p, source, detector = 0.5, 30.0, 50.0
    A = ConeBeam((14, 20, 16), ANGLES, source, detector, (140, 210), (0.2, 0.15), offset, p)
    for k, row, column in ((12, 3, 13), (1, 15, 8), (6, 9, 2)):
        x, y, z = (column - 7.5) * p, (9.5 - row) * p, (k - 6.5) * p
        u, w = x * ANGLES.cos() + y * ANGLES.sin(), source - x * ANGLES.sin() + y * ANGLES.cos()
        heights, places = shadow(A, voxel((14, 20, 16), k, row, column))
        torch.testing.assert_close(places, detector * u / w, rtol=0, atol=0.05)
        torch.testing.assert_close(heights, detector * z / w, rtol=0, atol=0.05)


@pytest.mark.parametrize("offset", [(0.0, 0.0), (2.5, -1.2), (-2.5, 1.2)])
def test_the_origin_projects_to_the_row_and_column_that_the_offset_says(offset):
    rows, columns, spacing = 61, 51, (0.4, 0.3)
    A = ConeBeam((9, 9, 9), 5, 40.0, 60.0, (rows, columns), spacing, offset)
    y = A(voxel((9, 9, 9), 4, 4, 4))
    row = (y.sum(2) * torch.arange(rows)).sum(1) / y.sum((1, 2))
    column = (y.sum(1) * torch.arange(columns)).sum(1) / y.sum((1, 2))
    for found, count, step, shift in zip((row, column), (rows, columns), spacing, offset, strict=True):
        expected = torch.full((5,), (count - 1) / 2 - shift / step, dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.05)


def test_lengths_are_in_any_unit():
    lengths = {"source_origin": 30.0, "source_detector": 45.0, "voxel_size": 1.0}
    pairs = {"detector_spacing": (1.3, 1.1), "detector_offset": (0.7, -0.4)}
    scaled = {name: 0.037 * length for name, length in lengths.items()}
    scaled |= {name: (0.037 * a, 0.037 * b) for name, (a, b) in pairs.items()}
    x = white(7, 12, 15)
    voxels, units = ConeBeam(x.shape, ANGLES, **lengths, **pairs)(x), ConeBeam(x.shape, ANGLES, **scaled)(x)
    torch.testing.assert_close(units, 0.037 * voxels, rtol=1e-10, atol=1e-12)


def test_the_default_panel_just_sees_the_cylinder_around_the_volume():
    A = ConeBeam((20, 30, 40), 40, 60.0, 100.0, detector_offset=(3.0, 2.0), voxel_size=0.5)
    g = A.geometry
    assert (g.row_spacing, g.fan.detector_spacing) == pytest.approx((0.5 * 100 / 60, 0.5 * 100 / 60))
    assert g.fan.reach >= 12.5
    assert A.fov == "image"
    nearest = 5 * 100 / (60 - 12.5)  # shadow of the upper rim, next to the source
    bottom, top = g.rows()[0] - g.row_spacing / 2, g.rows()[-1] + g.row_spacing / 2
    assert bottom <= -nearest
    assert top >= nearest
    assert bottom > -nearest - 2 * 3.0 - g.row_spacing


def test_a_narrow_panel_sees_the_cylinder_that_every_view_sees():
    A = ConeBeam((5, 20, 20), 8, 60.0, 90.0, (9, 15), 1.5)
    assert A.fov == "disc"
    place = torch.arange(20) - 9.5
    distance = torch.hypot(place[None, :].abs() + 0.5, place[:, None].abs() + 0.5)
    inside = distance <= 60 * math.sin(math.atan(7.5 * 1.5 / 90))
    assert torch.equal(A.restrict(torch.ones(5, 20, 20)).bool(), inside.expand(5, 20, 20))
    assert not A(1.0 * ~inside.expand(5, 20, 20)).any()


def test_a_truncated_panel_sees_the_middle_of_a_large_one():
    x = white(8, 16, 16)
    wide = ConeBeam((8, 16, 16), ANGLES, 30.0, 45.0, (31, 41), 1.1, (1.0, 2.0))(x)
    A = ConeBeam((8, 16, 16), ANGLES, 30.0, 45.0, (11, 17), 1.1, (1.0, 2.0), fov="image")
    assert A.truncates
    torch.testing.assert_close(A(x), wide[:, 10:21, 12:29], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fov", ["image", "disc", None])
def test_a_subset_is_its_rows_of_the_whole(fov):
    A = ConeBeam((5, 10, 12), ANGLES, 20.0, 31.0, (7, 9), (1.7, 1.4), (0.6, 0.3), 0.9, fov)
    x, y = white(5, 10, 12), white(len(ANGLES), 7, 9)
    mask = torch.arange(len(ANGLES)) % 3 == 0
    for views in (slice(None, None, 4), torch.tensor([7, 2, 3]), mask):
        part = A.subset(views)
        assert part.fov == A.fov
        assert part.truncates == A.truncates
        assert torch.equal(part(x), A(x)[views])
        only = torch.zeros_like(y)
        only[views] = y[views]
        torch.testing.assert_close(part.H(y[views]), A.H(only), rtol=1e-12, atol=1e-12)


def test_pickled_is_the_same():
    A = ConeBeam((5, 10, 12), 6, 20.0, 31.0, (7, 9), (1.7, 1.4), (0.6, 0.3), 0.9)
    x = white(5, 10, 12)
    expected, spectrum = A(x), A.spectrum.value  # in use, with what is kept
    again = pickle.loads(pickle.dumps(A))
    assert torch.equal(again(x), expected)
    assert torch.equal(again.spectrum.value, spectrum)
    assert again.fov == A.fov


def test_norm_gram_and_solve_are_those_of_the_matrix():
    A, size = ConeBeam((3, 6, 5), 7, 20.0, 31.0), 90
    eye = torch.eye(size, dtype=torch.float64)
    matrix = A(eye.reshape(size, 3, 6, 5)).reshape(size, -1).T
    x, shift = white(2, 3, 6, 5), 0.3
    flat = x.reshape(2, size, 1)
    assert A.norm() == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-6)
    gram = (matrix.T @ matrix @ flat).reshape(x.shape)
    torch.testing.assert_close(A.gram(x), gram, rtol=1e-12, atol=1e-11)
    solution = torch.linalg.solve(matrix.T @ matrix + shift * eye, flat).reshape(x.shape)
    torch.testing.assert_close(A.solve(x, shift), solution, rtol=1e-8, atol=1e-10)
    weights = torch.rand(A.range.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights[:, 3] = 0
    normal = matrix.T @ (weights.reshape(-1, 1) * matrix) + shift * eye
    solution = torch.linalg.solve(normal, flat).reshape(x.shape)
    torch.testing.assert_close(A.solve(x, shift, weights), solution, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "words", "parameters"),
    [
        (ParameterError, "source would pass through the image.*Check the unit", {"source_origin": 5.6}),
        (ParameterError, "need source_origin added", {"source_detector": 19.0}),
        (ParameterError, "axis projects outside", {"detector_offset": (0.0, 9.0), "detector_shape": (9, 10)}),
        (ParameterError, "steeper than 45 degrees.*fewer rows", {"detector_shape": (50, 20)}),
        (
            ParameterError,
            "steeper than 45 degrees",
            {"detector_shape": (5, 20), "detector_offset": (25.0, 0.0)},
        ),
        (ParameterError, "voxel_size is a positive length", {"voxel_size": 0.0}),
        (ParameterError, "detector_spacing is a positive length", {"detector_spacing": (-1.0, 1.0)}),
        (ParameterError, "detector_spacing is a positive length", {"detector_spacing": (1.0, math.nan)}),
        (ParameterError, "detector_offset is a length", {"detector_offset": (math.inf, 0.0)}),
        (ParameterError, "detector_shape is a whole number", {"detector_shape": (True, 20)}),
        (ParameterError, "detector_shape is a whole number", {"detector_shape": (9, True)}),
        (ParameterError, "detector_shape is a whole number", {"detector_shape": (9, 0)}),
        (ShapeError, r"detector_shape=\(rows, columns\)", {"detector_shape": 9}),
        (ShapeError, r"detector_shape=\(rows, columns\)", {"detector_shape": (9, 9, 9)}),
        (ShapeError, r"detector_offset=\(rows, columns\)", {"detector_offset": 1.0}),
        (ShapeError, r"detector_spacing=\(rows, columns\)", {"detector_spacing": (1.0, 1.0, 1.0)}),
        (ParameterError, "A number of angles", {"angles": True}),
        (DtypeError, "radians", {"angles": torch.tensor([1j])}),
        (ShapeError, r"ConeBeam expects volume_shape=\(D, H, W\)", {"volume_shape": (8, 8)}),
        (ShapeError, r"ConeBeam expects volume_shape=\(D, H, W\)", {"volume_shape": (0, 8, 8)}),
        (ParameterError, "fov is 'image', 'disc' or the radius", {"fov": "circle"}),
        (TypeError, "pixel_size", {"pixel_size": 1.0}),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(kind, words, parameters):
    plain = {"volume_shape": (4, 8, 8), "angles": 4, "source_origin": 20.0, "source_detector": 21.0}
    with pytest.raises(kind, match=f"(?s){words}"):
        ConeBeam(**{**plain, **parameters})


def test_volumes_and_projections_of_other_shapes_are_refused():
    A = ConeBeam((3, 8, 9), 4, 20.0, 30.0, (7, 15))
    with pytest.raises(ShapeError, match="3, 8, 9"):
        A(torch.ones(8, 9))
    with pytest.raises(ShapeError, match="4, 7, 15"):
        A.H(torch.ones(4, 15, 7))


def test_numpy_numbers_are_numbers():
    x = torch.ones(3, 8, 8)
    shape = (np.int64(5), np.int32(12))
    A = ConeBeam((3, np.int64(8), 8), np.int32(4), np.float32(20), 30, shape, np.float32(1.5))
    assert torch.equal(A(x), ConeBeam((3, 8, 8), 4, 20, 30, (5, 12), 1.5)(x))
