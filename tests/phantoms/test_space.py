import math

import pytest
import torch

from invgen import phantoms
from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import ConeBeam
from invgen.phantoms import Ellipses, Ellipsoids

ANGLES = torch.arange(7, dtype=torch.float64) * 0.93


def oblique():
    """Two ellipsoids, off-center and turned, one denser inside and one subtracting."""
    return Ellipsoids(
        [1.0, -0.4], [3.0, 5.0], [-7.0, -6.0], [2.0, 4.0], [20.0, 4.0], [9.0, 2.5], [6.0, 3.0], [0.7, -1.9]
    )


def mass(phantom):
    return float((phantom.value * 4 / 3 * math.pi * phantom.a * phantom.b * phantom.c).sum())


def test_a_cone_crosses_a_ball_along_its_chords():
    source, detector, center = 60.0, 100.0, torch.tensor([5.0, -9.0, 4.0]).double()
    sinogram = phantoms.ball(20.0, value=0.3, center=tuple(center.tolist())).cone_sinogram(
        ANGLES, source, detector, (40, 50), (2.5, 2.0), (-3.0, 7.0), subrays=1
    )
    v = (torch.arange(40).double() - 19.5) * 2.5 - 3.0
    u = (torch.arange(50).double() - 24.5) * 2.0 + 7.0
    for t, view in zip(ANGLES.tolist(), sinogram, strict=True):
        across = torch.tensor([math.cos(t), math.sin(t), 0], dtype=torch.float64)
        along = torch.tensor([-math.sin(t), math.cos(t), 0], dtype=torch.float64)
        up = torch.tensor([0, 0, 1]).double()
        ray = u[:, None] * across + detector * along + v[:, None, None] * up
        ray /= ray.norm(dim=2, keepdim=True)
        distance = torch.linalg.cross((center + source * along).expand_as(ray), ray).norm(dim=2)
        torch.testing.assert_close(view, 0.3 * 2 * (20.0**2 - distance**2).clamp_min(0).sqrt())


def test_the_central_ray_of_a_ball_measures_its_diameter():
    through_center = phantoms.ball(7.0).cone_sinogram(ANGLES, 30.0, 45.0, (1, 1), 1.0, subrays=1)
    torch.testing.assert_close(through_center, torch.full_like(through_center, 14.0))


def test_the_central_row_is_the_fan_sinogram_of_the_central_slice():
    phantom = oblique()
    shrink = (1 - (phantom.z / phantom.c) ** 2).clamp_min(0).sqrt()  # of the ellipses at z = 0
    inside = shrink > 0
    ellipses = [phantom.value, phantom.x, phantom.y, phantom.a * shrink, phantom.b * shrink, phantom.rotation]
    central = Ellipses(*(column[inside] for column in ellipses))
    fan = central.fan_sinogram(ANGLES, 70.0, 105.0, 60, 1.3, 2.0, subrays=1)
    cone = phantom.cone_sinogram(ANGLES, 70.0, 105.0, (5, 60), (0.9, 1.3), (0.0, 2.0), subrays=1)
    torch.testing.assert_close(cone[:, 2], fan)


def test_a_cone_from_far_away_sees_every_slice_as_a_parallel_beam():
    phantom, far = oblique(), 1e6
    cone = phantom.cone_sinogram(ANGLES, far, far, (9, 60), 1.0, subrays=1)
    for row, z in enumerate(range(-4, 5)):
        shrink = (1 - ((z - phantom.z) / phantom.c) ** 2).clamp_min(0).sqrt()
        keep = shrink > 0
        columns = [phantom.value, phantom.x, phantom.y, phantom.a * shrink, phantom.b * shrink]
        section = Ellipses(*(c[keep] for c in (*columns, phantom.rotation)))
        parallel = section.sinogram(ANGLES, 60, bin_average=False)
        torch.testing.assert_close(cone[:, row], parallel, rtol=0, atol=0.05)
        assert (cone[:, row] - parallel).norm() <= 2e-3 * parallel.norm()


def test_up_on_the_detector_is_up_in_space():
    view = phantoms.ball(3.0, center=(0.0, 0.0, 8.0)).cone_sinogram([1.0], 100.0, 200.0, (41, 41), 2.0)[0]
    rows = (view.sum(1) * torch.arange(41)).sum() / view.sum()
    assert rows == pytest.approx(20 + 8.0 * 2 / 2, abs=0.05)  # magnified twice, in rows of 2


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    "make",
    [
        oblique,
        lambda: phantoms.shepp_logan_3d(40.0),
        lambda: phantoms.foam_3d(3, 40.0),
        lambda: phantoms.foam_3d(0, 40.0, 9),
    ],
    ids=["oblique", "head", "foam", "flat foam"],
)
def test_volume_holds_the_mass_of_its_ellipsoids(make):
    phantom = make()
    volume = phantom.volume((90, 88, 86), 0.9)
    assert float(volume.sum()) * 0.9**3 == pytest.approx(mass(phantom), rel=2e-3)


def test_a_projection_from_far_away_holds_the_mass():
    view = oblique().cone_sinogram(ANGLES, 1e5, 1e5, (40, 120), 0.5)
    torch.testing.assert_close(
        view.sum((1, 2)) * 0.25, torch.full((7,), mass(oblique())).double(), rtol=1e-3, atol=0
    )


def test_slices_are_the_images_of_the_sections():
    phantom = oblique()
    volume = phantom.volume((16, 50, 60), 1.0, supersample=16)
    z = (torch.arange(16 * 16) + 0.5).double() / 16 - 8
    for k in (3, 8, 12):
        section = torch.zeros(50, 60, dtype=torch.float64)
        for height in z[16 * k : 16 * k + 16].tolist():
            shrink = (1 - ((height - phantom.z) / phantom.c) ** 2).clamp_min(0).sqrt()
            keep = shrink > 0
            columns = [phantom.value, phantom.x, phantom.y, phantom.a * shrink, phantom.b * shrink]
            ellipses = Ellipses(*(c[keep] for c in (*columns, phantom.rotation)))
            section += ellipses.image((50, 60), 1.0, supersample=16) / 16
        torch.testing.assert_close(volume[k], section, rtol=0, atol=1e-12)


def test_an_upright_rod_has_the_same_image_in_every_slice():
    rod = Ellipsoids([0.7], [3.0], [2.0], [0.0], [9.0], [5.0], [1e6], [0.4])
    flat = Ellipses([0.7], [3.0], [2.0], [9.0], [5.0], [0.4])
    volume, image = rod.volume((3, 30, 32), 1.0), flat.image((30, 32), 1.0, supersample=4)
    torch.testing.assert_close(volume, image.expand(3, -1, -1))


@pytest.mark.slow
def test_blocks_and_cropping_change_nothing(monkeypatch):
    foam = phantoms.foam_3d(0, 20.0)  # beyond the volume and the detector
    phantom = Ellipsoids(*(getattr(foam, name)[:100] for name in ("value", *"xyzabc", "rotation")))
    volume = phantom.volume((40, 40, 40), 1.0)
    scan = [50.0, 100.0, (30, 24), 1.5, (2.0, -3.0), 2]
    whole = phantom.cone_sinogram(ANGLES, *scan)
    wide = phantom.cone_sinogram(ANGLES, 50.0, 100.0, (90, 72), 1.5, (2.0, -3.0), 2)
    torch.testing.assert_close(wide[:, 30:60, 24:48], whole)
    monkeypatch.setattr("invgen.phantoms.shapes.BLOCK", 1)
    torch.testing.assert_close(phantom.volume((30, 20, 34), 1.0), volume[5:35, 10:30, 3:37])
    monkeypatch.setattr("invgen.phantoms.ellipsoids.BLOCK", 3000)
    torch.testing.assert_close(phantom.cone_sinogram(ANGLES, *scan), whole)


def test_a_pixel_is_the_mean_of_the_rays_over_it():
    many = oblique().cone_sinogram(ANGLES, 60.0, 90.0, (20 * 12, 50 * 12), 1.2 / 12, subrays=2)
    mean = many.reshape(7, 20, 12, 50, 12).mean((2, 4))
    errors = [
        float(
            (oblique().cone_sinogram(ANGLES, 60.0, 90.0, (20, 50), 1.2, subrays=n) - mean).norm()
            / mean.norm()
        )
        for n in (1, 2, 4)
    ]
    assert errors[0] < 0.03
    assert errors[2] < 0.003
    assert errors[0] > errors[1] > errors[2]


def test_scaling_is_a_change_of_units():
    phantom, twice = oblique(), oblique().scaled(length=2.0, value=0.5)
    once = phantom.cone_sinogram(ANGLES, 60.0, 90.0, (20, 30), 1.5)
    torch.testing.assert_close(twice.cone_sinogram(ANGLES, 120.0, 180.0, (20, 30), 3.0), once)
    assert mass(phantom.scaled(height=0.25)) == pytest.approx(mass(phantom) / 4)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("height", [64.0, 16.0, 2.0, 100.0])
def test_foam_is_a_physical_object_inside_the_field(height):
    foam = phantoms.foam_3d(1, 64.0, height)
    assert foam.radius <= 0.92 * 64 * (1 + 1e-12)
    assert float((foam.z.abs() + foam.c).max()) <= 0.92 * height * (1 + 1e-12)
    volume = foam.volume((2 * math.ceil(height), 128, 128), 1.0)
    assert volume.min() >= -1e-12
    assert volume.max() <= 1 + 1e-12
    if height > 10:
        assert volume.max() == pytest.approx(1.0)


@pytest.mark.slow
def test_the_balls_of_the_foam_do_not_overlap():
    foam = phantoms.foam_3d(0)
    center, radius = torch.stack((foam.x, foam.y, foam.z), 1)[3:], foam.a[3:]
    apart = torch.cdist(center, center) - radius - radius[:, None]
    nested = torch.cdist(center, center) < 1e-6  # the hollow of a grain, and a ball and itself
    assert bool((apart[~nested] > 0).all())
    assert len(foam) > 300


@pytest.mark.slow
def test_foam_depends_on_its_seed_and_on_nothing_else():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = phantoms.foam_3d(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.x, phantoms.foam_3d(0).x)
    assert not torch.equal(first.x[:50], phantoms.foam_3d(1).x[:50])


def test_shepp_logan_has_the_contrasts_of_its_paper():
    tissues = {}
    for modified in (True, False):
        volume = phantoms.shepp_logan_3d(50.0, modified=modified).volume((100, 100, 100), 1.0)
        assert volume.min() >= -1e-12
        tissues[modified] = float(volume.max()), float(volume[50, 72, 50])  # skull, brain
    assert tissues[True] == pytest.approx((1.0, 0.2))
    assert tissues[False] == pytest.approx((2.0, 1.02))


def test_both_shepp_logans_look_the_same_way():
    flat, space = phantoms.shepp_logan(50.0), phantoms.shepp_logan_3d(50.0)
    slices = space.volume((100, 100, 100), 1.0)
    section, image = slices[37], flat.image((100, 100), 1.0)  # the ventricles are at z = -0.25
    difference = {
        name: float((other - image).abs().mean())
        for name, other in (("same", section), ("rows", section.flip(0)), ("columns", section.flip(1)))
    }
    assert min(difference, key=difference.get) == "same"


def test_what_is_no_phantom_or_no_scan_is_refused():
    with pytest.raises(ShapeError, match="8 vectors of one length"):
        Ellipsoids([1.0, 2.0], [0.0], [0.0], [0.0], [1.0], [1.0], [1.0], [0.0])
    with pytest.raises(ParameterError, match="positive semi-axes"):
        phantoms.ball(0.0)
    with pytest.raises(ParameterError, match="NaN"):
        phantoms.ball(1.0, center=(0.0, 0.0, math.nan))
    with pytest.raises(ParameterError, match="half height"):
        phantoms.foam_3d(0, 1.0, -1.0)
    with pytest.raises(ParameterError, match="outside of the phantom"):
        oblique().cone_sinogram(ANGLES, 20.0, 90.0, (4, 4), 1.0)
    with pytest.raises(ParameterError, match="number of detector bins is a whole number"):
        oblique().cone_sinogram(ANGLES, 60.0, 90.0, (0, 4), 1.0)
    with pytest.raises(ParameterError, match="pixels of positive size"):
        oblique().volume((4, 4, 4), 0.0)


@pytest.mark.slow
def test_the_cone_beam_operator_sees_the_same_rays():
    phantom = phantoms.foam_3d(0, 32.0, 16.0)
    volume = phantom.volume((64, 128, 128), 0.5)
    scan = (100.0, 160.0, (50, 120), (1.2, 1.0), (1.5, -2.0))
    ours = phantom.cone_sinogram(ANGLES, *scan)
    theirs = ConeBeam(volume.shape, ANGLES, *scan, 0.5)(volume)
    assert (ours - theirs).norm() < 0.02 * ours.norm()
