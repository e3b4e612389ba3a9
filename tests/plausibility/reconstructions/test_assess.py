"""Scans compared with calibration scans: exact under exchangeability, and nothing made up without."""

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from scipy.stats import kstest

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, FileError, ParameterError
from invgen.noise import Gaussian
from invgen.operators import Mask
from invgen.plausibility import Calibration, assess, calibrate
from invgen.plausibility.reconstructions.comparison import Group, combined, compared
from invgen.plausibility.reconstructions.typicality import typicality
from invgen.priors.nets import EDM, UNet
from invgen.solvers.base import Solver

SIDE = 16


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_p_values_of_many_statistics_are_uniform_for_exchangeable_scans():
    """Heavy tails, correlations, a dependence on the conditions: whatever the distribution."""
    p = []
    for trial in range(300):
        conditions = normal(40, 2, seed=2 * trial)
        values = normal(40, 5, seed=2 * trial + 1) ** 3 + 3 * conditions[:, :1] + conditions[:, 1:] ** 2
        groups = {"a": [Group((0, 1))], "b": [Group((2, 3), (1.0, -1.0)), Group((4,), (1.0,))]}
        p.append(list(compared(values, conditions, groups)[0].values()))
    for each in torch.tensor(p).T:
        # p-values are in steps of 1 / 40; the rest is the quantile of 99 %
        assert kstest(each.numpy(), "uniform").statistic < 1 / 40 + 1.63 / 300**0.5
        assert abs(float((each <= 0.05).double().mean()) - 0.05) < 0.035


def test_a_dependence_on_conditions_is_no_surprise_and_its_absence_is():
    conditions = normal(100, 1)
    values = 5 * conditions + 0.1 * normal(100, 1, seed=1)
    values[-1], conditions[-1] = 7.5, 1.5
    alone = {"one": [Group((0,))]}
    assert compared(values, conditions, alone)[0]["one"] > 0.05
    values[-1] = 0.0
    p, deviations = compared(values, conditions, alone)
    assert p == {"one": 1 / 100, "scan": 1 / 100}
    assert float(deviations[0]) < -10


@dataclass(frozen=True)
class Exact(Solver):
    """Draws of the exact posterior of a Gaussian mixture."""

    prior: Any = None
    draws_samples = True

    def __call__(self, problem, *, samples=1, seed=None, **ignored):
        drawn = self.prior.posterior(problem).sample(samples, seed)
        return ig.Reconstruction(drawn.mean(0), drawn)


def smooth_prior(roughness=1.0):
    """Images of smooth random fields, white over a smooth background."""
    places = torch.arange(SIDE, dtype=torch.float64)
    one = torch.exp(-((places[:, None] - places) ** 2) / (2 * roughness**2))
    covariance = torch.kron(one, one) + 1e-4 * torch.eye(SIDE**2, dtype=torch.float64)
    return ig.priors.GaussianMixture(
        torch.zeros(1, SIDE, SIDE, dtype=torch.float64), covariance[None], torch.ones(1)
    )


PRIOR, SOLVER = smooth_prior(2.0), Exact(smooth_prior(2.0))
KEPT = (torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(5)) < 0.7).double()


def scan(image, seed, std=0.1, stated=None, mask=KEPT):
    A = Mask(mask)
    return ig.Problem(A, Gaussian(std).sample(A(image), seed=seed), Gaussian(stated or std))


@pytest.fixture(scope="module")
def calibration():
    images = PRIOR.sample(60, seed=0)
    return calibrate(SOLVER, (scan(image, 100 + i) for i, image in enumerate(images)), about="smooth fields")


def rates(calibration, images, level=0.05, **wrong):
    found = []
    for i, image in enumerate(images):
        problem = scan(image, 900 + i, **wrong)
        found.append(assess(SOLVER, problem, SOLVER(problem, seed=i), calibration=calibration))
    return {
        name: sum(float(each.p_values[name]) <= level for each in found) / len(found)
        for name in ("residual", "typicality", "scan")
    }


def test_scans_of_the_prior_fit_and_others_do_not(calibration):
    in_world = PRIOR.sample(40, seed=1000)
    assert max(rates(calibration, in_world).values()) <= 0.175  # 7 of 40 at 5 %: less than one in 200
    assert rates(calibration, in_world[:12], std=0.2, stated=0.1)["residual"] > 0.9
    assert rates(calibration, in_world[:12], std=0.05, stated=0.1)["residual"] > 0.9
    assert rates(calibration, smooth_prior(1.0).sample(12, seed=7))["scan"] > 0.9


def test_the_map_points_to_what_the_prior_has_not_seen():
    image = PRIOR.sample(1, seed=3)[0]
    strange = image.clone()
    strange[3:8, 9:14] += normal(5, 5, seed=4)
    shown = typicality(PRIOR, strange)[1]
    assert shown.shape == image.shape
    inside, outside = shown[4:7, 10:13].mean(), shown[10:, :6].mean()
    assert inside > 3 * outside
    row, column = divmod(int(shown.argmax()), SIDE)
    assert 1 <= row <= 9
    assert 7 <= column <= 15
    _, plain = typicality(PRIOR, image)
    assert 0.5 < float(plain.mean()) < 2


def test_images_of_the_prior_have_the_error_that_it_expects():
    """The expectation of the ratio is one, whatever the level: Tweedie's formula of second order."""
    variances = normal(96, 96, seed=1).exp()
    prior = ig.priors.GaussianMixture(0 * variances[None], variances[None], torch.ones(1))
    images = prior.sample(3, seed=11)
    found, _ = typicality(prior, images)
    for name, values in found.items():
        if name.startswith("unexpected"):
            assert float(values.abs().max()) < 5 * (2 / 96**2) ** 0.5
    alone, _ = typicality(prior, images[2])
    for name, value in alone.items():
        torch.testing.assert_close(found[name][2], value)


def test_all_levels_count_alike_in_the_map():
    """White images of three times the deviation that a white prior expects: each level in closed form."""
    prior = ig.priors.GaussianMixture(
        torch.zeros(1, 128, 128, dtype=torch.float64), torch.ones(1, 128, 128).double(), torch.ones(1)
    )
    wide = 3.0
    _, shown = typicality(prior, wide * normal(128, 128, seed=12))
    above = below = 0.0
    for level in (0.1, 0.3, 1.0, 3.0):
        error = (wide**2 * level**2 + 1) / (1 + level**2) ** 2
        expected = 1 / (1 + level**2)
        above += 2 * error / (error + expected) + 1
        below += 2 * expected / (error + expected) + 1
    assert float(shown.mean()) == pytest.approx(above / below, rel=0.03)


def test_a_batch_has_the_p_values_of_its_scans(calibration):
    images = PRIOR.sample(3, seed=40)
    A, noise = Mask(KEPT), Gaussian(0.1)
    y = torch.stack([noise.sample(A(image), seed=i) for i, image in enumerate(images)])
    each = [SOLVER(ig.Problem(A, row, noise), seed=1) for row in y]
    together = ig.Reconstruction(
        torch.stack([one.x for one in each]), torch.stack([one.samples for one in each], 1)
    )
    found = assess(SOLVER, ig.Problem(A, y, noise), together, calibration=calibration)
    assert found.map.shape == (3, SIDE, SIDE)
    assert found.misfits().shape == (3,)
    for i, one in enumerate(each):
        alone = assess(SOLVER, ig.Problem(A, y[i], noise), one, calibration=calibration)
        for name, p in alone.p_values.items():
            torch.testing.assert_close(found.p_values[name][i], p)


def test_another_protocol_has_no_p_value_of_a_calibration(calibration):
    problem = scan(PRIOR.sample(1, seed=50)[0], 1, std=1e-4)
    found = assess(SOLVER, problem, SOLVER(problem, seed=0), calibration=calibration)
    assert set(found.p_values) == {"bound"}
    assert found.calibration is None
    assert "signal to noise" in found.remark
    assert found.deciding is found.p_values["bound"]
    few = scan(PRIOR.sample(1, seed=50)[0], 1, mask=KEPT * (torch.arange(SIDE) < 4))
    assert "data per unknown" in assess(SOLVER, few, SOLVER(few, seed=0), calibration=calibration).remark
    other = ig.solvers.DDS(PRIOR, iterations=4)
    found = assess(other, scan(PRIOR.sample(1, seed=50)[0], 1), SOLVER(few, seed=0), calibration=calibration)
    assert "calibrated with" in found.remark
    of_other = Exact(smooth_prior(1.9))
    same = scan(PRIOR.sample(1, seed=50)[0], 1)
    found = assess(of_other, same, of_other(same, seed=0), calibration=calibration)
    assert "another prior" in found.remark
    without = assess(SOLVER, problem, SOLVER(problem, seed=0))
    assert "scan" not in without.p_values
    assert "no calibration" in without.remark
    assert not bool(without.misfits())


def test_statistics_of_the_image_are_those_of_the_network_in_full_precision():
    torch.manual_seed(0)
    prior = ig.priors.Diffusion(EDM(UNet(1, 1, widths=(8,), blocks=1), 0.5), sigma_data=0.5)
    full, half = (ig.solvers.DDS(each, iterations=2) for each in (prior, prior.evaluated("bfloat16")))
    A = Mask(torch.ones(SIDE, SIDE))
    problem = ig.Problem(A, Gaussian(0.1).sample(torch.rand(SIDE, SIDE), seed=0), Gaussian(0.1))
    result = full(problem, seed=0)
    one, other = (assess(solver, problem, result) for solver in (full, half))
    assert one.statistics == other.statistics
    torch.testing.assert_close(one.map, other.map, rtol=0, atol=0)


def test_calibrations_are_files(calibration, tmp_path):
    path = tmp_path / "own.json"
    calibration.save(path)
    again = Calibration.load(path)
    assert again.protocol == dict(calibration.protocol)
    assert again.scans == 60
    assert again.about == "smooth fields"
    problem = scan(PRIOR.sample(1, seed=60)[0], 1)
    a, b = (assess(SOLVER, problem, SOLVER(problem, seed=0), calibration=c) for c in (calibration, again))
    assert abs(float(a.p_values["scan"]) - float(b.p_values["scan"])) < 0.1  # four digits are kept


def with_statistics(text):
    form = '{"format": "invgen calibration 1", "about": "", "protocol": {}, "conditions": {}, "statistics": '
    return form + text + "}"


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", '{"format": "invgen calibration 1"}', "\x00\x01", '{"format": 2}', "[" * 5000),
        *map(with_statistics, ("{}", '{"a": [1, 2]}', '{"a": ["x"]}', '{"a": [[1]]}')),
        *(with_statistics(f'{{"a": [{first}{", 1" * 20}]}}') for first in ("NaN", "1e999", "true")),
    ],
)
def test_files_that_are_no_calibration_are_refused(content, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(FileError):
        Calibration.load(path)
    with pytest.raises(FileError):
        Calibration.load(tmp_path / "absent.json")


def test_calibrations_in_the_card_of_a_prior(calibration):
    from invgen.plausibility.reconstructions.calibration import calibrations_of

    (found,) = calibrations_of({"scan_calibrations": {"mine": calibration.header()}})
    assert found.scans == 60
    assert calibrations_of({}) == []
    for entry in (3, {"mine": 3}, {"mine": {**calibration.header(), "statistics": {"a": [1.0]}}}):
        with pytest.raises(FileError):
            calibrations_of({"scan_calibrations": entry})


def test_what_cannot_be_judged_is_refused():
    problem = scan(PRIOR.sample(1, seed=70)[0], 1)
    result = SOLVER(problem, seed=0)
    with pytest.raises(CapabilityError, match="has no prior"):
        assess(ig.solvers.CG(), problem, result)
    with pytest.raises(DataError, match="NaN"):
        assess(SOLVER, problem, replace(result, samples=result.samples * math.nan))
    with pytest.raises(ParameterError, match="19 or more"):
        calibrate(SOLVER, [problem] * 3)
    with pytest.raises(ParameterError, match="one kind of operator"):
        calibrate(SOLVER, [])


def test_the_smallest_rank_decides_and_heavy_tails_of_another_group_hide_nothing():
    """By hand: four scans, of ranks 1 to 4 by each of two groups."""
    order = combined(torch.tensor([[1.0, 2.0, 3.0, 1e9], [4.0, 3.0, 1.0, 2.0]])).argsort(descending=True)
    # ranks (4, 1), (3, 2), (2, 4), (1, 3); of the same smallest ones 1e9, and 3 in row two, are further
    assert order.tolist() == [3, 0, 1, 2]
    heavy, light = normal(200, 8, seed=3) ** 9, normal(200, 1, seed=4)
    light[-1] = 4.0
    values = torch.cat((heavy, light), 1)
    conditions = torch.zeros(200, 1, dtype=torch.float64)
    apart = {"a": [Group(tuple(range(8)))], "b": [Group((8,))]}
    assert compared(values, conditions, apart)[0]["scan"] <= 2 / 200
    assert compared(values, conditions, {"all": [Group(tuple(range(9)))]})[0]["scan"] > 0.05


def test_what_is_far_beyond_few_calibration_scans_is_found_by_one_of_many_groups():
    values = normal(25, 4, seed=9)
    values[-1, 2] = 12.0
    apart = {str(i): [Group((i,))] for i in range(4)}
    assert compared(values, torch.zeros(25, 1, dtype=torch.float64), apart)[0]["scan"] == 1 / 25


def test_a_small_common_shift_of_many_statistics_is_seen_along_its_direction():
    """Power at 5 %: of the sum 87 %, of the distance, noncentral chi-square, 38 %; 60 trials."""
    groups = {"sum": [Group(tuple(range(12)), (1.0,) * 12)], "distance": [Group(tuple(range(12)))]}
    conditions, found = torch.zeros(200, 1, dtype=torch.float64), []
    for trial in range(60):
        values = normal(200, 12, seed=trial)
        values[-1] += 0.8
        found.append(compared(values, conditions, groups)[0])
    power = {name: sum(p[name] <= 0.05 for p in found) / 60 for name in groups}
    assert power["sum"] > 0.75
    assert power["distance"] < 0.65
