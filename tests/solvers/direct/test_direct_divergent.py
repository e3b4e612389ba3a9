"""Filtered backprojection of fans and cones, from exact projections of discs and balls."""

import math

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators import ConeBeam, FanBeam, Identity, Radon
from invgen.solvers import FBP, FDK
from invgen.solvers.direct import filtered_backprojection

N, RADIUS = 128, 40.0
SOURCE, DETECTOR = 256.0, 384.0
FAN = 2 * math.asin(N / 2**0.5 / SOURCE)  # of the circle around the image


def arc(views, span, start=0.3):
    """Views of which each stands for a step around it."""
    return start + (torch.arange(views, dtype=torch.float64) + 0.5) * span / views


FULL, SHORT = arc(300, 2 * math.pi), arc(220, math.pi + FAN)
OVER = arc(280, 5.6)


def fan(angles=FULL, **parameters):
    return FanBeam((N, N), angles, SOURCE, DETECTOR, **parameters)


def exact(operator, phantom):
    g = operator.geometry
    return phantom.fan_sinogram(
        g.angles,
        g.source_origin,
        g.source_detector,
        g.detector_count,
        g.detector_spacing,
        g.detector_offset,
        g.curved,
    )


def distance_from(center=(0.0, 0.0), n=N, pixel=1.0):
    place = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * pixel
    return torch.hypot(place[None, :] - center[0], -place[:, None] - center[1])


def centroid(x):
    """Mean place along x and y of an image."""
    place = torch.arange(x.shape[-1], dtype=torch.float64) - (x.shape[-1] - 1) / 2
    return float((x.sum(0) * place).sum() / x.sum()), -float((x.sum(1) * place).sum() / x.sum())


#: A detector that sees 90 pixels to one side of the axis and 20 to the other.
HALF = {"detector_count": 110, "fov": "image"}


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize(
    ("angles", "geometry"),
    [
        (FULL, {}),
        (FULL, {"detector_offset": 0.375}),
        (FULL, {"detector_offset": 52.5, **HALF}),
        (FULL, {"detector_offset": -52.5, **HALF}),
        (FULL, {"detector_count": 120}),
        (SHORT, {}),
        (SHORT, {"detector_offset": 0.375}),
        (OVER, {}),
    ],
    ids=[
        "full",
        "quarter bin",
        "half to the right",
        "half to the left",
        "disc",
        "short",
        "short shift",
        "over",
    ],
)
def test_a_disc_is_one_inside_nothing_outside_and_where_it_was(angles, geometry, curved):
    center = (11.0, -7.0)
    A = fan(angles, curved=curved, **geometry)
    x = FBP()(ig.Problem(A, exact(A, phantoms.disc(RADIUS, center=center)))).x
    r = distance_from(center)
    assert float(x[r < RADIUS - 2].mean()) == pytest.approx(1, abs=0.002)
    assert float((x[r < RADIUS - 3] - 1).abs().max()) < 0.01
    outside = (r > RADIUS + 2) & (A.restrict(torch.ones(N, N)) > 0)
    assert float(x[outside].square().mean().sqrt()) < 0.005
    assert centroid(torch.where(r < RADIUS + 4, x, 0)) == pytest.approx(center, abs=0.02)


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize("window", ["ram-lak", "shepp-logan", "cosine", "hamming", "hann"])
def test_every_window_leaves_the_mean(window, curved):
    A = fan(curved=curved)
    x = FBP(window=window)(ig.Problem(A, exact(A, phantoms.disc(RADIUS)))).x
    assert float(x[distance_from() < RADIUS - 2].mean()) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_a_wide_fan_is_no_worse(curved):
    """A source next to the image, and a fan of 120 degrees; next to it views must lie close."""
    A = FanBeam((N, N), 1000, 104.0, 156.0, curved=curved)
    x = FBP()(ig.Problem(A, exact(A, phantoms.disc(RADIUS, center=(20.0, 10.0))))).x
    r = distance_from((20.0, 10.0))
    assert float(x[r < RADIUS - 2].mean()) == pytest.approx(1, abs=0.002)
    assert float(x[r > RADIUS + 2].square().mean().sqrt()) < 0.01


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_a_disc_to_the_edge_of_what_coarse_bins_see_is_one(curved):
    A = FanBeam((N, N), 360, SOURCE, DETECTOR, 30, 6.0, curved=curved)
    radius = A.geometry.reach - 1
    x = FBP()(ig.Problem(A, exact(A, phantoms.disc(radius)))).x
    assert float(x[distance_from() < radius - 8].mean()) == pytest.approx(1, abs=0.002)
    assert float(x[distance_from() < radius - 8].min()) > 0.99


def test_attenuation_is_in_the_inverse_of_the_lengths_unit():
    """Pixels of 0.1 mm, attenuation of 0.025 / mm."""
    p = 0.1
    A = FanBeam((N, N), 300, SOURCE * p, DETECTOR * p, detector_spacing=0.12, pixel_size=p)
    x = FBP()(ig.Problem(A, exact(A, phantoms.disc(RADIUS * p, value=0.025)))).x
    assert float(x[distance_from(pixel=p) < (RADIUS - 2) * p].mean()) == pytest.approx(0.025, rel=0.002)


def test_a_batch_is_its_elements():
    A = fan(FULL[::3])
    y = torch.stack([exact(A, phantoms.disc(r)) for r in (10.0, 30.0)])[:, None]
    x = FBP()(ig.Problem(A, y)).x
    assert x.shape == (2, 1, N, N)
    for i in range(2):
        torch.testing.assert_close(x[i, 0], FBP()(ig.Problem(A, y[i, 0])).x, rtol=1e-12, atol=1e-12)


def test_single_precision_is_enough():
    A = fan(SHORT)
    y = exact(A, phantoms.shepp_logan(N / 2))
    single, double = FBP()(ig.Problem(A, y.float())).x, FBP()(ig.Problem(A, y)).x
    assert single.dtype == torch.float32
    assert float((single - double).abs().max()) < 1e-5


def test_views_in_any_order_and_both_ends_of_a_turn_are_the_same_scan():
    phantom = phantoms.shepp_logan(N / 2)
    A = fan(torch.linspace(0, 2 * math.pi, 181, dtype=torch.float64))
    y = exact(A, phantom)
    order = torch.randperm(181, generator=torch.Generator().manual_seed(0))
    x = FBP()(ig.Problem(A, y)).x
    shuffled = FBP()(ig.Problem(A.subset(order), y[order])).x
    once = FBP()(ig.Problem(A.subset(slice(0, 180)), y[:180])).x
    torch.testing.assert_close(shuffled, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(once, x, rtol=0, atol=1e-10)


def test_views_need_not_be_equispaced():
    generator = torch.Generator().manual_seed(0)
    t = FULL + 0.3 * (FULL[1] - FULL[0]) * torch.rand(len(FULL), generator=generator, dtype=torch.float64)
    A = fan(t)
    x = FBP()(ig.Problem(A, exact(A, phantoms.disc(RADIUS, center=(9.0, -5.0))))).x
    assert float(x[distance_from((9.0, -5.0)) < RADIUS - 2].mean()) == pytest.approx(1, abs=0.002)


def parker(geometry):
    """Weights of Parker (1982), eq. 12, for views from zero to half a turn and the fan."""
    g, half = geometry.fan_angles(geometry.bins()), max(geometry.edges())
    step = float(geometry.angles[1] - geometry.angles[0])
    t = geometry.angles[:, None] - geometry.angles[0] + step / 2
    rising = torch.sin(math.pi / 4 * t / (half + g)) ** 2
    falling = torch.sin(math.pi / 4 * (math.pi + 2 * half - t) / (half - g)) ** 2
    w = torch.where(t < 2 * half + 2 * g, rising, torch.where(t > math.pi + 2 * g, falling, 1.0))
    return w * step


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
def test_a_minimal_short_scan_is_as_good_as_with_the_weights_of_parker(monkeypatch, curved):
    phantom = phantoms.shepp_logan(N / 2)
    half = max(fan(curved=curved).geometry.edges())
    A = fan(arc(230, math.pi + 2 * half), curved=curved)
    truth = phantom.image((N, N), 1.0)
    problem = ig.Problem(A, exact(A, phantom))
    own = FBP()(problem).x
    monkeypatch.setattr(filtered_backprojection, "ray_weights", lambda geometry, beyond: parker(geometry))
    theirs = FBP()(problem).x
    monkeypatch.undo()
    full = FBP()(ig.Problem(fan(curved=curved), exact(fan(curved=curved), phantom))).x
    error, parkers, best = (float((x - truth).norm() / truth.norm()) for x in (own, theirs, full))
    assert error <= 1.1 * parkers
    assert error <= 1.1 * best  # nothing was missing


@pytest.mark.parametrize("gaps", [[(20, 60)], [(20, 60), (130, 170)]], ids=["one", "two"])
def test_wedges_that_the_other_side_has_seen_are_not_missed(gaps):
    """Each line was measured at least once: where one ray of a pair is missing, the other stands for it."""
    degrees = torch.arange(360, dtype=torch.float64)
    kept = torch.ones(360, dtype=torch.bool)
    for first, last in gaps:
        kept &= (degrees < first) | (degrees >= last)
    phantom = phantoms.shepp_logan(N / 2)
    A = fan(degrees.deg2rad())
    y, truth = exact(A, phantom), phantom.image((N, N), 1.0)
    whole, part = FBP()(ig.Problem(A, y)).x, FBP()(ig.Problem(A.subset(kept), y[kept])).x
    assert (part - truth).norm() < 1.05 * (whole - truth).norm()


def test_a_far_source_is_parallel_beams():
    phantom, count = phantoms.shepp_logan(N / 2), 190
    A = FanBeam((N, N), 360, 1e6, 1e6, count, 1.0)
    x = FBP()(ig.Problem(A, exact(A, phantom))).x
    parallel = Radon((N, N), 180, count, 1.0)
    other = FBP()(ig.Problem(parallel, phantom.sinogram(parallel.angles, count, 1.0))).x
    assert float((x - other).norm() / other.norm()) < 0.02


@pytest.mark.slow
def test_noise_on_a_fan_is_what_theory_says():
    """Far away as of parallel beams: ``(2 pi)^2 / 4 views`` times the integral of the squared filter."""
    n, views = 65, 90
    A = FanBeam((n, n), views, 1e4, 1e4, detector_spacing=1.0)
    y = ig.noise.Gaussian(1.0).sample(torch.zeros(400, *A.range.shape, dtype=torch.float64), seed=0)
    centre = FBP(window="hann")(ig.Problem(A, y)).x[:, n // 2, n // 2]
    f = torch.linspace(0, 0.5, 2001, dtype=torch.float64)
    power = 2 * torch.trapezoid((f * (0.5 + 0.5 * torch.cos(2 * math.pi * f))) ** 2, f)
    assert float(centre.var()) == pytest.approx(math.pi**2 / views * float(power), rel=0.25)


# cones

BALL = 20.0


def cone(n=64, views=120, **parameters):
    return ConeBeam((n, n, n), views, 160.0, 240.0, **parameters)


def exact_cone(operator, phantom):
    g, f = operator.geometry, operator.geometry.fan
    return phantom.cone_sinogram(
        g.angles,
        f.source_origin,
        f.source_detector,
        (g.row_count, f.detector_count),
        (g.row_spacing, f.detector_spacing),
        (g.row_offset, f.detector_offset),
    )


def middle(volume):
    """Mean place along x, y and z."""
    place = torch.arange(volume.shape[0], dtype=torch.float64) - (volume.shape[0] - 1) / 2
    x, y = centroid(volume.sum(0))
    return x, y, float((volume.sum((1, 2)) * place).sum() / volume.sum())


def distance_in_space(center, n=64):
    place = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    plane = distance_from(center[:2], n)
    return torch.hypot(plane, (place - center[2])[:, None, None])


@pytest.mark.parametrize(
    ("angles", "geometry"),
    [
        (120, {}),
        (120, {"detector_spacing": (2.1, 1.4), "detector_offset": (6.2, -0.4)}),
        (arc(100, 4.2), {}),
        (120, {"detector_shape": (90, 60), "detector_offset": (0.0, 22.5), "fov": "image"}),
    ],
    ids=["full", "displaced rows", "short", "displaced columns"],
)
def test_a_ball_is_one_inside_and_where_it_was(angles, geometry):
    """In the plane of the source to a few thousandths; off it a circular orbit does not determine all."""
    center = (5.0, -7.0, 3.0)
    A = cone(views=angles, **geometry)
    x = FDK()(ig.Problem(A, exact_cone(A, phantoms.ball(BALL, center=center)))).x
    r = distance_in_space(center)
    inside, outside, ball = r < BALL - 2, r > BALL + 2, torch.where(r < BALL + 3, x, 0)
    assert float(x[inside].mean()) == pytest.approx(1, abs=0.02)
    assert float(x[outside].square().mean().sqrt()) < 0.05
    assert middle(ball) == pytest.approx(center, abs=0.2)
    assert middle(ball)[2] == pytest.approx(center[2], abs=0.02)
    plane = slice(31, 33)
    assert float(x[plane][inside[plane]].mean()) == pytest.approx(1, abs=0.002)
    assert float(x[plane][outside[plane]].square().mean().sqrt()) < 0.005
    assert centroid(ball[plane].sum(0)) == pytest.approx(center[:2], abs=0.02)


def test_the_plane_of_the_source_is_a_fan():
    A = ConeBeam((5, 48, 48), 90, 160.0, 240.0, (9, 80), 1.5, (0.0, 0.7))
    flat = FanBeam((48, 48), 90, 160.0, 240.0, 80, 1.5, 0.7)
    y = torch.rand(A.range.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    volume, image = FDK()(ig.Problem(A, y)).x, FBP()(ig.Problem(flat, y[:, 4])).x
    torch.testing.assert_close(volume[2], image, rtol=0, atol=1e-12)


def test_a_body_that_is_the_same_in_all_slices_is_so_where_the_panel_sees_it():
    """FDK is exact for it (Feldkamp, Davis and Kress 1984, section 3)."""
    A = ConeBeam((9, 64, 64), 120, 160.0, 240.0, (31, 99), 1.5)
    tall = phantoms.Ellipsoids([1.0], [6.0], [-4.0], [0.0], [18.0], [14.0], [1e5], [0.5])
    x = FDK()(ig.Problem(A, exact_cone(A, tall))).x
    flat = FanBeam((64, 64), 120, 160.0, 240.0, 99, 1.5)
    plane = FBP()(
        ig.Problem(flat, exact(flat, phantoms.Ellipses([1.0], [6.0], [-4.0], [18.0], [14.0], [0.5])))
    ).x
    assert float((x - plane).norm() / (3 * plane.norm())) < 0.01


def test_coarse_rows_reach_as_far_as_they_are_wide():
    """A single row stands for all slices that it covers."""
    A = ConeBeam((3, 48, 48), 120, 160.0, 240.0, (1, 80), (6.0, 1.5))
    tall = phantoms.Ellipsoids([1.0], [0.0], [0.0], [0.0], [15.0], [15.0], [1e5], [0.0])
    x = FDK()(ig.Problem(A, exact_cone(A, tall))).x
    for layer in x:
        assert float(layer[distance_from(n=48) < 13].mean()) == pytest.approx(1, abs=0.01)


def test_chunks_of_views_give_the_same_volume(monkeypatch):
    A = ConeBeam((16, 40, 40), arc(50, 4.4), 160.0, 240.0)
    y = exact_cone(A, phantoms.ball(6.0, center=(3.0, 4.0, 1.0)))
    y = torch.stack([y, 2 * y])
    whole = FDK()(ig.Problem(A, y)).x
    for chunk in (1, 7 * A.range.shape[1] * A.range.shape[2]):
        monkeypatch.setattr(filtered_backprojection, "_CHUNK", chunk)
        x = FDK()(ig.Problem(A, y)).x
        assert float((x - whole).abs().max()) < 1e-5 * float(whole.abs().max())


def test_values_of_a_cone_are_in_the_inverse_of_the_lengths_unit():
    p = 0.1
    A = ConeBeam((16, 40, 40), 120, 160.0 * p, 240.0 * p, voxel_size=p)
    x = FDK()(ig.Problem(A, exact_cone(A, phantoms.ball(7.0 * p, value=0.3)))).x
    inside = distance_in_space((0.0, 0.0, 0.0), 40)[12:28] < 5
    assert float(x[inside].mean()) == pytest.approx(0.3, rel=0.02)


def test_direct_methods_name_the_way_out():
    identity = ig.Problem(Identity((4, 4)), torch.ones(4, 4))
    volume = ConeBeam((2, 4, 4), 3, 20.0, 30.0)
    panels = ig.Problem(volume, torch.ones(volume.range.shape))
    flat = FanBeam((4, 4), 3, 20.0, 30.0)
    with pytest.raises(
        CapabilityError, match=r"(?s)FBP needs parallel-beam or fan-beam.*Identity.*CG or SIRT"
    ):
        FBP()(identity)
    with pytest.raises(CapabilityError, match=r"(?s)ConeBeam has none.*Use FDK"):
        FBP()(panels)
    with pytest.raises(CapabilityError, match=r"(?s)FDK needs cone-beam.*FanBeam has none.*Use FBP"):
        FDK()(ig.Problem(flat, torch.ones(flat.range.shape)))
    with pytest.raises(CapabilityError, match="FDK needs cone-beam"):
        FDK()(identity)
    with pytest.raises(ParameterError, match="hann"):
        FDK(window="hanning")
    with pytest.raises(ParameterError, match="cutoff"):
        FDK(cutoff=0)
