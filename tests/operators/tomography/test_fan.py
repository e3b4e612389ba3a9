"""Fan beams: against closed forms, ASTRA, parallel beams, and the formula in plain PyTorch."""

import math
import pickle

import numpy as np
import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.operators import FanBeam, Radon
from invgen.operators.tomography import fan_torch
from invgen.operators.tomography.rays import DivergentRays

TURN = 2 * math.pi
#: Rays along axes and diagonals, and others.
ANGLES = torch.cat(
    [
        torch.arange(16, dtype=torch.float64) * (TURN / 16),
        torch.rand(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 9 - 3,
    ]
)


def white(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def relative(x, expected):
    return float((x - expected).norm() / expected.norm())


def blobs(n):
    """A smooth image that is no mirror image of itself."""
    place = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    x, y = place[None, :] / n, -place[:, None] / n
    humps = ((1.0, 0.1, 0.15, 0.12), (0.7, -0.2, 0.05, 0.08), (0.5, 0.05, -0.2, 0.1))
    return sum(v * torch.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s)) for v, a, b, s in humps)


def pixel(shape, row, column):
    image = torch.zeros(shape, dtype=torch.float64)
    image[row, column] = 1
    return image


def shadow(operator, image):
    """Where on the detector the middle of each view's shadow is."""
    y = operator(image)
    return (y * operator.geometry.bins()).sum(1) / y.sum(1)


GEOMETRIES = {
    "plain": {},
    "fine detector": {"detector_spacing": 0.43},
    "coarse detector": {"detector_spacing": 3.1},
    "displaced": {"detector_offset": 3.7},
    "truncated": {"detector_count": 13, "detector_offset": -2.1, "fov": "image"},
    "disc": {"detector_count": 15},
    "wide fan": {"source_origin": 23.0, "source_detector": 23.0},
    "wider than the image": {"source_origin": 25.0, "detector_count": 76},
    "far source": {"source_origin": 1e7, "source_detector": 1e7},
    "units": {"pixel_size": 0.01, "source_origin": 0.5, "source_detector": 0.9},
}


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("shape", [(24, 24), (17, 30), (31, 4), (1, 9), (2, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_compiled_projector_is_the_formula(shape, geometry, curved, dtype, tolerance):
    parameters = {"source_origin": 40.0, "source_detector": 60.0, **GEOMETRIES[geometry]}
    A = FanBeam(shape, ANGLES, curved=curved, **parameters)
    # the places of rays are rounded relative to the distance of the source
    tolerance = max(tolerance, 1e-15 * parameters["source_origin"])
    rays = DivergentRays(A.geometry.as_cone())
    x, y = A.restrict(white(2, *shape, dtype=dtype)), white(2, *A.range.shape, dtype=dtype)
    forward, adjoint = fan_torch.forward(x, rays), A.restrict(fan_torch.adjoint(y, rays))
    torch.testing.assert_close(A(x), forward, rtol=0, atol=tolerance * float(forward.abs().max()))
    torch.testing.assert_close(A.H(y), adjoint, rtol=0, atol=tolerance * float(adjoint.abs().max()))


@pytest.mark.slow
def test_any_number_of_threads_gives_the_same_bits(set_threads):
    A = FanBeam((130, 120), 40, 200.0, 300.0)
    x, y = white(2, 130, 120, dtype=torch.float32), white(2, *A.range.shape, dtype=torch.float32)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append((A(x), A.H(y)))
        assert torch.get_num_threads() == threads
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize(("source_origin", "source_detector"), [(512.0, 768.0), (300.0, 300.0)])
def test_shepp_logan_sinogram_to_a_hundredth(source_origin, source_detector, curved):
    n = 256
    phantom = phantoms.shepp_logan(n / 2)
    A = FanBeam((n, n), 90, source_origin, source_detector, curved=curved)
    g = A.geometry
    exact = phantom.fan_sinogram(
        A.angles, source_origin, source_detector, g.detector_count, g.detector_spacing, curved=curved
    )
    assert relative(A(phantom.image((n, n), 1.0)), exact) <= 0.01


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_a_disc_casts_the_chords_that_its_rays_cut(curved):
    """A ray passes the axis at ``source_origin sin g``."""
    radius, n = 40.0, 128
    A = FanBeam((n, n), ANGLES, 150.0, 220.0, detector_offset=1.9, curved=curved)
    s = 150.0 * A.geometry.fan_angles(A.geometry.bins()).sin()
    chord = 0.3 * 2 * (radius**2 - s**2).clamp(min=0).sqrt()
    inside = s.abs() < radius - 3
    error = (A(phantoms.disc(radius, value=0.3).image((n, n), 1.0)) - chord)[:, inside]
    assert float(error.norm(dim=1).max() / chord[inside].norm()) < 0.01


def test_astra_agrees():
    """Its lengths within pixels, and linear interpolation, are nearly the same for a smooth image."""
    astra = pytest.importorskip("astra")
    n, count, spacing, source, detector = 128, 220, 1.3, 200.0, 320.0
    t = np.linspace(0.1, 6.0, 41)
    geometry = astra.create_proj_geom("fanflat", spacing, count, t, source, detector - source)
    projector = astra.create_projector("line_fanflat", geometry, astra.create_vol_geom(n, n))
    identifier, theirs = astra.create_sino(blobs(n).numpy().astype(np.float32), projector)
    astra.data2d.delete(identifier)
    astra.projector.delete(projector)
    ours = FanBeam((n, n), t, source, detector, count, spacing)(blobs(n))
    theirs = torch.from_numpy(theirs).double()
    assert relative(ours, theirs) <= 0.005
    assert relative(ours.flip(1), theirs) > 0.1  # the other way around


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_a_far_source_sends_parallel_rays(curved):
    """What bends is inverse to its distance; the magnification is one."""
    t, spacing, offset = ANGLES[16:], 0.8, 1.7  # on diagonals rounding chooses the rays' axis
    x = white(40, 52)
    parallel = Radon((40, 52), t, 90, spacing, offset, method="joseph")(x)
    near, far = (
        relative(FanBeam((40, 52), t, d, d, 90, spacing, offset, curved)(x), parallel) for d in (1e5, 1e7)
    )
    assert near < 0.01
    assert far == pytest.approx(0.01 * near, rel=0.05)


def test_views_turn_counterclockwise_from_a_source_below():
    """At angle zero the source is below and x is across; a quarter turn later it is to the right."""
    n, source, detector = 65, 100.0, 150.0
    A = FanBeam((n, n), [0.0, math.pi / 2, math.pi], source, detector, detector_spacing=0.3)
    right, top, middle = pixel((n, n), 32, 52), pixel((n, n), 12, 32), pixel((n, n), 32, 32)
    expected = {
        right: [20 * detector / source, 0.0, -20 * detector / source],
        top: [0.0, 20 * detector / source, 0.0],
        middle: [0.0, 0.0, 0.0],
    }
    for image, places in expected.items():
        torch.testing.assert_close(shadow(A, image), torch.tensor(places).double(), rtol=0, atol=0.05)
    # towards the source shadows grow
    width = (A(right) > 0).sum(1), (A(top) > 0).sum(1)
    assert width[0][1] > width[0][0]
    assert width[1][0] < width[1][2]


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize("offset", [0.0, 6.3, -6.3])
def test_a_pixel_casts_its_shadow_where_its_ray_meets_the_detector(offset, curved):
    p, source, detector = 0.5, 40.0, 70.0
    A = FanBeam((48, 40), ANGLES, source, detector, None, 0.1, offset, curved, p)
    for row, column in ((3, 31), (40, 8), (20, 2)):
        x, y = (column - 19.5) * p, (23.5 - row) * p
        u, w = x * ANGLES.cos() + y * ANGLES.sin(), source - x * ANGLES.sin() + y * ANGLES.cos()
        place = detector * ((u / w).atan() if curved else u / w)
        torch.testing.assert_close(shadow(A, pixel((48, 40), row, column)), place, rtol=0, atol=0.05)


@pytest.mark.parametrize("offset", [0.0, 2.5, -2.5])
def test_the_axis_projects_to_the_bin_that_the_offset_says(offset):
    A = FanBeam((33, 33), 8, 60.0, 90.0, 81, 0.4, offset)
    y = A(pixel((33, 33), 16, 16))
    bins = (y * torch.arange(81)).sum(1) / y.sum(1)
    expected = torch.full((8,), 40 - offset / 0.4, dtype=torch.float64)
    torch.testing.assert_close(bins, expected, rtol=0, atol=0.05)


def test_lengths_are_in_any_unit():
    lengths = {"source_origin": 60.0, "source_detector": 95.0, "detector_spacing": 1.3, "pixel_size": 1.0}
    lengths["detector_offset"] = 0.7
    x = phantoms.foam(1, 20.0).image((30, 41), 1.0)
    scaled = {name: 0.037 * length for name, length in lengths.items()}
    pixels, units = FanBeam((30, 41), ANGLES, **lengths)(x), FanBeam((30, 41), ANGLES, **scaled)(x)
    torch.testing.assert_close(units, 0.037 * pixels, rtol=1e-10, atol=1e-12)


def test_a_line_is_measured_again_from_the_other_side():
    """From ``t + pi - 2 g`` at the fan angle ``-g``."""
    step = TURN / 90
    A = FanBeam((40, 40), 90, 60.0, 60.0, 25, 60 * step / 2, curved=True, fov="image")
    y = A(phantoms.foam(0, 10.0).image((40, 40), 1.0))
    views, bins = torch.meshgrid(torch.arange(90), torch.arange(25), indexing="ij")
    # bins are at multiples of half a step, so that 2 g is a number of views
    torch.testing.assert_close(y[(views + 45 - (bins - 12)) % 90, 24 - bins], y, rtol=1e-9, atol=1e-9)


def test_a_number_of_views_means_equispaced_over_a_turn():
    A = FanBeam((8, 8), 60, 20.0, 30.0)
    torch.testing.assert_close(A.angles, torch.arange(60).double() * TURN / 60)


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_the_default_detector_just_sees_the_circle_around_the_image(curved):
    A = FanBeam((30, 40), 40, 30.0, 50.0, detector_offset=2.0, curved=curved, pixel_size=0.5)
    assert A.geometry.detector_spacing == pytest.approx(0.5 * 50 / 30)
    assert A.geometry.sees_whole_image
    assert A.fov == "image"
    assert A.geometry.reach >= 12.5
    narrower = FanBeam((30, 40), 40, 30.0, 50.0, A.range.shape[1] - 2, detector_offset=2.0, pixel_size=0.5)
    assert narrower.geometry.reach < 12.5


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_a_narrow_detector_sees_the_disc_that_every_view_sees(curved):
    source, detector, spacing, offset = 60.0, 90.0, 1.5, 3.0
    A = FanBeam((40, 40), 30, source, detector, 31, spacing, offset, curved)
    edge = 31 * spacing / 2 - offset
    angle = edge / detector if curved else math.atan(edge / detector)
    assert A.geometry.reach == pytest.approx(source * math.sin(angle))
    assert A.fov == "disc"
    assert not A.truncates
    place = torch.arange(40) - 19.5
    distance = torch.hypot(place[None, :].abs() + 0.5, place[:, None].abs() + 0.5)
    inside = distance <= source * math.sin(angle)
    assert torch.equal(A.restrict(torch.ones(40, 40)).bool(), inside)
    assert not A(1.0 * ~inside).any()
    assert torch.equal(A.H(white(30, 31)), A.restrict(A.H(white(30, 31))))
    truncated = FanBeam((40, 40), 30, source, detector, 31, spacing, offset, curved, fov="image")
    assert truncated.truncates
    assert truncated(1.0 * ~inside).any()


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_a_truncated_detector_sees_the_middle_of_a_wide_one(curved):
    x = white(40, 40)
    wide = FanBeam((40, 40), 50, 60.0, 90.0, 121, 1.1, 3.0, curved)(x)
    narrow = FanBeam((40, 40), 50, 60.0, 90.0, 41, 1.1, 3.0, curved, fov="image")(x)
    torch.testing.assert_close(narrow, wide[:, 40:81], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fov", ["image", "disc", None])
def test_a_subset_is_its_rows_of_the_whole(fov):
    A = FanBeam((20, 22), ANGLES, 40.0, 61.0, 17, 1.7, 0.6, True, 0.9, fov)
    x, y = white(20, 22), white(len(ANGLES), 17)
    mask = torch.arange(len(ANGLES)) % 3 == 0
    for views in (slice(None, None, 4), torch.tensor([7, 2, 3]), mask):
        part = A.subset(views)
        assert part.fov == A.fov
        assert part.truncates == A.truncates
        assert torch.equal(part(x), A(x)[views])
        only = torch.zeros_like(y)
        only[views] = y[views]
        torch.testing.assert_close(part.H(y[views]), A.H(only), rtol=1e-12, atol=1e-12)


def test_a_subset_of_views_that_see_all_keeps_the_field_of_view_of_the_scan():
    """The detector is wide enough for the image's side, but not for its diagonal."""
    A = FanBeam((20, 20), 16, 200.0, 200.0, 24)
    assert A.fov == "disc"
    assert FanBeam((20, 20), [0.0], 200.0, 200.0, 24).fov == "image"
    assert A.subset([0]).fov == "disc"


def test_pickled_is_the_same():
    A = FanBeam((20, 22), 13, 40.0, 61.0, 17, 1.7, 0.6, True, 0.9)
    x = white(20, 22)
    expected, spectrum = A(x), A.spectrum.value  # in use, with what is kept
    again = pickle.loads(pickle.dumps(A))
    assert torch.equal(again(x), expected)
    assert torch.equal(again.spectrum.value, spectrum)
    assert again.fov == A.fov


def test_norm_gram_and_solve_are_those_of_the_matrix():
    A = FanBeam((9, 8), 11, 20.0, 31.0)
    matrix = A(torch.eye(72, dtype=torch.float64).reshape(72, 9, 8)).reshape(72, -1).T
    x, shift = white(2, 9, 8), 0.3
    assert A.norm() == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-6)
    gram = (matrix.T @ matrix @ x.reshape(2, 72, 1)).reshape(2, 9, 8)
    torch.testing.assert_close(A.gram(x), gram, rtol=1e-12, atol=1e-11)
    normal = matrix.T @ matrix + shift * torch.eye(72, dtype=torch.float64)
    solution = torch.linalg.solve(normal, x.reshape(2, 72, 1)).reshape(2, 9, 8)
    torch.testing.assert_close(A.solve(x, shift), solution, rtol=1e-8, atol=1e-10)
    weights = torch.rand(A.range.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights[:, 3] = 0
    normal = matrix.T @ (weights.reshape(-1, 1) * matrix) + shift * torch.eye(72, dtype=torch.float64)
    solution = torch.linalg.solve(normal, x.reshape(2, 72, 1)).reshape(2, 9, 8)
    torch.testing.assert_close(A.solve(x, shift, weights), solution, rtol=1e-8, atol=1e-10)


def test_the_noise_level_is_read_off_the_sinogram():
    A = FanBeam((128, 128), 90, 256.0, 384.0)
    clean = A(phantoms.shepp_logan(64).image((128, 128), 1.0))
    std = 0.01 * float(clean.max())
    y = ig.noise.Gaussian(std).sample(clean, 0)
    assert float(A.estimate_noise(y)) == pytest.approx(std, rel=0.2)


@pytest.mark.parametrize(
    ("kind", "words", "parameters"),
    [
        (ParameterError, "source would pass through the image.*Check the unit", {"source_origin": 5.6}),
        (ParameterError, "need source_origin added", {"source_detector": 19.0}),
        (
            ParameterError,
            "axis projects outside.*sign and unit",
            {"detector_offset": 9.0, "detector_count": 10},
        ),
        (ParameterError, "axis projects outside", {"detector_offset": -9.0, "detector_count": 10}),
        (ParameterError, "too long for source_detector", {"curved": True, "detector_count": 70}),
        (ParameterError, "source_origin is a positive length", {"source_origin": math.nan}),
        (ParameterError, "source_detector is a positive length", {"source_detector": math.inf}),
        (ParameterError, "pixel_size is a positive length", {"pixel_size": 0.0}),
        (ParameterError, "detector_spacing is a positive length", {"detector_spacing": -1.0}),
        (ParameterError, "detector_offset is a length", {"detector_offset": math.inf}),
        (ParameterError, "detector_count is a whole number", {"detector_count": True}),
        (ParameterError, "detector_count is a whole number", {"detector_count": 10.5}),
        (ParameterError, "detector_count is a whole number", {"detector_count": 0}),
        (ParameterError, "A number of angles", {"angles": True}),
        (ParameterError, "A number of angles", {"angles": 0}),
        (ShapeError, "list of radians", {"angles": [[0.1, 0.2]]}),
        (ShapeError, "list of radians", {"angles": []}),
        (DataError, "NaN", {"angles": [0.1, math.nan]}),
        (DtypeError, "radians", {"angles": torch.tensor([1j])}),
        (ShapeError, r"FanBeam expects image_shape=\(H, W\)", {"image_shape": (3, 8, 8)}),
        (ShapeError, r"FanBeam expects image_shape=\(H, W\)", {"image_shape": (8, 0)}),
        (ShapeError, r"FanBeam expects image_shape=\(H, W\)", {"image_shape": (True, 8)}),
        (ParameterError, "fov is 'image', 'disc' or the radius", {"fov": "circle"}),
        (TypeError, "offset", {"offset": 1.0}),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(kind, words, parameters):
    plain = {"image_shape": (8, 8), "angles": 4, "source_origin": 20.0, "source_detector": 21.0}
    with pytest.raises(kind, match=f"(?s){words}"):
        FanBeam(**{**plain, **parameters})


def test_images_and_sinograms_of_other_shapes_are_refused():
    A = FanBeam((8, 9), 4, 20.0, 30.0, 15)
    with pytest.raises(ShapeError, match=r"8, 9"):
        A(torch.ones(9, 8))
    with pytest.raises(ShapeError, match=r"4, 15"):
        A.H(torch.ones(15, 4))


def test_a_source_on_the_corner_of_the_image_is_refused_and_just_outside_is_not():
    with pytest.raises(ParameterError, match="corner"):
        FanBeam((6, 8), 4, 5.0, 10.0)
    assert torch.isfinite(FanBeam((6, 8), 16, 5.001, 10.0, 40)(torch.ones(6, 8))).all()


def test_numpy_numbers_are_numbers():
    x = torch.ones(8, 8)
    A = FanBeam((np.int64(8), 8), np.int32(4), np.float32(20), np.int64(30), np.int64(12), np.float32(1.5))
    assert torch.equal(A(x), FanBeam((8, 8), 4, 20, 30, 12, 1.5)(x))


def test_the_callers_angles_stay_the_callers():
    t = torch.linspace(0, 3, 9, dtype=torch.float64)
    A = FanBeam((16, 16), t, 40.0, 60.0)
    before = A(torch.ones(16, 16))
    t += 1
    assert torch.equal(A(torch.ones(16, 16)), before)
