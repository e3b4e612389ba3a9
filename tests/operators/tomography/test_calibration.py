"""Calibration from the data: objects whose fan, cone and parallel projections are known in closed form."""

import math
import time
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import scipy.io
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, DtypeError, InvgenWarning, ShapeError
from invgen.operators import ConeBeam, FanBeam, Identity, Radon, calibrate

TURN = 2 * math.pi
SOURCE, PANEL, COUNT, SPACING = 410.0, 550.0, 200, 0.5
FAN = 2 * math.atan(COUNT * SPACING / 2 / PANEL)
FOAM = ig.phantoms.foam(0, 30.0)


def even(views, span=TURN):
    return torch.arange(views, dtype=torch.float64) * (span / views)


def golden(views):
    return even(views) * views * (3 - math.sqrt(5)) / 2 % TURN


SCANS = {
    "full": even(360),
    "odd number of views": even(361),
    "both ends": torch.linspace(0, TURN, 361, dtype=torch.float64),
    "over-scanned": torch.arange(400, dtype=torch.float64) * (TURN / 360),
    "short": torch.linspace(0.3, 0.3 + math.pi + FAN, 240, dtype=torch.float64),
    "downwards": -even(360),
    "in any order": even(360)[torch.randperm(360, generator=torch.Generator().manual_seed(0))],
    "golden angle": golden(360),
    "unevenly spaced": even(360) + 0.004 * torch.sin(7 * even(360)),
}


def scan(angles, offset, phantom=FOAM, curved=False):
    """Exact sinogram with the detector displaced by `offset` bins."""
    return phantom.fan_sinogram(angles, SOURCE, PANEL, COUNT, SPACING, offset * SPACING, curved)


def fan(angles, offset=0.0, curved=False, **parameters):
    return FanBeam((64, 64), angles, SOURCE, PANEL, COUNT, SPACING, offset * SPACING, curved, **parameters)


def noisy(sinogram, level, seed=0):
    noise = torch.randn(sinogram.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return sinogram + level * sinogram.max() * noise


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_a_line_is_seen_again_after_pi_less_twice_the_fan_angle(curved):
    """The consistency that all rests on, of the closed form and of the operator's geometry."""
    geometry = fan([0.7], curved=curved).geometry
    g = geometry.fan_angles(geometry.bins())

    def rays(angles):
        """Of each view the ray through the middle of one bin, from the last bin to the first."""
        views = FOAM.fan_sinogram(angles, SOURCE, PANEL, COUNT, SPACING, 0.0, curved, subrays=1)
        return views.flip(1).diagonal()

    once = FOAM.fan_sinogram([0.7], SOURCE, PANEL, COUNT, SPACING, 0.0, curved, subrays=1)[0]
    torch.testing.assert_close(rays(0.7 + math.pi - 2 * g), once)
    assert (rays(0.7 + math.pi + 2 * g) - once).abs().max() > 0.1 * once.max()


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("angles", SCANS.values(), ids=SCANS.keys())
@pytest.mark.parametrize("offset", [0.5, -7.3])
@pytest.mark.parametrize("sense", [1, -1])
def test_offset_and_sense_of_a_fan_without_noise(angles, offset, sense):
    found = calibrate(fan(sense * angles), scan(angles, offset))
    assert found.detector_offset / SPACING == pytest.approx(offset, abs=0.02)
    assert found.rotation == sense
    assert found.other_rotation > 10
    g = found.operator.geometry
    assert g.detector_offset == found.detector_offset
    torch.testing.assert_close(g.angles, angles)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("offset", [75.3, -80.0])
@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_the_offset_of_a_half_fan(offset, curved):
    """The object passes the edge next to the axis, and the views that overlap see a third of it, or less."""
    sinogram = noisy(scan(SCANS["full"], offset, curved=curved), 0.005)
    found = calibrate(fan(SCANS["full"], curved=curved), sinogram)
    assert found.detector_offset / SPACING == pytest.approx(offset, abs=0.05)
    assert found.rotation == 1


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("offset", [36.2, -30.75])
def test_the_offset_of_a_half_acquisition(offset):
    angles = even(300)
    sinogram = noisy(ig.phantoms.foam(0, 60.0).sinogram(angles, 100, 1.0, offset), 0.005)
    found = calibrate(Radon((64, 64), angles, 100), sinogram)
    assert found.detector_offset == pytest.approx(offset, abs=0.05)
    assert found.uncertainty < 0.05


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(("angles", "offset"), [("full", -20.0), ("full", 75.3), ("short", 1.7)])
def test_stripes_do_not_pull_the_offset_of_a_fan(angles, offset):
    """As strong as half of the object: they match themselves best in the middle of the detector."""
    stripes = torch.randn(COUNT, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    sinogram = noisy(scan(SCANS[angles], offset), 0.005)
    found = calibrate(fan(SCANS[angles]), sinogram + 0.5 * sinogram.max() * stripes)
    assert found.detector_offset / SPACING == pytest.approx(offset, abs=0.05)
    assert found.rotation == 1


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 3.4, -20.0, 36.0])
def test_offsets_up_to_a_fifth_of_a_curved_detector(offset):
    found = calibrate(fan(SCANS["full"], curved=True), scan(SCANS["full"], offset, curved=True))
    assert found.detector_offset / SPACING == pytest.approx(offset, abs=0.02)
    assert found.operator.geometry.curved


def test_a_flat_detector_taken_for_a_curved_one_disagrees_more():
    data = scan(SCANS["full"], 1.3)
    right, wrong = (calibrate(fan(SCANS["full"], curved=curved), data) for curved in (False, True))
    assert right.residual < wrong.residual


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(
    ("angles", "level"),
    [("short", 0.01), ("short", 0.03), ("full", 0.01), ("full", 0.1), ("golden angle", 0.1)],
)
def test_errors_with_noise_are_what_the_uncertainty_says(angles, level):
    """Sixteen noisy scans, at four places between two bins: a mean square of about one."""
    scores = []
    for offset in (1.7, 1.95, 2.2, 2.45):
        clean = scan(SCANS[angles], offset)
        for seed in range(4):
            found = calibrate(fan(SCANS[angles]), noisy(clean, level, 4 * seed + round(4 * offset)))
            scores.append((found.detector_offset - offset * SPACING) / found.uncertainty)
            assert found.rotation == 1
    assert np.abs(scores).max() < 3.5
    assert 0.4 < np.sqrt(np.mean(np.square(scores))) < 1.6


def test_what_the_operator_states_and_the_unit_of_the_data_do_not_matter():
    data = scan(SCANS["both ends"], 2.6)
    found = calibrate(fan(SCANS["both ends"]), data)
    stated = calibrate(fan(SCANS["both ends"], offset=-4.0), data)
    scaled = calibrate(fan(SCANS["both ends"]), 1e6 * data)
    single = calibrate(fan(SCANS["both ends"]), data.float())
    assert stated.detector_offset == pytest.approx(found.detector_offset, rel=1e-9)
    assert scaled.detector_offset == pytest.approx(found.detector_offset, rel=1e-9)
    assert single.detector_offset == pytest.approx(found.detector_offset, abs=1e-3)
    assert scaled.residual == pytest.approx(found.residual)


def test_a_truncated_object_does_not_pull_the_offset_to_the_middle():
    wide = ig.phantoms.foam(0, 70.0)
    assert scan(SCANS["full"], 0.0, wide)[:, 0].max() > 0.2 * scan(SCANS["full"], 0.0, wide).max()
    found = calibrate(fan(SCANS["full"]), scan(SCANS["full"], -5.4, wide))
    assert found.detector_offset / SPACING == pytest.approx(-5.4, abs=0.02)


def test_stripes_and_drift_move_the_offset_by_little():
    rng = np.random.default_rng(0)
    data = scan(SCANS["full"], 3.2)
    for wrong in (0.01 * rng.standard_normal(COUNT), 0.02 * rng.standard_normal((360, 1)), 0.1):
        found = calibrate(fan(SCANS["full"]), data + data.max() * torch.as_tensor(wrong))
        assert found.detector_offset / SPACING == pytest.approx(3.2, abs=0.1)


def test_a_round_object_on_the_axis_determines_the_offset_and_not_the_sense():
    disc = ig.phantoms.disc(25.0)
    for data in (scan(SCANS["full"], 4.3, disc), noisy(scan(SCANS["full"], 4.3, disc), 0.01)):
        with pytest.warns(InvgenWarning, match="sense of rotation"):
            found = calibrate(fan(-SCANS["full"]), data)
        assert found.rotation == 1
        assert found.other_rotation == pytest.approx(1, abs=0.1)
        assert found.detector_offset / SPACING == pytest.approx(4.3, abs=0.02)


def test_the_same_disc_beside_the_axis_determines_the_sense():
    disc = ig.phantoms.disc(20.0, center=(6.0, 0.0))
    assert calibrate(fan(-SCANS["full"]), noisy(scan(SCANS["full"], 4.3, disc), 0.01)).rotation == -1


@pytest.mark.parametrize("make", [fan, lambda angles, offset: Radon((64, 64), angles, COUNT, 1.0, offset)])
def test_data_without_structure_give_a_warning_and_keep_what_was_stated(make):
    operator = make(SCANS["full"], 3.0)
    stated = operator.geometry.detector_offset
    for data in (torch.zeros(360, COUNT), torch.ones(360, COUNT)):
        with pytest.warns(InvgenWarning, match="not found with certainty"):
            found = calibrate(operator, data)
        if not data.any():
            assert (found.detector_offset, found.rotation) == (stated, 1)
            assert found.uncertainty == math.inf
    with pytest.warns(InvgenWarning, match="not found with certainty"):
        calibrate(operator, torch.randn(360, COUNT, generator=torch.Generator().manual_seed(0)))


def test_a_limited_angle_is_an_error_that_says_how_much_there_is_and_is_needed():
    angles = even(150, math.radians(150))
    needed = 180 + math.degrees(FAN)
    with pytest.raises(DataError, match=rf"cover 150\.0 degrees.*over {needed:.1f}: 180 and its own"):
        calibrate(fan(angles), scan(angles, 0.0))
    with pytest.raises(DataError, match=r"cover 150 degrees.*from 180"):
        calibrate(Radon((64, 64), angles), torch.zeros(Radon((64, 64), angles).range.shape))
    half = even(180, math.pi)  # enough for parallel beams, and not for a fan
    with pytest.raises(DataError, match=r"cover 180\.0 degrees"):
        calibrate(fan(half), scan(half, 0.0))


@pytest.mark.parametrize("span", [math.pi, TURN])
@pytest.mark.parametrize("scale", [1.0, 2.0], ids=["whole", "truncated"])
def test_parallel_beams_agree_with_find_center(span, scale):
    angles, spacing = even(180, span), 0.4
    data = FOAM.scaled(length=scale).sinogram(angles, 160, spacing, 2.2 * spacing)
    found = calibrate(Radon((64, 64), angles, 160, spacing), data)
    assert found.detector_offset / spacing == pytest.approx(2.2, abs=0.05 if scale == 1 else 0.2)
    assert (found.rotation, found.other_rotation) == (1, 1.0)
    assert found.operator.geometry.detector_offset == found.detector_offset
    projections = ig.io.Projections(data.float(), angles, "absorption")
    center = ig.io.find_center(projections)
    assert center == pytest.approx(79.5 - found.detector_offset / spacing, abs=1e-3)
    assert center.uncertainty == pytest.approx(found.uncertainty / spacing, rel=0.05)


@pytest.mark.parametrize("row_offset", [0.0, 0.7])
def test_cones_are_calibrated_in_the_central_plane(row_offset):
    angles = even(240)
    shape, spacing = (6, 120), (1.0, 0.8)
    volume = ig.phantoms.foam_3d(0, 25.0)
    data = volume.cone_sinogram(angles, SOURCE, PANEL, shape, spacing, (row_offset, 3.6 * 0.8), subrays=2)
    operator = ConeBeam((4, 32, 32), -angles, SOURCE, PANEL, shape, spacing, (row_offset, 0.0))
    found = calibrate(operator, data)
    assert found.detector_offset / 0.8 == pytest.approx(3.6, abs=0.02)
    assert found.rotation == -1
    g = found.operator.geometry
    assert (g.row_offset, g.fan.detector_offset, g.row_count) == (row_offset, found.detector_offset, 6)
    torch.testing.assert_close(g.angles, angles)


def test_a_panel_beside_the_central_plane_is_refused():
    operator = ConeBeam((4, 32, 32), 90, SOURCE, PANEL, (3, 100), 1.0, (4.0, 0.0))
    with pytest.raises(DataError, match="rows of the panel are 3 or more from the source's plane"):
        calibrate(operator, torch.zeros(operator.range.shape))


@pytest.mark.parametrize("count", [32, 33, 50])
def test_small_detectors(count):
    disc = ig.phantoms.disc(5.0, center=(2.0, 1.0))
    data = disc.fan_sinogram(even(90), 40.0, 60.0, count, 1.0, 1.3)
    found = calibrate(FanBeam((8, 8), even(90), 40.0, 60.0, count, 1.0, -4.0), data)
    assert (found.detector_offset, found.rotation) == (pytest.approx(1.3, abs=0.05), 1)
    with pytest.raises(DataError, match="31 columns is too coarse"):
        calibrate(FanBeam((8, 8), even(90), 40.0, 60.0, 31, 1.0), torch.zeros(90, 31))


def test_what_is_no_scan_is_refused():
    operator = fan(8)
    with pytest.raises(CapabilityError, match="expects a Radon, FanBeam or ConeBeam operator; got Identity"):
        calibrate(Identity((8, COUNT)), torch.zeros(8, COUNT))
    with pytest.raises(CapabilityError, match="got str"):
        calibrate("fan", torch.zeros(8, COUNT))
    with pytest.raises(ShapeError, match="one sinogram"):
        calibrate(operator, torch.zeros(2, 8, COUNT))
    with pytest.raises(ShapeError):
        calibrate(operator, torch.zeros(7, COUNT))
    with pytest.raises(DtypeError, match=r"torch\.Tensor"):
        calibrate(operator, np.zeros((8, COUNT)))
    with pytest.raises(DataError, match="NaN"):
        calibrate(operator, torch.full((8, COUNT), math.nan))


def test_the_new_operator_is_the_old_one_but_for_its_place():
    angles = SCANS["full"]
    data = scan(angles, 2.0)
    chosen = calibrate(fan(angles, pixel_size=0.9, fov="disc"), data)
    assert chosen.operator.fov == "disc"
    assert chosen.operator.geometry.pixel_size == 0.9
    image = FOAM.image((64, 64), 1.0)
    before, after = (
        torch.linalg.norm(A(image) - data) for A in (fan(angles), calibrate(fan(angles), data).operator)
    )
    assert after < 0.5 * before
    with pytest.raises(FrozenInstanceError):
        chosen.rotation = -1


HTC = ["ta", "tc", "solid_disc"]


@pytest.fixture(scope="module")
def measured(measured_file):
    """The scans of the Helsinki Tomography Challenge 2022: operator and sinogram of each."""

    def read(name):
        path = measured_file(f"ct/htc2022_{name}_full.mat")
        full = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["CtDataFull"]
        p = full.parameters
        operator = FanBeam(
            (512, 512),
            np.deg2rad(p.angles.astype(float)),
            p.distanceSourceOrigin,
            p.distanceSourceDetector,
            560,
            p.pixelSizePost,
            pixel_size=0.15,
        )
        return operator, torch.as_tensor(full.sinogram.astype(float))

    return {name: read(name) for name in HTC}


@pytest.mark.slow
def test_three_scans_of_one_scanner_have_one_offset(measured):
    found = {name: calibrate(*scan) for name, scan in measured.items()}
    bins = [c.detector_offset / 0.2 for c in found.values()]
    assert np.mean(bins) == pytest.approx(0.10, abs=0.03)
    assert np.ptp(bins) < 0.04
    assert all(c.uncertainty / 0.2 < 0.01 for c in found.values())
    assert [c.rotation for c in found.values()] == [1, 1, 1]
    assert all(c.residual < 0.03 for c in found.values())


def test_a_measured_scan_is_calibrated_in_seconds(measured):
    operator, data = measured["ta"]
    start = time.perf_counter()
    calibrate(operator, data)
    assert time.perf_counter() - start < 10  # 0.7 s on one core that has nothing else to do
