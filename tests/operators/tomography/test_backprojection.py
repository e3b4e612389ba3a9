"""Backprojection of filtered views, and how much each ray of a fan counts."""

import math

import pytest
import torch

from invgen.operators import ConeBeam, FanBeam
from invgen.operators.tomography import backprojection_cpu, backprojection_torch
from invgen.operators.tomography.backprojection import ConeBackprojection, FanBackprojection, refined
from invgen.operators.tomography.geometry import angular_weights
from invgen.operators.tomography.rays import FINE, PixelShadows
from invgen.operators.tomography.redundancy import ray_weights
from invgen.testing import check_operator

TURN = 2 * math.pi
ANGLES = torch.cat(
    [
        torch.arange(8, dtype=torch.float64) * (TURN / 8),
        torch.rand(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 9 - 3,
    ]
)


def white(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def samples(count):
    return FINE * (count - 1) + 1


def coordinates(geometry):
    """Of each pixel and view: place along the detector's axis, and distance from the source along the ray."""
    x, y = geometry.pixel_centers()
    t = geometry.angles[:, None, None]
    u = x * t.cos() + y[:, None] * t.sin()
    return u, geometry.source_origin - x * t.sin() + y[:, None] * t.cos()


# refinement


@pytest.mark.parametrize("n", [26, 27, 30, 64])
def test_every_fourth_sample_is_a_bin(n):
    x = white(3, 13)
    fine = refined(torch.fft.rfft(x, n=n), n, 13)
    assert fine.shape == (3, 49)
    torch.testing.assert_close(fine[:, ::4], x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [30, 31])
def test_in_between_a_wave_goes_on(n):
    place = torch.arange(n, dtype=torch.float64)
    for k in (0, 1, 5, 14):
        wave = torch.cos(TURN * k * place / n + 0.3)
        fine = torch.cos(TURN * k * torch.arange(samples(13), dtype=torch.float64) / FINE / n + 0.3)
        torch.testing.assert_close(refined(torch.fft.rfft(wave), n, 13), fine, rtol=0, atol=1e-12)


# backprojection

FANS = {
    "plain": {},
    "displaced": {"detector_offset": 3.7},
    "truncated": {"detector_count": 13, "detector_offset": -2.1},
    "coarse": {"detector_spacing": 4.3},
    "wide": {"source_origin": 22.0, "source_detector": 25.0},
    "units": {"pixel_size": 0.01, "source_origin": 0.5, "source_detector": 0.9},
    "one bin": {"detector_count": 1},
}


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize("name", FANS)
@pytest.mark.parametrize("shape", [(24, 20), (7, 31), (1, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_compiled_fan_is_the_formula(shape, name, curved, dtype, tolerance):
    parameters = {"source_origin": 40.0, "source_detector": 60.0, **FANS[name]}
    g = FanBeam(shape, ANGLES, curved=curved, **parameters).geometry
    filtered = white(2, len(ANGLES), samples(g.detector_count), dtype=dtype)
    x = FanBackprojection(g)(filtered)
    expected = backprojection_torch.fan(filtered, PixelShadows(g.as_cone()))
    torch.testing.assert_close(x, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


CONES = {
    "plain": {},
    "displaced": {"detector_offset": (2.3, -1.7)},
    "few rows": {"detector_shape": (3, 50), "detector_offset": (-1.3, 1.1)},
    "one row": {"detector_shape": (1, 50), "detector_spacing": (5.3, 1.0)},
    "rows above the source": {"detector_shape": (4, 50), "detector_offset": (9.1, 0.0)},
    "coarse": {"detector_spacing": (3.1, 2.2)},
    "units": {"voxel_size": 0.01, "source_origin": 0.25, "source_detector": 0.45},
}


@pytest.mark.parametrize("name", CONES)
@pytest.mark.parametrize("shape", [(7, 14, 12), (4, 9, 17), (1, 5, 5)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_compiled_cone_is_the_formula(monkeypatch, shape, name, dtype, tolerance):
    g = ConeBeam(shape, ANGLES, **{"source_origin": 25.0, "source_detector": 41.0, **CONES[name]}).geometry
    filtered = white(2, len(ANGLES), g.row_count, samples(g.fan.detector_count), dtype=dtype)
    expected = backprojection_torch.cone(filtered, PixelShadows(g))
    for slab in (1 << 24, 2 * shape[1] * shape[2]):
        monkeypatch.setattr(backprojection_cpu, "_SLAB", slab)
        x = ConeBackprojection(g)(filtered)
        torch.testing.assert_close(x, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize("name", FANS)
def test_backprojection_of_a_fan_keeps_the_rules_of_operators(name, curved):
    parameters = {"source_origin": 40.0, "source_detector": 60.0, **FANS[name]}
    check_operator(FanBackprojection(FanBeam((7, 9), ANGLES[:4], curved=curved, **parameters).geometry))


@pytest.mark.parametrize("name", CONES)
def test_backprojection_of_a_cone_keeps_the_rules_of_operators(name):
    parameters = {"source_origin": 25.0, "source_detector": 41.0, "detector_shape": (4, 9), **CONES[name]}
    check_operator(ConeBackprojection(ConeBeam((3, 5, 4), ANGLES[:3], **parameters).geometry))


def test_the_compiled_adjoints_are_those_of_the_formula(monkeypatch):
    """Also of a volume that is worked on in slabs."""
    fan = PixelShadows(FanBeam((24, 20), ANGLES, 40.0, 60.0, 50, curved=True).geometry.as_cone())
    x = white(2, 24, 20)
    expected = backprojection_torch.fan_adjoint(x, fan, samples(50))
    torch.testing.assert_close(backprojection_cpu.fan_adjoint(x, fan, samples(50)), expected)
    cone, x = PixelShadows(ConeBeam((7, 14, 12), ANGLES, 25.0, 41.0, (9, 30)).geometry), white(2, 7, 14, 12)
    panel = (9, samples(30))
    expected = backprojection_torch.cone_adjoint(x, cone, panel)
    for slab in (1 << 24, 2 * 14 * 12):
        monkeypatch.setattr(backprojection_cpu, "_SLAB", slab)
        torch.testing.assert_close(backprojection_cpu.cone_adjoint(x, cone, panel), expected)


def test_any_number_of_threads_gives_the_same_bits(set_threads):
    fan, cone = FanBeam((60, 50), 20, 200.0, 300.0).geometry, ConeBeam((9, 30, 25), 9, 60.0, 90.0).geometry
    rows = white(2, 20, samples(fan.detector_count), dtype=torch.float32)
    panels = white(2, 9, cone.row_count, samples(cone.fan.detector_count), dtype=torch.float32)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        flat, deep = FanBackprojection(fan), ConeBackprojection(cone)
        images = flat(rows), deep(panels)
        results.append((*images, flat.H(images[0]), deep.H(images[1])))
        assert torch.get_num_threads() == threads
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_views_of_ones_give_the_mean_inverse_square_distance(curved):
    """Over a turn ``d^2 / (d^2 - r^2)``, of its part along the central ray ``d^3 / (d^2 - r^2)^(3/2)``."""
    d, p = 30.0, 0.5
    g = FanBeam((60, 50), 400, d, 45.0, curved=curved, pixel_size=p).geometry
    x = FanBackprojection(g)(torch.ones(1, 400, samples(g.detector_count), dtype=torch.float64))[0] / 400
    columns, rows = g.pixel_centers()
    r2 = columns**2 + rows[:, None] ** 2
    expected = d**2 / (d**2 - r2) if curved else d**3 / (d**2 - r2) ** 1.5
    torch.testing.assert_close(x, expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize("offset", [0.0, 4.4, -4.4])
def test_a_pixel_finds_its_own_place_on_the_detector(offset, curved):
    """Views that hold the place of each sample: linear interpolation is exact."""
    source, detector = 40.0, 66.0
    g = FanBeam((21, 30), ANGLES[5:6], source, detector, None, 1.3, offset, curved).geometry
    place = torch.arange(samples(g.detector_count), dtype=torch.float64) / FINE
    place = (place - (g.detector_count - 1) / 2) * 1.3 + offset
    u, w = (c[0] for c in coordinates(g))
    expected = detector * (u / w).atan() if curved else detector * u / w
    weight = source**2 / ((u**2 + w**2) if curved else w**2)
    torch.testing.assert_close(FanBackprojection(g)(place[None, None])[0], expected * weight)


def test_a_voxel_finds_its_own_row_on_the_panel():
    source, detector = 40.0, 66.0
    A = ConeBeam(
        (9, 12, 10), ANGLES[5:6], source, detector, detector_spacing=(1.7, 1.3), detector_offset=(2.2, 0.0)
    )
    g = A.geometry
    heights = g.rows()[:, None].expand(-1, samples(g.fan.detector_count))
    _, w = coordinates(g.fan)
    expected = detector * g.slices()[:, None, None] / w * source**2 / w**2
    torch.testing.assert_close(ConeBackprojection(g)(heights[None, None])[0], expected)


def test_a_detector_ends_at_the_edges_of_its_outer_bins():
    """What lies before the outer half of an outer bin is seen; what lies next to it is not."""
    count, spacing = 8, 4.1
    g = FanBeam((41, 41), [0.0], 100.0, 100.0, count, spacing).geometry
    u, w = (c[0] for c in coordinates(g))
    seen = (100 * u / w).abs() < count * spacing / 2
    x = FanBackprojection(g)(torch.ones(1, 1, samples(count), dtype=torch.float64))[0]
    assert torch.equal(x > 0, seen)
    cone = ConeBeam((25, 9, 9), [0.0], 100.0, 100.0, (3, 40), (spacing, 1.0)).geometry
    _, w = coordinates(cone.fan)
    seen = (100 * cone.slices()[:, None, None] / w).abs() < 3 * spacing / 2
    x = ConeBackprojection(cone)(torch.ones(1, 1, 3, samples(40), dtype=torch.float64))[0]
    assert torch.equal(x > 0, seen)


# how much each ray counts

#: A curved detector with bins at every half step of the source: the rays of a view are met again by others'.
STEPS, COUNT = 240, 41
STEP = TURN / STEPS


def scan(views, count=COUNT, shift=0):
    """Geometry of chosen multiples of the step; the detector is displaced by `shift` bins."""
    spacing = 60 * STEP / 2
    views = views.double()
    operator = FanBeam((8, 8), views * STEP + 0.1, 60.0, 60.0, count, spacing, shift * spacing, curved=True)
    return operator.geometry


#: Half the fan is ten steps; a scan of half a turn and the fan has 120 + 21.
FULL = torch.arange(STEPS)
VIEWS = {
    "full turn": FULL,
    "minimal short scan": FULL[:141],
    "short scan": FULL[:160],
    "over-scanned": FULL[:200],
    "through zero": (FULL[:160] + 170) % STEPS,
    "less than a short scan": FULL[:125],
    "a missing wedge": torch.cat([FULL[:30], FULL[60:]]),
    "two missing wedges": torch.cat([FULL[:30], FULL[60:100], FULL[130:]]),
    "four arcs": torch.cat([FULL[k : k + 40] for k in (0, 60, 120, 180)]),
    "in any order": FULL[:160][torch.randperm(160, generator=torch.Generator().manual_seed(0))],
}


def with_partners(views, count=COUNT, shift=0, beyond_disc=False):
    """Weights of the rays on a grid of all views, zero where none was taken, and those of their partners."""
    weights = torch.zeros(STEPS, count, dtype=torch.float64)
    weights[views] = ray_weights(scan(views, count, shift), beyond_disc)
    taken = torch.zeros(STEPS, count, dtype=torch.bool)
    taken[views] = True
    # the fan angle is half a step for each bin from the middle: that of the partner is the opposite
    place = torch.arange(count) + shift - (count - 1) // 2
    mirrored = torch.arange(count) - 2 * place
    there = (mirrored >= 0) & (mirrored < count)
    opposite = (torch.arange(STEPS)[:, None] + STEPS // 2 - place) % STEPS
    partner = (weights * taken)[opposite, mirrored.clamp(0, count - 1)] * there
    return weights, partner, taken, taken[opposite, mirrored.clamp(0, count - 1)] & there


@pytest.mark.parametrize("name", VIEWS)
def test_rays_of_one_line_share_the_step_of_the_views(name):
    weights, partner, taken, _ = with_partners(VIEWS[name])
    assert (weights >= 0).all()
    torch.testing.assert_close((weights + partner)[taken], torch.full_like(weights, STEP)[taken])


@pytest.mark.parametrize("name", VIEWS)
def test_a_ray_without_a_partner_stands_for_its_line(name):
    weights, _, taken, met = with_partners(VIEWS[name])
    alone = taken & ~met
    torch.testing.assert_close(weights[alone], torch.full_like(weights, STEP)[alone])
    assert alone.any() == (name != "full turn")


def test_on_a_full_turn_every_ray_counts_half():
    weights = ray_weights(scan(FULL))
    torch.testing.assert_close(weights, torch.full_like(weights, STEP / 2))


@pytest.mark.parametrize("name", ["minimal short scan", "short scan", "over-scanned"])
def test_weights_go_smoothly_to_zero_where_views_end(name):
    """Parker (1982): a step would ring through the filter."""
    weights = ray_weights(scan(VIEWS[name])) / STEP
    middle = weights[:, COUNT // 4 : -COUNT // 4]  # the very edge's overlap is a view long
    assert (middle[[0, -1]] < 0.02).all()
    for axis in (0, 1):
        assert float(torch.diff(middle, dim=axis).abs().max()) < 0.2


@pytest.mark.parametrize("shift", [12, -12])
def test_a_displaced_detector_shares_only_the_lines_it_sees_twice(shift):
    """Wang (2002): smoothly to zero at the edge that is nearer to the axis."""
    weights, partner, _, met = with_partners(FULL, shift=shift, beyond_disc=True)
    torch.testing.assert_close(weights + partner, torch.full_like(weights, STEP))
    torch.testing.assert_close(weights[~met], torch.full_like(weights, STEP)[~met])
    near = 0 if shift > 0 else -1
    assert (weights[:, near] < 0.02 * STEP).all()
    assert float(torch.diff(weights, dim=1).abs().max()) < 0.2 * STEP


@pytest.mark.parametrize("shift", [12, -12])
def test_a_displaced_detector_on_a_short_scan_shares_too(shift):
    weights, partner, taken, _ = with_partners(FULL[:200], shift=shift, beyond_disc=True)
    torch.testing.assert_close((weights + partner)[taken], torch.full_like(weights, STEP)[taken])


def test_weights_of_views_in_any_order_are_the_same():
    order = torch.randperm(160, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ray_weights(scan(order)), ray_weights(scan(torch.arange(160)))[order])


def test_zero_and_a_full_turn_share_their_view():
    g = FanBeam((8, 8), torch.linspace(0, TURN, STEPS + 1, dtype=torch.float64), 60.0, 90.0).geometry
    weights = ray_weights(g)
    inner = torch.full_like(weights[1:-1], STEP / 2)
    torch.testing.assert_close(weights[1:-1], inner)
    torch.testing.assert_close(weights[0] + weights[-1], inner[0])


def test_uneven_views_count_by_the_gaps_beside_them():
    t = torch.rand(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * TURN
    weights = ray_weights(FanBeam((8, 8), t, 60.0, 90.0).geometry)
    torch.testing.assert_close(weights.sum(0), torch.full_like(weights[0], math.pi))
    order = t.argsort()
    gap = (t[order[11]] - t[order[9]]) / 2
    torch.testing.assert_close(weights[order[10]], (gap / 2).expand_as(weights[0]))


def test_more_than_a_turn_counts_once():
    t = torch.arange(STEPS + 50, dtype=torch.float64) * STEP
    weights = ray_weights(FanBeam((8, 8), t, 60.0, 90.0).geometry)
    torch.testing.assert_close(weights.sum(0), torch.full_like(weights[0], math.pi))


def test_a_single_view_is_all_there_is():
    weights = ray_weights(FanBeam((8, 8), [0.3], 60.0, 90.0).geometry)
    torch.testing.assert_close(weights, torch.full_like(weights, math.pi))


@pytest.mark.parametrize("period", [math.pi, 2 * math.pi])
def test_views_in_pairs_leave_no_missing_wedge(period):
    pairs = torch.arange(12, dtype=torch.float64)[:, None] * (period / 12) + torch.tensor([0.0, 1e-3])
    assert float(angular_weights(pairs.flatten(), period).sum()) == pytest.approx(period)
