"""Filtered backprojection against what it is known to give."""

import math

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.core.errors import CapabilityError, ParameterError
from invgen.operators import Identity, Radon
from invgen.solvers import FBP
from invgen.solvers.direct.filters import ramp_filter

N, RADIUS = 128, 40.0


def distance_from(center=(0.0, 0.0), n=N, pixel=1.0):
    place = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * pixel
    return torch.hypot(place[None, :] - center[0], -place[:, None] - center[1])


@pytest.mark.parametrize(
    ("window", "geometry"),
    [
        ("ram-lak", {}),
        ("shepp-logan", {}),
        ("cosine", {}),
        ("hamming", {}),
        ("hann", {}),
        ("hann", {"detector_offset": 3.4}),
        ("hann", {"detector_count": 128}),
        ("hann", {"detector_count": 131, "detector_offset": -3.4}),
    ],
)
def test_a_disc_is_one_inside_and_nothing_outside(window, geometry):
    A = Radon((N, N), 200, **geometry)
    y = phantoms.disc(RADIUS).sinogram(A.angles, A.range.shape[1], 1.0, A.geometry.detector_offset)
    x = FBP(window=window)(ig.Problem(A, y)).x
    r = distance_from()
    assert float(x[r < RADIUS - 2].mean()) == pytest.approx(1, abs=0.005)
    outside = (r > RADIUS + 2) & (A.restrict(torch.ones(N, N)) > 0)
    assert float(x[outside].square().mean().sqrt()) < 0.01


TURN = torch.arange(400, dtype=torch.float64) * math.pi / 200


@pytest.mark.parametrize("offset", [35.0, -30.5, 1.5])
def test_a_half_acquisition_is_the_scan_whose_detector_has_the_missing_columns(offset):
    """Of lines that are measured twice the weights sum to one: filtering and backprojection are linear."""
    half, whole = 90 / 2 + abs(offset), 2 * round(45 + abs(offset) + 1)
    A = Radon((N, N), TURN, 90, detector_offset=offset, fov=half)
    B = Radon((N, N), TURN[:200], whole)
    phantom = phantoms.shepp_logan(0.98 * half)
    x = FBP()(ig.Problem(A, phantom.sinogram(TURN, 90, 1.0, offset))).x
    seen = distance_from() < 0.98 * half
    expected = FBP()(ig.Problem(B, phantom.sinogram(B.angles, whole, 1.0))).x
    assert float((x - expected)[seen].norm() / expected[seen].norm()) < 0.02


@pytest.mark.parametrize("radius", [60.0, 75.0, 90.0])
def test_the_middle_of_a_disc_that_the_detector_cuts_is_one(radius):
    """What is continued are the disc's own line integrals; padded by zeros it would be up to half more."""
    A = Radon((100, 100), 200, 100, fov=radius)
    x = FBP()(ig.Problem(A, phantoms.disc(radius).sinogram(A.angles, 100, 1.0))).x
    inside = x[distance_from(n=100) < 45]
    assert float((inside - 1).abs().max()) < 0.02


def test_views_that_end_within_the_detector_are_not_continued():
    A = Radon((100, 100), 200, 100, fov="image")
    y = phantoms.disc(40.0, center=(5.0, 3.0)).sinogram(A.angles, 100, 1.0)
    once = FBP()(ig.Problem(A.rebuilt(A.angles, 0.0, "disc"), y)).x
    x = FBP()(ig.Problem(A, y)).x
    seen = distance_from(n=100) < 48
    torch.testing.assert_close(x[seen], once[seen], rtol=0, atol=1e-3)


def test_lengths_are_in_any_unit():
    p = 0.02
    A = Radon((N, N), 180, pixel_size=p, detector_spacing=0.7 * p)
    y = phantoms.disc(RADIUS * p, value=3.0).sinogram(A.angles, A.range.shape[1], 0.7 * p)
    x = FBP()(ig.Problem(A, y)).x
    assert float(x[distance_from(pixel=p) < (RADIUS - 2) * p].mean()) == pytest.approx(3.0, rel=0.005)


def test_views_need_not_be_equispaced_nor_sorted():
    generator = torch.Generator().manual_seed(0)
    t = torch.arange(300, dtype=torch.float64) * math.pi / 300
    t = (t + 0.3 * math.pi / 300 * torch.rand(300, generator=generator, dtype=torch.float64)) * 2
    t = t[torch.randperm(300, generator=generator)]
    A = Radon((N, N), t)
    y = phantoms.disc(RADIUS, center=(9.0, -5.0)).sinogram(t, A.range.shape[1])
    x = FBP()(ig.Problem(A, y)).x
    assert float(x[distance_from((9.0, -5.0)) < RADIUS - 2].mean()) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize(("n", "spacing"), [(256, 1.0), (243, 0.3)])
def test_the_ramp_is_the_absolute_frequency(n, spacing):
    """Up to the tail of the series beyond n samples, the sum of ``2 / (pi k)^2`` over odd k > n / 2."""
    frequency = torch.arange(n // 2 + 1, dtype=torch.float64) / (n * spacing)
    tail = 2 / math.pi**2 / (n / 2 - 1) / 2 / spacing
    response = ramp_filter(n, spacing)
    assert (response - frequency).abs().max() <= tail
    assert response[0] > 0  # a ramp sampled in frequency would be zero here, and shift the image


def test_a_lower_cutoff_is_smoother():
    A = Radon((64, 64), 90)
    problem = ig.Problem(A, ig.noise.Gaussian(1.0).sample(torch.zeros(90, A.range.shape[1]), seed=0))
    levels = [float(FBP(window="ram-lak", cutoff=cutoff)(problem).x.std()) for cutoff in (1.0, 0.6, 0.3)]
    assert levels == sorted(levels, reverse=True)
    assert levels[2] < 0.3 * levels[0]


@pytest.mark.slow
def test_noise_of_a_window_is_what_theory_says():
    """Of white noise, ``pi^2 / views`` times the integral of the squared filter, at the centre."""
    n, views = 65, 90
    A = Radon((n, n), views, method="fourier")
    y = ig.noise.Gaussian(1.0).sample(torch.zeros(400, *A.range.shape, dtype=torch.float64), seed=0)
    centre = FBP(window="hann")(ig.Problem(A, y)).x[:, n // 2, n // 2]
    f = torch.linspace(0, 0.5, 2001, dtype=torch.float64)
    power = 2 * torch.trapezoid((f * (0.5 + 0.5 * torch.cos(2 * math.pi * f))) ** 2, f)
    assert float(centre.var()) == pytest.approx(math.pi**2 / views * float(power), rel=0.25)


def test_fbp_needs_parallel_beams_and_known_windows():
    with pytest.raises(CapabilityError, match="Identity"):
        FBP()(ig.Problem(Identity((4, 4)), torch.ones(4, 4)))
    with pytest.raises(ParameterError, match="hann"):
        FBP(window="hanning")
    with pytest.raises(ParameterError, match="cutoff"):
        FBP(cutoff=1.5)
