"""Other packages beside ours on the same data: geometry, orientation and units are converted exactly."""

import pytest
import torch

from invgen.bench.peers import common, peers
from invgen.bench.suite import find_entry
from invgen.core.errors import CapabilityError
from invgen.noise import Gaussian
from invgen.operators import MRI, Blur, Identity, Mask, Radon, sampling
from invgen.phantoms import random
from invgen.priors import TotalVariation
from invgen.problem import Problem
from invgen.solvers import CG, FBP, PDHG

FIELDS = ("imaging", "denoising", "inpainting", "deblurring", "parallel", "cartesian")
EVERY = tuple((field, entry.name) for field in FIELDS for entry in peers(field))


def run(field, name, problem, **settings):
    entry = find_entry(peers(field), name, None)
    if entry.missing:
        pytest.skip(entry.missing)
    return entry.solve(problem, settings, 0)


def distance(x, y):
    return float((x - y).norm() / y.norm())


def scan(size, views=90, pixel_size=0.05):
    """An object without symmetry, its image, and a scan whose numbers of bins and pixels differ in parity."""
    A = Radon((size, size), views, pixel_size=pixel_size)
    g, thing = A.geometry, random(1_000_003, half_width=size * pixel_size / 2)
    clean = thing.sinogram(g.angles, g.detector_count, g.detector_spacing).float()
    noise = Gaussian(0.01 * float(clean.max()))
    return Problem(A, noise.sample(clean, 0), noise), thing.image((size, size), pixel_size).float()


@pytest.mark.parametrize("name", ["astra-fbp", "skimage-fbp", "algotom-fbp"])
@pytest.mark.parametrize("size", [pytest.param(64, marks=pytest.mark.slow), 48, 33])
def test_filtered_backprojection_is_ours_by_the_same_window(name, size):
    problem, _ = scan(size)
    assert distance(run("parallel", name, problem), FBP(window="hann")(problem).x) < 0.05


@pytest.mark.parametrize("size", [48, 33])
@pytest.mark.parametrize(
    ("name", "iterations"), [("astra-cgls", 10), ("astra-sirt", 100), ("skimage-sart", 4)]
)
def test_iterations_come_to_the_object_itself(name, iterations, size):
    problem, truth = scan(size)
    found = run("parallel", name, problem, iterations=iterations)
    assert distance(found, truth) < 0.2
    # a pixel to any side is much further
    assert all(distance(found, truth.roll(1, axis)) > 1.5 * distance(found, truth) for axis in (0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["odl-tv", "deepinv-tv"])
@pytest.mark.parametrize("size", [48, 33])
def test_total_variation_is_ours_up_to_the_projectors(name, size):
    problem, truth = scan(size, views=30)
    weight, nonnegative = 0.3, name == "odl-tv"
    prior = TotalVariation(weight / float(problem.noise.std.value), nonnegative=nonnegative)
    ours = PDHG(prior, iterations=1000)(problem).x
    found = run("parallel", name, problem, weight=weight)
    assert distance(found, ours) < 0.12
    assert distance(found, truth) < 1.3 * distance(ours, truth)


@pytest.mark.slow
def test_weights_of_rays_count_in_total_variation():
    """A view with infinite noise, whose data are absurd, changes nothing."""
    problem, truth = scan(32, views=20)
    y = problem.measurement.clone()
    y[3] = 10
    std = torch.full_like(y, float(problem.noise.std.value))
    std[3] = torch.inf
    weighted = Problem(problem.operator, y, Gaussian(std))
    for name in ("odl-tv", "deepinv-tv"):
        assert distance(run("parallel", name, weighted, weight=0.3), truth) < 0.2


def test_a_detector_off_the_axis_is_refused():
    A = Radon((16, 16), 8, detector_count=24, detector_offset=0.5)
    problem = Problem(A, A(torch.ones(16, 16)), Gaussian(0.1))
    for entry in peers("parallel"):
        if entry.missing is None:
            with pytest.raises(CapabilityError, match="axis"):
                entry.solve(problem, {"weight": 1.0, "iterations": 2}, 0)


def kspace(shape=(64, 48), acceleration=3):
    image = random(1_000_003, half_width=24).image(shape, 1.0).float()
    rows, columns = (torch.linspace(-1, 1, n) for n in shape)
    maps = torch.stack(
        [
            torch.exp(-(rows[:, None] - a).square() - (columns - b).square() + 1j * a * columns)
            for a, b in ((-1, -1), (-1, 1), (1, 0), (0.3, 1))
        ]
    )
    maps = maps / maps.abs().square().sum(0).sqrt()
    mask, noise = sampling.poisson_disc(shape, acceleration, seed=0), Gaussian(0.01)
    A, truth = MRI(shape, mask, maps), torch.polar(image, (rows[:, None] * columns).contiguous())
    return Problem(A, noise.sample(A(truth), 0) * mask, noise), truth


def test_sense_of_sigpy_is_least_squares():
    problem, _ = kspace(acceleration=2)
    found = run("cartesian", "sigpy-sense", problem)
    assert distance(found, CG(weight=0.0, iterations=100, tolerance=0)(problem).x) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "limit"), [("sigpy-tv", 0.06), ("deepinv-tv", 0.06), ("sigpy-wavelets", 0.2)]
)
def test_penalties_of_mri_come_to_our_total_variation(name, limit):
    """SigPy's is that of either direction by itself, DeepInverse's of real and imaginary part."""
    problem, truth = kspace()
    ours = PDHG(TotalVariation(30.0), iterations=500)(problem).x
    found = run("cartesian", name, problem, weight=0.3)
    assert distance(found, ours) < limit
    assert distance(found, truth) < 0.2


def blurred(operator):
    truth, noise = random(1_000_003, half_width=24).image((48, 48), 1.0).float(), Gaussian(0.05)
    return Problem(operator, noise.sample(operator(truth), 0), noise), truth


KERNEL = torch.exp(-torch.arange(-4, 5.0).square() / 4)
KERNEL = KERNEL[:, None] * KERNEL / KERNEL.sum().square()
IMAGING = {
    "denoising": Identity((48, 48)),
    "inpainting": Mask(torch.rand(48, 48, generator=torch.Generator().manual_seed(0)) < 0.7),
    "deblurring": Blur((48, 48), KERNEL),
}


@pytest.mark.parametrize(
    "field", ["denoising", "inpainting", pytest.param("deblurring", marks=pytest.mark.slow)]
)
def test_total_variation_of_images_is_ours(field):
    problem, _ = blurred(IMAGING[field])
    ours = PDHG(TotalVariation(20.0), iterations=1000)(problem).x
    for entry in peers(field):
        if entry.name.endswith("-tv"):
            assert distance(run(field, entry.name, problem, weight=1.0), ours) < 0.03


def test_images_in_color_keep_their_channels():
    truth = torch.stack([random(seed, half_width=16).image((32, 32), 1.0).float() for seed in (1, 2, 3)])
    A, noise = Identity((3, 32, 32)), Gaussian(0.05)
    problem = Problem(A, noise.sample(truth, 0), noise)
    for name in ("deepinv-tv", "skimage-tv"):
        found = run("denoising", name, problem, weight=0.5)
        assert all(
            distance(found[c], truth[c]) < distance(problem.measurement[c], truth[c]) for c in range(3)
        )


def test_biharmonic_keeps_what_is_measured():
    A = IMAGING["inpainting"]
    problem, truth = blurred(A)
    found, seen = run("inpainting", "skimage-biharmonic", problem), A(torch.ones(48, 48)) > 0
    assert torch.allclose(found[seen], problem.measurement[seen], atol=1e-6)
    assert distance(found, truth) < distance(problem.measurement, truth)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("skimage-wiener", {"balance": 30.0}), ("skimage-richardson-lucy", {"iterations": 8})],
)
def test_deblurring_is_sharper_and_where_it_was(name, settings):
    problem, truth = blurred(IMAGING["deblurring"])
    inner = (slice(6, -6), slice(6, -6))
    found = run("deblurring", name, problem, **settings)[inner]
    assert distance(found, truth[inner]) < distance(problem.measurement[inner], truth[inner])


def test_an_entry_for_another_operator_says_so():
    problem, _ = blurred(IMAGING["denoising"])
    for field, name in (("inpainting", "skimage-biharmonic"), ("deblurring", "skimage-wiener")):
        with pytest.raises(CapabilityError, match=r"takes (masks|blurs)"):
            run(field, name, problem, balance=1.0)


def test_what_is_not_installed_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(common, "find_spec", lambda module: None)
    entry = common.other("odl-tv", ("odl", "astra-toolbox"), lambda problem, settings, seed: None)
    assert entry.missing == "needs odl and astra-toolbox: pip install odl astra-toolbox"


@pytest.mark.parametrize(("field", "name"), EVERY)
def test_every_entry_has_a_default_or_a_knob(field, name):
    entry = find_entry(peers(field), name, None)
    assert entry.kind == "peer"
    assert entry.has_default or entry.knob is not None
    assert entry.package in common._MODULES
