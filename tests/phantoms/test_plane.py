import math

import numpy as np
import pytest
import torch

from invgen import phantoms
from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import FanBeam
from invgen.phantoms import Ellipses

ANGLES = torch.arange(7, dtype=torch.float64) * 0.61


def oblique():
    """Two ellipses, off-center and turned, one denser inside and one subtracting."""
    return Ellipses([1.0, -0.4], [3.0, 5.0], [-7.0, -6.0], [20.0, 4.0], [9.0, 2.5], [0.7, -1.9])


def test_projection_of_a_disc_is_its_chord_length():
    s = torch.arange(64, dtype=torch.float64) - 31.5
    sinogram = phantoms.disc(20.0, value=0.3).sinogram(ANGLES, 64, bin_average=False)
    chord = 0.3 * 2 * (20.0**2 - s**2).clamp_min(0).sqrt()
    torch.testing.assert_close(sinogram, chord.expand_as(sinogram), rtol=1e-12, atol=1e-12)


def test_disc_off_center_projects_where_the_convention_says():
    x, y, offset = 8.0, -5.0, 3.0
    sinogram = phantoms.disc(4.0, center=(x, y)).sinogram(ANGLES, 80, 0.5, offset)
    place = (torch.arange(80) - 39.5) * 0.5 + offset
    centroid = (sinogram * place).sum(1) / sinogram.sum(1)
    torch.testing.assert_close(centroid, x * ANGLES.cos() + y * ANGLES.sin(), rtol=0, atol=1e-3)


def test_an_axis_aligned_ellipse_is_as_long_as_its_axes():
    ellipse = Ellipses([1.0], [0.0], [0.0], [30.0], [10.0], [0.0])
    through_center = ellipse.sinogram([0.0, math.pi / 2], 1, bin_average=False)
    torch.testing.assert_close(through_center, torch.tensor([[20.0], [60.0]]).double())


@pytest.mark.parametrize("phantom", [oblique(), phantoms.shepp_logan(40.0), phantoms.foam(3, 40.0)])
def test_every_view_and_the_image_hold_the_same_mass(phantom):
    mass = float((phantom.value * math.pi * phantom.a * phantom.b).sum())
    views = phantom.sinogram(ANGLES, 100, 0.9).sum(1) * 0.9
    torch.testing.assert_close(views, torch.full_like(views, mass), rtol=1e-10, atol=0)
    assert float(phantom.image((90, 100), 0.9).sum()) * 0.9**2 == pytest.approx(mass, rel=1e-3)


def test_bin_average_equals_the_mean_of_dense_rays():
    phantom, fine = oblique(), 2000
    dense = phantom.sinogram(ANGLES, 60 * fine, 0.8 / fine, 1.3, bin_average=False)
    averaged = phantom.sinogram(ANGLES, 60, 0.8, 1.3)
    torch.testing.assert_close(averaged, dense.reshape(len(ANGLES), 60, fine).mean(2), rtol=0, atol=1e-4)


def test_turning_the_phantom_is_turning_the_scanner():
    phantom = phantoms.shepp_logan(30.0)
    torch.testing.assert_close(phantom.rotated(0.4).sinogram(ANGLES + 0.4, 70), phantom.sinogram(ANGLES, 70))


def test_half_a_turn_mirrors_a_projection():
    sinogram = oblique().sinogram([0.3, 0.3 + math.pi], 70)
    torch.testing.assert_close(sinogram[1], sinogram[0].flip(0))


def test_rows_run_down_and_columns_run_right():
    image = phantoms.disc(3.0, center=(10.0, 6.0)).image((41, 61), 1.0)  # x = +10, y = +6
    rows, columns = torch.nonzero(image > 0.5, as_tuple=True)
    assert rows.double().mean() == pytest.approx(20 - 6)
    assert columns.double().mean() == pytest.approx(30 + 10)


def test_raster_is_the_mean_over_each_pixel():
    phantom = oblique()
    x, y = torch.meshgrid(*[(torch.arange(64 * 32) + 0.5) / 32 - 32] * 2, indexing="xy")
    dense = torch.zeros(64 * 32, 64 * 32)
    for value, cx, cy, a, b, turn in torch.stack(
        [phantom.value, phantom.x, phantom.y, phantom.a, phantom.b, phantom.rotation], 1
    ).tolist():
        u = (x - cx) * math.cos(turn) + (-y - cy) * math.sin(turn)
        v = (-y - cy) * math.cos(turn) - (x - cx) * math.sin(turn)
        dense += value * ((u / a) ** 2 + (v / b) ** 2 <= 1)
    means = dense.reshape(64, 32, 64, 32).mean((1, 3)).double()
    error = (phantom.image((64, 64), 1.0) - means).abs()
    assert error.max() < 0.04  # where an edge grazes a pixel row, both are sums over lines
    assert error.sum() < 1e-3 * means.sum()


def test_blocks_and_cropping_do_not_change_the_image(monkeypatch):
    phantom = phantoms.shepp_logan(30.0)  # reaches beyond the 40 x 50 image
    whole = phantom.image((60, 60), 1.0)
    monkeypatch.setattr("invgen.phantoms.shapes.BLOCK", 1)
    torch.testing.assert_close(phantom.image((40, 50), 1.0), whole[10:50, 5:55])


def test_an_ellipse_outside_of_the_image_leaves_no_trace():
    assert not phantoms.disc(2.0, center=(50.0, 0.0)).image((16, 16), 1.0).any()
    assert not phantoms.disc(2.0, center=(50.0, 0.0)).sinogram([0.0], 16).any()


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_foam_is_a_physical_object_inside_the_field(seed):
    foam = phantoms.foam(seed, 64.0)
    assert foam.radius <= 0.92 * 64
    image = foam.image((128, 128), 1.0)
    assert image.min() >= -1e-12
    assert image.max() == pytest.approx(1.0)


def test_foam_depends_on_its_seed_and_on_nothing_else():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = phantoms.foam(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(first.x, phantoms.foam(0).x)
    assert not torch.equal(first.x[:50], phantoms.foam(1).x[:50])


def test_shepp_logan_has_the_contrasts_of_its_papers():
    center = {}
    for modified in (True, False):
        image = phantoms.shepp_logan(100.0, modified=modified).image((201, 201), 1.0)
        center[modified] = float(image.max()), float(image[155, 100])  # skull, brain below the ventricles
    assert center[True] == pytest.approx((1.0, 0.2))
    assert center[False] == pytest.approx((2.0, 1.02))


def best_orientation(other):
    ours = phantoms.shepp_logan(other.shape[0] / 2).image(other.shape, 1.0).numpy()
    flips = {"same": ours, "rows": ours[::-1], "columns": ours[:, ::-1], "both": ours[::-1, ::-1]}
    return min(flips, key=lambda name: np.abs(flips[name] - other).mean())


def test_same_orientation_as_scikit_image():
    data = pytest.importorskip("skimage.data")
    transform = pytest.importorskip("skimage.transform")
    assert best_orientation(data.shepp_logan_phantom()) == "same"

    foam, degrees = phantoms.foam(0, 64.0), np.arange(6) * 30.0
    theirs = transform.radon(foam.image((127, 127), 1.0).numpy(), degrees).T
    ours = foam.sinogram(torch.as_tensor(np.deg2rad(degrees)), 127).numpy()
    assert np.linalg.norm(theirs - ours) < 0.06 * np.linalg.norm(ours)  # its rotation interpolates


def test_same_orientation_as_astra():
    astra = pytest.importorskip("astra")
    volume = astra.create_vol_geom(128, 128)
    number, theirs = astra.data2d.shepp_logan(volume, True)
    astra.data2d.delete(number)
    assert best_orientation(theirs) == "same"

    foam = phantoms.foam(0, 64.0)
    rays = astra.create_proj_geom("parallel", 1.0, 150, ANGLES.numpy())
    projector = astra.create_projector("linear", rays, volume)
    _, theirs = astra.create_sino(foam.image((128, 128), 1.0).numpy(), projector)
    astra.clear()
    ours = foam.sinogram(ANGLES, 150).numpy()
    assert np.linalg.norm(theirs - ours) < 0.02 * np.linalg.norm(ours)


def test_same_orientation_as_odl():
    odl = pytest.importorskip("odl")
    space = odl.uniform_discr([-1, -1], [1, 1], [128, 128])
    theirs = odl.phantom.shepp_logan(space, modified=True).asarray()
    assert best_orientation(theirs.T[::-1]) == "same"  # ODL's axes are (x, y), both rising


def test_what_is_no_phantom_is_refused():
    with pytest.raises(ShapeError, match="one length"):
        Ellipses([1.0, 2.0], [0.0], [0.0], [1.0], [1.0], [0.0])
    with pytest.raises(ParameterError, match="positive semi-axes"):
        phantoms.disc(0.0)
    with pytest.raises(ParameterError, match="NaN"):
        phantoms.disc(1.0, value=math.nan)
    with pytest.raises(ShapeError, match="Angles"):
        phantoms.disc(1.0).sinogram(torch.zeros(2, 2), 8)
    with pytest.raises(ParameterError, match="half width"):
        phantoms.foam(0, -1.0)


@pytest.mark.parametrize("curved", [False, True])
def test_a_fan_crosses_a_disc_along_its_chords(curved):
    source, detector, offset, center = 60.0, 110.0, 7.0, (5.0, -9.0)
    sinogram = phantoms.disc(20.0, value=0.3, center=center).fan_sinogram(
        ANGLES, source, detector, 50, 2.0, offset, curved, subrays=1
    )
    u = (torch.arange(50).double() - 24.5) * 2.0 + offset
    fan = u / detector if curved else (u / detector).atan()
    across = torch.stack((ANGLES.cos(), ANGLES.sin()), 1)[:, None]
    along = torch.stack((-ANGLES.sin(), ANGLES.cos()), 1)[:, None]
    ray = fan.sin()[:, None] * across + fan.cos()[:, None] * along  # (views, bins, 2)
    x, y = (torch.tensor(center) + source * along).unbind(-1)  # the disc, seen from the source
    distance = x * ray[..., 1] - y * ray[..., 0]
    torch.testing.assert_close(sinogram, 0.3 * 2 * (20.0**2 - distance**2).clamp_min(0).sqrt())


def test_a_fan_from_far_away_is_a_parallel_beam():
    phantom, far = phantoms.foam(1, 30.0), 1e6
    fan = phantom.fan_sinogram(ANGLES, far, far, 64, 1.0, 1.5, subrays=8)
    error = fan - phantom.sinogram(ANGLES, 64, 1.0, 1.5)
    assert error.norm() < 2e-3 * fan.norm()  # of eight rays per bin, and of a fan of 60 / 1e6
    ray = phantom.fan_sinogram(ANGLES, far, far, 64, 1.0, 1.5, subrays=1)
    assert (ray - phantom.sinogram(ANGLES, 64, 1.0, 1.5, bin_average=False)).norm() < 3e-3 * ray.norm()


def test_every_line_is_measured_twice_in_a_full_turn():
    spacing, detector = 0.02 * 100, 100.0  # fan angles in steps of 0.02
    place = (torch.arange(41, dtype=torch.float64) - 20) * 0.02
    once = oblique().fan_sinogram([0.3], 50.0, detector, 41, spacing, curved=True, subrays=1)[0]
    opposite = oblique().fan_sinogram(
        0.3 + math.pi - 2 * place, 50.0, detector, 41, spacing, curved=True, subrays=1
    )
    torch.testing.assert_close(opposite.flip(1).diagonal(), once)


def test_a_fan_bin_is_the_mean_of_the_rays_over_its_width():
    dense = oblique().fan_sinogram(ANGLES, 60.0, 90.0, 60 * 500, 1.2 / 500, 2.0, subrays=1)
    mean = dense.reshape(len(ANGLES), 60, 500).mean(2)
    for subrays, error in ((1, 0.03), (8, 2e-3), (64, 2e-4)):
        bins = oblique().fan_sinogram(ANGLES, 60.0, 90.0, 60, 1.2, 2.0, subrays=subrays)
        assert (bins - mean).norm() < error * mean.norm()


def test_windows_and_blocks_do_not_change_a_fan_sinogram(monkeypatch):
    phantom = phantoms.foam(2, 40.0)  # wider than the detector's 50 / 2 at the axis
    whole = phantom.fan_sinogram(ANGLES, 90.0, 180.0, 50, 1.0, 4.0)
    wide = phantom.fan_sinogram(ANGLES, 90.0, 180.0, 250, 1.0, 4.0)[:, 100:150]
    torch.testing.assert_close(wide, whole)
    monkeypatch.setattr("invgen.phantoms.ellipses.BLOCK", 1)
    torch.testing.assert_close(phantom.fan_sinogram(ANGLES, 90.0, 180.0, 50, 1.0, 4.0), whole)


def test_what_no_fan_is_refused():
    disc = phantoms.disc(10.0, center=(3.0, 4.0))
    with pytest.raises(ParameterError, match="outside of the phantom, of radius 15"):
        disc.fan_sinogram(ANGLES, 15.0, 30.0, 8, 1.0)
    with pytest.raises(ParameterError, match="source_detector"):
        disc.fan_sinogram(ANGLES, 40.0, 0.0, 8, 1.0)
    with pytest.raises(ParameterError, match="bins of positive width"):
        disc.fan_sinogram(ANGLES, 40.0, 60.0, 8, -1.0)
    for number in (0, True, 2.0):
        with pytest.raises(ParameterError, match="subrays is a whole number of at least 1"):
            disc.fan_sinogram(ANGLES, 40.0, 60.0, 8, 1.0, subrays=number)
        with pytest.raises(ParameterError, match="number of detector bins is a whole number of at least 1"):
            disc.fan_sinogram(ANGLES, 40.0, 60.0, number, 1.0)
        with pytest.raises(ParameterError, match="supersample is a whole number of at least 1"):
            disc.image((4, 4), 1.0, number)
        with pytest.raises(ParameterError, match="number of pixels along an axis is a whole number"):
            disc.image((4, number), 1.0)
    with pytest.raises(ShapeError, match="Angles"):
        disc.fan_sinogram([], 40.0, 60.0, 8, 1.0)


@pytest.mark.parametrize("curved", [False, True])
def test_the_fan_beam_operator_sees_the_same_rays(curved):
    phantom, scan = phantoms.foam(0, 64.0), (200.0, 320.0, 180, 1.5, 2.0, curved)
    image = phantom.image((256, 256), 0.5)
    ours, theirs = phantom.fan_sinogram(ANGLES, *scan), FanBeam((256, 256), ANGLES, *scan, 0.5)(image)
    assert (ours - theirs).norm() < 0.01 * ours.norm()


def test_same_fan_as_astra():
    astra = pytest.importorskip("astra")
    phantom, source, detector, offset = phantoms.foam(0, 64.0), 200.0, 320.0, 4.0
    cos, sin = ANGLES.cos().numpy(), ANGLES.sin().numpy()
    across, along = np.stack((cos, sin), 1), np.stack((-sin, cos), 1)
    vectors = np.hstack((-source * along, (detector - source) * along + offset * across, 1.5 * across))
    volume, rays = astra.create_vol_geom(256, 256, -64, 64, -64, 64), ("fanflat_vec", 180, vectors)
    projector = astra.create_projector("line_fanflat", astra.create_proj_geom(*rays), volume)
    _, theirs = astra.create_sino(phantom.image((256, 256), 0.5).numpy(), projector)
    astra.clear()
    ours = phantom.fan_sinogram(ANGLES, source, detector, 180, 1.5, offset).numpy()
    assert np.linalg.norm(theirs - ours) < 0.02 * np.linalg.norm(ours)


class TestFourierTransform:
    def test_at_the_origin_it_is_the_mass(self):
        phantom = oblique()
        mass = complex((phantom.value * math.pi * phantom.a * phantom.b).sum())
        assert complex(phantom.kspace(0.0, 0.0)) == pytest.approx(mass, rel=1e-12)

    def test_a_disc_has_a_jinc_and_an_offset_a_phase(self):
        """The first zero of J1 is at 3.8317: of a disc of radius R at 0.60983 / R."""
        k = torch.tensor([0.609835 / 8.0, 0.05], dtype=torch.float64)
        values = phantoms.disc(8.0).kspace(k, 0 * k)
        assert abs(complex(values[0])) < 1e-3
        moved = phantoms.disc(8.0, center=(3.0, -2.0)).kspace(k, k / 2)
        turned = phantoms.disc(8.0).kspace(k, k / 2) * torch.exp(-2j * math.pi * (3.0 * k - 2.0 * k / 2))
        torch.testing.assert_close(moved, turned)

    def test_a_projection_is_a_slice_of_it(self):
        """Fourier slice theorem: the transform of the exact projection at angle t is that along t."""
        phantom, t, k = oblique(), 0.61, torch.linspace(-0.2, 0.2, 21, dtype=torch.float64)
        fine = 0.01  # rays so dense that their sum is the integral
        profile = phantom.sinogram([t], 12_000, fine, bin_average=True)[0].to(torch.complex128)
        s = (torch.arange(12_000, dtype=torch.float64) - 5999.5) * fine
        expected = torch.exp(-2j * math.pi * k[:, None] * s) @ profile * fine
        torch.testing.assert_close(
            phantom.kspace(k * math.cos(t), k * math.sin(t)), expected, rtol=0, atol=1e-4 * 500
        )

    def test_turning_the_phantom_turns_it(self):
        k = torch.linspace(-0.3, 0.3, 9, dtype=torch.float64)
        c, s = math.cos(0.4), math.sin(0.4)
        turned = oblique().rotated(0.4).kspace(k[None], k[:, None])
        expected = oblique().kspace(c * k[None] + s * k[:, None], c * k[:, None] - s * k[None])
        torch.testing.assert_close(turned, expected)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tissues_of_the_head_do_not_overlap(seed):
    """No value is above the fluid's or below zero, as it would be where two structures add up."""
    image = phantoms.head(seed).image((512, 512), 2 / 512, supersample=4)
    assert float(image.max()) <= 1 + 1e-9
    assert float(image.min()) >= -1e-9
    assert not torch.equal(image, phantoms.head(seed + 1).image((512, 512), 2 / 512, supersample=4))
    assert not bool(image[:, :64].any())  # air around it


def test_a_polygon_on_an_ellipse_projects_as_the_ellipse():
    """But for what it lacks: a four-thousandth of a percent of the area, with 400 corners."""
    turns = 2 * math.pi * torch.arange(400, dtype=torch.float64) / 400
    polygon = phantoms.Polygons([0.7], [torch.stack((3 + 20 * turns.cos(), -5 + 9 * turns.sin()), dim=1)])
    ellipse = Ellipses([0.7], [3.0], [-5.0], [20.0], [9.0], [0.0])
    for bin_average in (True, False):
        views = [p.sinogram(ANGLES, 70, 0.9, 1.7, bin_average) for p in (polygon, ellipse)]
        assert float((views[0] - views[1]).norm() / views[1].norm()) < 2e-4
    images = [p.image((60, 70), 0.9) for p in (polygon, ellipse)]
    assert float((images[0] - images[1]).norm() / images[1].norm()) < 2e-4


def test_a_square_projects_as_a_box_and_as_a_triangle():
    square = phantoms.Polygons([2.0], [[[-3.0, -3.0], [3.0, -3.0], [3.0, 3.0], [-3.0, 3.0]]])
    straight, diagonal = square.sinogram([0.0, math.pi / 4], 10, bin_average=False)
    s = torch.arange(10, dtype=torch.float64) - 4.5
    torch.testing.assert_close(straight, torch.where(s.abs() < 3, 12.0, 0.0).double())
    torch.testing.assert_close(diagonal, (2 * 2 * (3 * math.sqrt(2) - s.abs())).clamp_min(0))


def test_a_polygon_is_the_same_whichever_way_round_and_may_be_hollow():
    corners = torch.tensor([[-9.0, -8.0], [9.0, -8.0], [9.0, 8.0], [5.0, 8.0], [5.0, -4.0], [-9.0, -4.0]])
    one, other = (phantoms.Polygons([1.0], [c]) for c in (corners, corners.flip(0)))
    torch.testing.assert_close(one.sinogram(ANGLES, 40), other.sinogram(ANGLES, 40))
    image = one.image((20, 20), 1.0)
    torch.testing.assert_close(image, other.image((20, 20), 1.0))
    assert float(image.sum()) == pytest.approx(18 * 4 + 4 * 12, rel=1e-12)
    assert image[[0, 5, 5, 16], [0, 3, 16, 3]].tolist() == [0, 0, 1, 1]


@pytest.mark.slow
def test_a_grain_holds_what_its_profile_integrates_to():
    grains = phantoms.Blobs([2.0, -1.0], [3.0, -2.5], [1.0, 4.2], [6.0, 3.3])
    mass = float((grains.value * math.pi * grains.a**2 / 3).sum())
    for bin_average, accuracy in ((True, 1e-12), (False, 1e-3)):
        views = grains.sinogram(ANGLES, 60, 0.5, 0.3, bin_average).sum(1) * 0.5
        torch.testing.assert_close(views, torch.full_like(views, mass), rtol=accuracy, atol=0)
    assert float(grains.image((41, 40), 0.5).sum()) * 0.25 == pytest.approx(mass, rel=1e-4)
    # one pixel at the center of a grain, from above: its value
    assert float(phantoms.Blobs([2.0], [0.0], [0.0], [6.0]).image((1, 1), 0.01)) == pytest.approx(2, rel=1e-5)


def test_grains_that_leave_the_field_are_cut():
    grain = phantoms.Blobs([1.0], [4.0], [-4.0], [3.0])
    whole, part = grain.image((20, 20), 1.0), grain.image((10, 10), 1.0)
    torch.testing.assert_close(part, whole[5:15, 5:15])


@pytest.mark.parametrize("seed", range(0, 60, 7))
def test_random_objects_lie_in_their_disc_and_between_zero_and_one(seed):
    phantom = phantoms.random(seed, 32.0)
    image = phantom.image((64, 64), 1.0, 4)
    assert phantom.radius < 32
    torch.testing.assert_close(image, image.clamp(0, 1), rtol=0, atol=1e-12)
    assert float(image.std()) > 0.01
    torch.testing.assert_close(phantoms.random(seed, 32.0).image((64, 64), 1.0, 4), image, rtol=0, atol=0)


def test_random_objects_differ_and_hold_every_kind_of_shape():
    made = [phantoms.random(seed) for seed in range(12)]
    counts = torch.tensor([[len(part) for part in phantom.parts] for phantom in made])
    assert (counts.sum(0) > 0).all()
    assert len({tuple(row) for row in counts.tolist()}) > 6


def test_the_image_and_the_sinogram_of_a_random_object_are_of_one_object():
    """The projector of the image gives the exact sinogram, but for what pixels cost."""
    from invgen.operators import Radon

    phantom = phantoms.random(1, 64.0)
    operator = Radon((128, 128), ANGLES)
    exact = phantom.sinogram(ANGLES, operator.range.shape[1])
    mass = float(phantom.image((128, 128), 1.0).sum())
    torch.testing.assert_close(exact.sum(1), torch.full_like(exact[:, 0], mass), rtol=2e-3, atol=0)
    error = (operator(phantom.image((128, 128), 1.0)) - exact).norm() / exact.norm()
    assert float(error) < 0.02  # the Shepp-Logan phantom of twice the pixels: 0.0077


def test_polygons_say_what_they_are_made_of():
    with pytest.raises(ShapeError, match="one value for each"):
        phantoms.Polygons([1.0, 2.0], [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    with pytest.raises(ShapeError, match="three corners"):
        phantoms.Polygons([1.0], [[[0.0, 0.0], [1.0, 0.0]]])
    with pytest.raises(ParameterError, match="finite"):
        phantoms.Polygons([1.0], [[[0.0, 0.0], [1.0, 0.0], [0.0, math.nan]]])
    with pytest.raises(ParameterError, match="half width"):
        phantoms.random(0, -1.0)
