"""What a convolution near to the normal operator of a fan or a cone saves, and that it changes nothing."""

import math

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.noise import Gaussian
from invgen.operators import ConeBeam, FanBeam
from invgen.priors import TotalVariation
from invgen.solvers import CG, FISTA, PDHG


class PlainFan(FanBeam):
    """The same rays, with nothing known of their spectrum."""

    spectrum = None


class PlainCone(ConeBeam):
    spectrum = None


def white(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative(x, expected):
    return float((x - expected).norm() / expected.norm())


def head(n):
    return phantoms.shepp_logan(n / 2).image((n, n), 1.0)


def wave(shape, frequency):
    """Plane wave of norm one."""
    phase = torch.zeros(shape, dtype=torch.float64)
    for axis, (n, k) in enumerate(zip(shape, frequency, strict=True)):
        place = torch.arange(n, dtype=torch.float64) * (2 * math.pi * k / n)
        phase = phase + place.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return torch.polar(torch.full_like(phase, 1 / math.sqrt(phase.numel())), phase)


def quotient(operator, frequency):
    """Of a plane wave with the normal operator: the eigenvalue of the nearest circulant matrix."""
    v = wave(operator.domain.shape, frequency)
    return float(operator(v.real).square().sum() + operator(v.imag).square().sum())


@pytest.mark.parametrize("curved", [False, True], ids=["flat", "curved"])
@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"pixel_size": 0.5},
        {"detector_spacing": 2.4, "detector_offset": 0.9},
        {"detector_spacing": 4.5},
    ],
)
def test_the_spectrum_of_a_fan_is_what_plane_waves_are_multiplied_by(geometry, curved):
    """T. Chan (1988): ``v.H A.H A v``; about so, for the kernel is that of the rays near the axis."""
    A = FanBeam((48, 40), 90, 100.0, 150.0, curved=curved, **geometry)
    spectrum = A.spectrum.value
    assert spectrum.shape == (48, 40)
    assert (spectrum > 0).all()
    for frequency in ((0, 0), (0, 1), (2, 1), (5, -4), (0, 9), (11, 3)):
        assert float(spectrum[frequency]) == pytest.approx(quotient(A, frequency), rel=0.12)


def test_the_spectrum_of_a_cone_is_what_plane_waves_are_multiplied_by():
    A = ConeBeam((16, 24, 20), 60, 100.0, 150.0)
    spectrum = A.spectrum.value
    assert spectrum.shape == (16, 24, 20)
    assert (spectrum > 0).all()
    for frequency in ((0, 0, 0), (1, 0, 1), (2, 2, -1), (0, 4, 3), (4, 1, 2)):
        assert float(spectrum[frequency]) == pytest.approx(quotient(A, frequency), rel=0.25)


def test_views_of_a_quarter_turn_leave_a_dark_wedge_in_the_spectrum():
    """Frequencies across the rays are seen, those along them are not: at angle zero rays run along y."""
    angles = torch.linspace(-0.3, 0.3, 40, dtype=torch.float64)
    spectrum = FanBeam((64, 64), angles, 400.0, 600.0).spectrum.value
    assert float(spectrum[0, 10]) > 30 * float(spectrum[10, 0])


def test_the_condition_improves():
    shape, shift = (14, 13), 1.0
    A, size = FanBeam(shape, 30, 40.0, 60.0), 14 * 13
    eye = torch.eye(size, dtype=torch.float64)
    matrix = A(eye.reshape(size, *shape)).reshape(size, -1).T
    normal = matrix.T @ matrix + shift * eye
    symbol = A.domain.half(A.spectrum.value) + shift
    inverse = A.domain.filter(1 / symbol, eye.reshape(size, *shape)).reshape(size, size)
    plain = torch.linalg.eigvalsh(normal)
    values, vectors = torch.linalg.eigh(inverse)
    root = vectors * values.sqrt() @ vectors.T
    preconditioned = torch.linalg.eigvalsh(root @ normal @ root)
    assert preconditioned[-1] / preconditioned[0] < 0.25 * plain[-1] / plain[0]


@pytest.mark.parametrize(("views", "weight"), [(60, 1.0), (180, 10.0)])
def test_cg_needs_at_most_half_of_the_iterations(views, weight):
    n, found = 64, []
    for kind in (FanBeam, PlainFan):
        A = kind((n, n), views, 128.0, 192.0)
        problem = ig.Problem(A, Gaussian(0.5).sample(A(head(n)), seed=0))
        found.append(CG(weight=weight, iterations=1000, tolerance=1e-7)(problem))
        assert found[-1].stats["converged"]
    ours, plain = found
    assert ours.stats["iterations"] <= 0.5 * plain.stats["iterations"]
    assert relative(ours.x, plain.x) < 1e-4


def test_cg_with_a_noise_of_each_ray_ends_at_the_same_image():
    n, found = 32, []
    for kind in (FanBeam, PlainFan):
        A = kind((n, n), 40, 64.0, 96.0)
        std = 0.2 + torch.rand(A.range.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        std[3:6] = torch.inf
        problem = ig.Problem(A, Gaussian(std).sample(A(head(n)), seed=0), Gaussian(std))
        found.append(CG(weight=5.0, iterations=1000, tolerance=1e-10)(problem))
    ours, plain = found
    assert ours.stats["iterations"] < plain.stats["iterations"]
    assert relative(ours.x, plain.x) < 1e-6


def test_cg_on_a_cone_ends_at_the_same_volume_sooner():
    found = []
    for kind in (ConeBeam, PlainCone):
        A = kind((8, 24, 24), 40, 60.0, 90.0)
        y = A(phantoms.ball(7.0, center=(1.0, 2.0, 0.0)).volume((8, 24, 24), 1.0))
        found.append(CG(weight=1.0, iterations=1000, tolerance=1e-9)(ig.Problem(A, y)))
    ours, plain = found
    assert ours.stats["iterations"] <= 0.7 * plain.stats["iterations"]
    assert relative(ours.x, plain.x) < 1e-6


def test_solve_is_the_same_with_and_without():
    b = white(24, 24)
    ours, plain = (kind((24, 24), 30, 60.0, 90.0).solve(b, 0.5) for kind in (FanBeam, PlainFan))
    assert relative(ours, plain) < 1e-8


def test_without_a_weight_cg_is_the_plain_iteration():
    """It ends at the solution of smallest norm, and its early images are smooth, only so."""
    y = white(5, 30)
    ours, plain = (
        CG(weight=0, iterations=20, tolerance=0)(ig.Problem(kind((16, 16), 5, 40.0, 60.0, 30), y)).x
        for kind in (FanBeam, PlainFan)
    )
    assert torch.equal(ours, plain)


def few_views(n=64, views=60, **parameters):
    A = FanBeam((n, n), views, 2.0 * n, 3.0 * n, **parameters)
    noise = Gaussian(0.5)
    return ig.Problem(A, noise.sample(A(head(n)), seed=0), noise)


@pytest.mark.slow
def test_fista_reaches_total_variation_of_a_fan_in_fifty_iterations():
    problem, images = few_views(), []
    weight = float(TotalVariation().resolve(problem).weight)
    best = FISTA(TotalVariation(weight), iterations=150, tolerance=0)(problem)
    rec = FISTA(TotalVariation(weight), iterations=50, tolerance=0)(
        problem, callback=lambda k, state: images.append(state.x)
    )
    near = [k for k, x in enumerate(images, start=1) if relative(x, best.x) <= 0.01]
    assert near
    assert near[0] <= 50
    assert near == list(range(near[0], 51))  # and stays there
    optimum = float(best.history["objective"][-1])
    assert float(rec.history["objective"][-1]) == pytest.approx(optimum, rel=1e-3)


def small_fan(kind):
    angles = 0.2 + torch.arange(20, dtype=torch.float64) * 0.21
    return kind((16, 18), angles, 40.0, 60.0, curved=True, detector_offset=0.7), head(18)[1:-1] - 0.05


def small_cone(kind):
    truth = phantoms.ball(4.0, center=(1.0, -2.0, 0.5)).volume((5, 12, 12), 1.0) - 0.05
    return kind((5, 12, 12), 16, 30.0, 45.0), truth


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("each_ray", [False, True], ids=["one std", "std of each ray"])
@pytest.mark.parametrize("nonnegative", [False, True], ids=["signed", "nonnegative"])
@pytest.mark.parametrize("scan", ["fan", "cone"])
def test_fista_and_pdhg_end_at_the_same_minimiser(scan, nonnegative, each_ray):
    A, truth = small_fan(FanBeam) if scan == "fan" else small_cone(ConeBeam)
    axes = (-2, -1) if scan == "fan" else (-3, -2, -1)
    std = torch.full(A.range.shape, 0.3, dtype=torch.float64)
    if each_ray:
        std = std * (0.5 + torch.rand(std.shape, generator=torch.Generator().manual_seed(1)).double())
        std[2, ..., 5:9] = torch.inf
    noise = Gaussian(std if each_ray else 0.3)
    problem = ig.Problem(A, noise.sample(A(truth), seed=0), noise)
    prior = TotalVariation(3.0, axes=axes, nonnegative=nonnegative)
    one = FISTA(prior, iterations=150, tolerance=1e-6)(problem)
    other = PDHG(prior, iterations=800, tolerance=1e-6)(problem)
    assert relative(one.x, other.x) < 1e-3
    objectives = [float(rec.history["objective"][-1]) for rec in (one, other)]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-5)
    if nonnegative:
        assert float(one.x.min()) >= 0
        assert (one.x == 0).any()
    else:
        assert float(one.x.min()) < -0.01


@pytest.mark.slow
def test_the_minimiser_does_not_depend_on_the_preconditioner():
    recs = []
    for kind, iterations in ((FanBeam, 150), (PlainFan, 600)):
        A, truth = small_fan(kind)
        problem = ig.Problem(A, Gaussian(0.3).sample(A(truth), seed=0), Gaussian(0.3))
        recs.append(FISTA(TotalVariation(3.0), iterations=iterations, tolerance=1e-6)(problem))
    assert relative(recs[0].x, recs[1].x) < 1e-3
    assert recs[0].stats["iterations"] < 0.5 * recs[1].stats["iterations"]
