"""Calibrated intervals: that they cover what they promise, and of what they are refused."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from scipy.stats import beta, kstest, norm

import invgen as ig
from invgen.calibration import ConformalIntervals, conformal
from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import Identity, Mask
from invgen.reconstruction import Reconstruction
from tests.calibration.conftest import SHAPE, Mean, Sampler, measured

REGIONS = torch.stack([torch.arange(42).reshape(SHAPE) < 20, torch.arange(42).reshape(SHAPE) >= 35])


def covered(known, solver, pairs, seed=100):
    """Of each problem, which pixels or regions are inside."""
    found = []
    for i, (problem, truth) in enumerate(pairs):
        given = {"samples": known.kind.settings["samples"], "seed": seed + 1000 * i}
        low, high = known.apply(solver, problem, solver(problem, **given))
        truth = truth.abs() if truth.is_complex() else truth
        if known.regions is not None:
            truth = torch.stack([truth[each].mean() for each in known.regions])
        found.append((low <= truth) & (truth <= high))
    return torch.stack(found)


def test_the_true_coverage_given_the_calibration_has_its_beta_distribution():
    """Of the posterior mean the error is Gaussian and known, so that any interval's coverage is as well."""
    level, count, width = 0.9, 30, 1.0
    std = math.sqrt(0.2)  # of the posterior, for noise of variance 1 / 4
    exact = []
    for trial in range(12):
        known = conformal(
            Mean(), measured(count, seed=trial + 50), level, guarantee="each", width="constant", floor=0.0
        )
        ((problem, _),) = measured(1, seed=7)
        low, high = known.apply(Mean(), problem, Mean()(problem))
        width = (high - low) / 2
        rms = Mean()(problem).x.square().mean().sqrt()
        torch.testing.assert_close(width, known.factors * rms)
        exact += (2 * norm.cdf((width / rms).flatten().numpy() * 0.89 / std) - 1).tolist()
    # the widths are the root mean square of an image, nearly its expectation, 0.89; pixels are independent
    rank = math.ceil((count + 1) * level)
    assert kstest(exact, beta(rank, count + 1 - rank).cdf).pvalue > 0.01
    assert abs(sum(exact) / len(exact) - rank / (count + 1)) < 0.01


@pytest.mark.parametrize("spread", [0.02, 0.4, 2.0])
@pytest.mark.parametrize("width", ["quantiles", "deviation"])
def test_samplers_that_are_too_sure_or_not_sure_enough_cover_alike(problems, spread, width):
    solver = Sampler(spread=spread)
    known = conformal(solver, problems, 0.8, width=width, samples=19, floor=0.1)
    inside = covered(known, solver, measured(60, seed=2))
    assert abs(float(inside.double().mean()) - 0.8) < 0.03  # 2,520 pixels each of calibration and test
    # of the median of 19 samples the variance is 1.57 times that of their mean
    problem = problems[0][0]
    low, high = known.apply(solver, problem, solver(problem, samples=19, seed=5))
    center = (1.57 if width == "quantiles" else 1.0) * spread**2 / 19
    wanted = 2 * norm.ppf(0.9) * math.sqrt(0.25 + center)
    assert wanted < float((high - low).mean()) * 1.05  # samples vary, and none is narrower
    assert float((high - low).mean()) < 1.25 * wanted


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize(
    ("guarantee", "confidence"), [("average", None), ("average", 0.9), ("each", None), ("all", None)]
)
def test_every_guarantee_covers_new_images(guarantee, confidence, complex):
    @dataclass(frozen=True)
    class Solver(Mean):
        def __call__(self, problem, **ignored):
            return Reconstruction(0.8 * problem.operator.H(problem.measurement))

    pairs = measured(160, seed=3, complex=complex)
    known = conformal(Solver(), pairs[:80], 0.9, guarantee=guarantee, confidence=confidence, width="constant")
    low, high = known.apply(Solver(), pairs[0][0], Solver()(pairs[0][0]))
    assert low.dtype == high.dtype == torch.float64
    assert low.shape == high.shape == SHAPE
    if complex:
        assert bool((low >= 0).all())
    inside = covered(known, Solver(), pairs[80:])
    if guarantee == "all":
        assert float(inside.all(1).all(1).double().mean()) > 0.8  # binomial and beta, three deviations
        assert float(inside.double().mean()) > 0.99
    else:
        part = float(inside.double().mean())
        assert part > 0.885
        assert part < 0.93 if confidence is None else part > 0.9


@pytest.mark.parametrize("guarantee", ["average", "each", "all"])
@pytest.mark.parametrize("sampled", [False, True])
def test_means_over_regions_are_covered(guarantee, sampled):
    solver = Sampler(spread=0.05) if sampled else Mean()
    pairs = measured(200, seed=4)
    known = conformal(solver, pairs[:100], 0.9, guarantee=guarantee, regions=REGIONS)
    assert known.factors.shape == ((2,) if guarantee == "each" else ())
    inside = covered(known, solver, pairs[100:])
    if guarantee == "all":
        inside = inside.all(1)
    assert abs(float(inside.double().mean()) - 0.9) < 0.13
    # the mean over one pixel is the pixel
    one = torch.zeros(1, *SHAPE, dtype=torch.bool)
    one[0, 2, 3] = True
    region = conformal(solver, pairs[:50], 0.9, guarantee="each", regions=one, floor=0.0)
    pixel = conformal(solver, pairs[:50], 0.9, guarantee="each", floor=0.0)
    torch.testing.assert_close(region.factors[0], pixel.factors[2, 3])


def test_pixels_outside_of_a_mask_do_not_count(problems):
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask[:, 4:] = False
    spoiled = []
    for problem, truth in problems:
        wrong = truth.clone()
        wrong[:, 4:] += 1000
        spoiled.append((problem, wrong))
    for guarantee in ("average", "each", "all"):
        options = {"guarantee": guarantee, "mask": mask, "floor": 0.0, "width": "constant"}
        a, b = (conformal(Mean(), each, 0.8, **options) for each in (problems, spoiled))
        assert torch.equal(a.factors, b.factors)
        low, high = a.apply(Mean(), problems[0][0], Mean()(problems[0][0]))
        assert torch.equal(low.isnan(), ~mask)
        assert torch.equal(high.isnan(), ~mask)


@pytest.mark.parametrize("width", ["quantiles", "deviation", "edges", "constant"])
@pytest.mark.parametrize("guarantee", ["average", "each", "all"])
def test_factors_do_not_depend_on_the_unit_of_images(width, guarantee):
    found = []
    for scale in (1.0, 1e-4, 2e3):
        pairs = measured(20, seed=5, scale=scale)
        solver = Sampler(spread=0.1 * scale) if width in ("quantiles", "deviation") else Mean()
        found.append(conformal(solver, pairs, 0.8, width=width, guarantee=guarantee, samples=None).factors)
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(found[2], found[0], rtol=1e-6, atol=0)


def test_batches_and_reconstructions_that_are_there_are_as_good(problems):
    one_by_one = conformal(Mean(), problems, 0.9)
    batch = ig.Problem(
        Identity(SHAPE), torch.stack([problem.measurement for problem, _ in problems]), Gaussian(0.5)
    )
    truths = torch.stack([truth for _, truth in problems])
    together = conformal(Mean(), [(batch, truths)], 0.9)
    assert torch.equal(one_by_one.factors, together.factors)
    assert together.images == 60

    @dataclass(frozen=True)
    class Untouched(Mean):
        def __call__(self, problem, **ignored):
            raise AssertionError("it was solved again")

    given = conformal(Untouched(), [(batch, truths, Mean()(batch))], 0.9)
    assert torch.equal(given.factors, together.factors)
    low, high = together.apply(Mean(), batch, Mean()(batch))
    first = one_by_one.apply(Mean(), problems[0][0], Mean()(problems[0][0]))
    torch.testing.assert_close((low[0], high[0]), first)


def test_too_few_problems_are_told_how_many_are_needed(problems):
    for level, few in ((0.9, 9), (0.95, 19), (0.99, 99)):
        with pytest.raises(ParameterError, match=f"take {few} or more calibration images; there are 5"):
            conformal(Mean(), problems[:5], level)
    with pytest.raises(ParameterError, match="no calibration problems; 9 or more"):
        conformal(Mean(), [], 0.9)
    with pytest.raises(ParameterError, match="take 22 or more"):
        conformal(Mean(), problems[:21], 0.9, confidence=0.9)


def test_problems_of_another_kind_are_refused_with_what_differs(problems):
    known, result = conformal(Mean(), problems, 0.9), Mean()(problems[0][0])
    problem, _ = problems[0]
    y = problem.measurement

    def refused(other, match, solver=Mean(), result=result):  # noqa: B008
        with pytest.raises(ParameterError, match=match):
            known.apply(solver, other, result)

    refused(ig.Problem(Mask(torch.ones(SHAPE)), y, Gaussian(0.5)), "operator Mask, calibrated with Identity")
    refused(ig.Problem(Identity(SHAPE), y), "noise Unknown, calibrated with Gaussian")
    refused(ig.Problem(Identity(SHAPE), y, Gaussian(1.0)), "noise level 1, calibrated from 0.5 to 0.5")
    refused(ig.Problem(Identity(SHAPE), 9 * y, Gaussian(0.5)), "signal to noise")
    refused(ig.Problem(Identity(SHAPE), 9 * y, Gaussian(4.5)), "noise level 4.5")
    wide = ig.Problem(Identity((6, 8)), torch.zeros(6, 8, dtype=torch.float64), Gaussian(0.5))
    refused(wide, "image 6 x 8 real, calibrated with 6 x 7 real", result=Mean()(wide))
    refused(problem, "Mean's shrinkage 0.7, calibrated with 0.8", solver=Mean(shrinkage=0.7))
    refused(problem, "solver Sampler, calibrated with Mean", solver=Sampler())
    with pytest.raises(ShapeError, match="the reconstruction has"):
        known.apply(Mean(), problem, Reconstruction(y[:, :5]))
    with pytest.raises(DataError, match="NaN"):
        known.apply(Mean(), problem, Reconstruction(y * math.nan))
    # few pixels left, and other ones: the mask is a setting of the operator where all have the same
    masked = [
        (ig.Problem(Mask(m), m * each.measurement, Gaussian(0.5)), truth)
        for m in [torch.arange(42).reshape(SHAPE) % 3 > 0]
        for each, truth in problems
    ]
    other = ig.Problem(Mask(torch.arange(42).reshape(SHAPE) % 3 > 1), y, Gaussian(0.5))
    with pytest.raises(ParameterError, match="operator's mask"):
        conformal(Mean(), masked, 0.9).apply(Mean(), other, result)


def test_samplers_are_compared_by_prior_and_number_of_samples(problems):
    solver = Sampler(prior=ig.priors.TotalVariation(1.0))
    known = conformal(solver, problems[:20], 0.9, samples=4)
    problem, _ = problems[30]
    known.apply(solver, problem, solver(problem, samples=4, seed=1))
    with pytest.raises(ParameterError, match="samples 5, calibrated with 4"):
        known.apply(solver, problem, solver(problem, samples=5, seed=1))
    with pytest.raises(ParameterError, match="another prior"):
        known.apply(
            replace(solver, prior=ig.priors.TotalVariation(2.0)), problem, solver(problem, samples=4, seed=1)
        )


def test_operators_that_differ_among_calibration_problems_may_differ_later():
    def pair(seed):
        generator = torch.Generator().manual_seed(seed)
        mask = torch.rand(SHAPE, generator=generator, dtype=torch.float64) < 0.6
        x = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
        return ig.Problem(Mask(mask), Gaussian(0.5).sample(mask * x, seed=seed), Gaussian(0.5)), x

    known = conformal(Mean(), map(pair, range(40)), 0.9)
    assert "operator's mask" not in known.kind.settings
    problem, _ = pair(100)
    known.apply(Mean(), problem, Mean()(problem))
    few = ig.Problem(Mask(torch.arange(42).reshape(SHAPE) < 4), problem.measurement, Gaussian(0.5))
    with pytest.raises(ParameterError, match=r"data per unknown 0\.0952"):
        known.apply(Mean(), few, Mean()(few))
    with pytest.raises(ParameterError, match=r"differ in operator: Mask, Identity"):
        conformal(Mean(), [pair(0), *measured(20, seed=1)], 0.9)


def test_widths_of_zero_where_the_error_is_not_are_named(problems):
    flat = [(problem, 0 * truth + 1) for problem, truth in problems[:20]]

    @dataclass(frozen=True)
    class Flat(Mean):
        def __call__(self, problem, **ignored):
            return Reconstruction(torch.zeros_like(problem.measurement))

    for guarantee in ("average", "each", "all"):
        with pytest.raises(DataError, match=r"100.00% of the widths are zero where the error is not"):
            conformal(Flat(), flat, 0.9, guarantee=guarantee)
    exact = [(problem, 0 * truth) for problem, truth in problems[:20]]
    assert float(conformal(Flat(), exact, 0.9).factors) == 0  # no width is needed

    @dataclass(frozen=True)
    class Edge(Mean):  # one pixel of width zero and an error, in each image
        def __call__(self, problem, **ignored):
            return Reconstruction(torch.zeros_like(problem.measurement).index_fill(0, torch.tensor([5]), 1.0))

    for guarantee in ("each", "all"):
        with pytest.raises(DataError, match=r"floor=0\.1"):
            conformal(Edge(), flat, 0.9, guarantee=guarantee, floor=0.0)
        assert conformal(Edge(), flat, 0.9, guarantee=guarantee, floor=0.1).factors.isfinite().all()


def test_what_is_no_calibration_problem_is_refused(problems):
    (problem, truth), rest = problems[0], problems[1:]

    def refused(error, match, first, **options):
        with pytest.raises(error, match=match):
            conformal(Mean(), [first, *rest], 0.9, **options)

    refused(DtypeError, "pairs", problem)
    refused(DtypeError, "pairs", (truth, problem))
    refused(ShapeError, "shape of its images", (problem, truth[:3]))
    refused(ShapeError, "got int", (problem, 3))
    refused(DataError, "NaN", (problem, truth * math.nan))
    refused(DtypeError, "complex", (problem, truth + 0j))
    refused(ShapeError, "Reconstruction", (problem, truth, Reconstruction(truth[:2])))
    good = problems[0]
    refused(ShapeError, "mask is a bool tensor", good, mask=truth > math.inf)
    refused(ShapeError, "mask is a bool tensor", good, mask=torch.ones(3, 3, dtype=torch.bool))
    refused(ShapeError, "regions are a bool tensor", good, regions=REGIONS[0])
    refused(ShapeError, "regions are a bool tensor", good, regions=REGIONS.double())
    refused(ParameterError, "no pixel", good, regions=REGIONS & False)
    refused(ParameterError, "one of them", good, regions=REGIONS, mask=REGIONS[0])
    refused(ParameterError, "leave out samples", good, samples=4)
    refused(ParameterError, "width is one of", good, width="wide")
    refused(ParameterError, "floor is", good, floor=-1.0)
    refused(CapabilityError, "takes two samples", good, width="quantiles")
    for level in (0, 1, 1.2, -0.5, math.nan):
        with pytest.raises(ParameterError, match="level is a number between 0 and 1"):
            conformal(Mean(), problems, level)
    with pytest.raises(ParameterError, match="have 8 samples each"):
        conformal(Sampler(), [(problem, truth, Mean()(problem))], 0.9)


def test_calibrated_intervals_do_not_change(problems):
    known = conformal(Mean(), problems, 0.9)
    assert isinstance(known, ConformalIntervals)
    assert "level=0.9" in repr(known)
    with pytest.raises(AttributeError):
        known.level = 0.5
