"""The Gaussian of coarse images: against the matrix, and where it knows of turns, places and neither."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import multivariate_normal

import invgen as ig
from invgen.core.errors import DataError, FileError, ParameterError, ShapeError
from invgen.plausibility import Calibration
from invgen.plausibility.reconstructions.coarse import CoarseDensity, coarse
from invgen.plausibility.reconstructions.groups import against, grouped

DENSITY, ORIENTATION = "coarse log-density", "coarse orientation"


def drops(count, seed=0, shape=(48, 40)):
    """Ellipses with a point at their top, of random sizes and places: they have an up, and nearly no side."""
    draws = torch.Generator().manual_seed(seed)
    rows, columns = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in shape)
    rows, columns = torch.meshgrid(rows, columns, indexing="ij")
    images = []
    for _ in range(count):
        size, down, right, value = torch.randn(4, generator=draws, dtype=torch.float64)
        scale = 12 * torch.exp(0.08 * size)
        y, x = (rows - 2 * down) / scale, (columns - 2 * right) / scale
        images.append(torch.sigmoid(8 * (1 - y**2 - (x * (1.6 - 0.5 * y)) ** 2)) * torch.exp(0.3 * value))
    return torch.stack(images)


@pytest.fixture(scope="module")
def density():
    return CoarseDensity.fit(drops(400))


def test_it_is_the_gaussian_of_its_covariance_matrix(density):
    images = drops(6, seed=1)
    V, mean = torch.tensor(density.components).double(), torch.tensor(density.mean).double()
    variances = torch.tensor(density.variances).double()
    C = (V.T * (variances - density.rest)) @ V + density.rest * torch.eye(256)
    wanted = multivariate_normal(mean.numpy(), C.numpy()).logpdf(coarse(images, 2).flatten(1).numpy()) / 256
    found = density.statistics(images)
    # components are rounded to four digits, and hardly of norm one and orthogonal
    torch.testing.assert_close(found[DENSITY], torch.from_numpy(wanted), rtol=1e-2, atol=1e-2)
    alone = density.statistics(images[2])
    for name, value in alone.items():
        torch.testing.assert_close(value, found[name][2])


def test_the_components_hold_nearly_all_variance_of_the_examples_and_an_allowance(density):
    images = coarse(drops(400), 2).flatten(1)
    total, rest = float(images.var(0, unbiased=False).sum()), density.rest / 4
    own = [each - 3 * rest for each in density.variances]
    assert 0.98 * total <= sum(own) * 1.001
    assert sum(own[:-1]) < 0.98 * total
    assert sum(own) + (256 - len(own)) * rest == pytest.approx(total, rel=2e-3)


def test_brightness_phase_and_place_do_not_count(density):
    image = drops(1, seed=2)[0]
    other = 7.0 * torch.roll(image, (3, -2), (0, 1)) * torch.exp(1j * torch.linspace(0, 5, 40).double())
    for name, value in density.statistics(image).items():
        torch.testing.assert_close(density.statistics(other)[name], value, rtol=1e-6, atol=1e-6)


def test_turned_images_are_found_and_those_as_the_examples_are_not(density):
    images = drops(20, seed=3, shape=(48, 48))
    turned = [density.statistics(torch.rot90(images, quarter, (-2, -1))) for quarter in range(4)]
    ways = torch.stack([each[ORIENTATION] for each in turned])
    assert float(ways[0].min()) > math.log1p(math.log(100))
    assert float(ways[1:].max()) < -math.log(100)
    # odds by Bayes' rule from the densities themselves
    densities = 256 * torch.stack([each[DENSITY] for each in turned])
    for quarter in range(4):
        odds = densities[quarter] - densities.roll(-quarter, 0)[1:].logsumexp(0)
        wanted = [each if each < 0 else math.log1p(each) for each in odds.tolist()]
        torch.testing.assert_close(ways[quarter], torch.tensor(wanted).double())


def test_hollow_objects_of_the_same_outline_are_less_likely_than_all_others(density):
    rows, columns = (torch.arange(n) - (n - 1) / 2 for n in (48, 40))
    hollow = drops(20, seed=4) * (rows[:, None] ** 2 + columns**2 > 36)
    others = density.statistics(drops(50, seed=5))[DENSITY]
    assert float(density.statistics(hollow)[DENSITY].max()) < float(others.min())


def test_images_without_signal_and_of_few_pixels_have_finite_statistics(density):
    for image in (torch.zeros(9, 20), torch.ones(3, 5), torch.eye(200)):
        for value in density.statistics(image).values():
            assert bool(value.isfinite())
    channels = drops(3, seed=6).unflatten(0, (1, 3)).float()
    assert density.statistics(channels, 3)[DENSITY].shape == (1,)


def test_examples_in_all_orientations_say_nothing_of_them_and_then_it_does_not_count():
    images = drops(400, shape=(48, 48))
    images = torch.stack([torch.rot90(each, i, (-2, -1)) for i, each in enumerate(images)])
    density = CoarseDensity.fit(images)
    found = density.statistics(torch.rot90(drops(40, 7, (48, 48)), 1, (-2, -1)))
    at = {"signal to noise": torch.arange(40.0).double()}
    known = {name: values[:39].tolist() for name, values in found.items()}
    calibration = Calibration({}, known, {"signal to noise": list(map(float, range(39)))}, coarse=density)
    assert float(found[ORIENTATION].median()) < 0
    some = against(calibration, {n: v[39] for n, v in found.items()}, {n: v[39] for n, v in at.items()})
    assert set(some[0]) == {"typicality", "scan"}
    counted = grouped(list(found), [])["typicality"]
    assert [each.columns for each in counted] == [(list(found).index(DENSITY),)]


def calibrated(examples):
    prior = ig.priors.GaussianMixture(drops(1, 8), torch.full((1, 48, 40), 0.01).double(), torch.ones(1))
    solver = ig.solvers.DDS(prior, iterations=2, scale=1.0)
    A, noise = ig.operators.Mask(torch.ones(48, 40, dtype=torch.float64)), ig.noise.Gaussian(0.05)

    def scan(image, seed):
        return ig.Problem(A, noise.sample(image, seed=seed), noise)

    known = (scan(image, i) for i, image in enumerate(drops(60, 9)))
    return solver, scan, ig.plausibility.calibrate(solver, known, examples=examples)


def test_scans_of_turned_and_of_other_objects_do_not_fit_a_calibration_with_examples(tmp_path):
    solver, scan, calibration = calibrated(drops(300, 10))
    assert {name for name in calibration.statistics if "orientation" in name} == {ORIENTATION}
    calibration.save(tmp_path / "known.json")
    loaded = Calibration.load(tmp_path / "known.json")
    assert loaded.coarse == calibration.coarse

    def p(image, seed):
        problem = scan(image, seed)
        found = ig.plausibility.assess(solver, problem, solver(problem, seed=seed), calibration=loaded)
        assert {DENSITY, ORIENTATION} <= set(found.deviations)
        return float(found.p_values["scan"])

    fitting = [p(image, 100 + i) for i, image in enumerate(drops(20, 11))]
    assert sum(each <= 0.05 for each in fitting) <= 4  # more have a probability of 0.003
    for image in drops(3, 12):
        assert p(image.flip(0).flip(1), 200) <= 0.05


def test_what_are_no_examples_and_no_densities_is_refused(density):
    for wrong in (drops(99), drops(120)[:, None], torch.ones(200)):
        with pytest.raises(ShapeError, match="100 or more"):
            calibrated(wrong)
    with pytest.raises(ParameterError, match="a tensor of images; got list"):
        calibrated(list(drops(120)))
    bad = drops(120)
    bad[7, 3, 2] = torch.nan
    with pytest.raises(DataError, match="NaN"):
        CoarseDensity.fit(bad)
    with pytest.raises(ShapeError):
        CoarseDensity.fit(torch.ones(200, 30), axes=1)
    header = density.header()
    assert CoarseDensity.from_header(header, "here") == density
    for name, value in (
        ("mean", header["mean"][1:]),
        ("components", [[1.0]]),
        ("components", "none"),
        ("variances", [-1.0] * len(header["variances"])),
        ("rest", 0.0),
        ("rest", None),
    ):
        with pytest.raises(FileError, match="in here"):
            CoarseDensity.from_header({**header, name: value}, "here")
    with pytest.raises(FileError):
        CoarseDensity.from_header([], "here")
    with pytest.raises(ParameterError, match="finite"):
        replace(density, rest=float("inf"))


def test_alike_examples_are_a_density_still():
    same = CoarseDensity.fit(drops(1, 13).expand(100, -1, -1))
    assert bool(same.statistics(drops(3, 14))[DENSITY].isfinite().all())
