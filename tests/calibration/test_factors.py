"""Factors that make intervals cover: whatever the scores, exactly, by leaving each image out in turn."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.stats import binom

from invgen.calibration import conformal_factors, hoeffding_bentkus, least_problems
from invgen.core.errors import DataError, ParameterError, ShapeError


def generator(seed):
    return torch.Generator().manual_seed(seed)


def tables(images, targets):
    """Scores of many kinds: light and heavy tails, images that differ, with ties, equal along an image."""
    u = torch.rand(images, targets, dtype=torch.float64, generator=generator(images))
    each = torch.rand(images, 1, dtype=torch.float64, generator=generator(targets))
    return {
        "uniform": u,
        "heavy tails": 1 / u,
        "images differ": u * each**-3,
        "ties": (5 * u).floor(),
        "one error for a whole image": each.expand(-1, targets).contiguous(),
        "mostly exact": torch.where(u < 0.95, 0.0, u / each),
    }


KINDS = list(tables(2, 2))


def left_out(scores, *options):
    """For each image, which of its targets are outside by the factor that the other images give."""
    return torch.stack(
        [
            scores[i] > conformal_factors(torch.cat((scores[:i], scores[i + 1 :])), *options)
            for i in range(len(scores))
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("images", "level"), [(10, 0.9), (12, 0.8), (21, 0.9), (45, 0.95), (33, 0.87)])
def test_of_images_in_any_order_the_expected_part_outside_is_at_most_what_the_level_leaves(
    kind, images, level
):
    """The new image is any of the n + 1 with equal probability, and the theorems hold to the last digit."""
    scores = tables(images, 7)[kind]
    part = left_out(scores, level, "average").double().mean()
    assert part <= 1 - level + 1e-12
    # by a factor that is any smaller they would not: the bound is within one target of an image
    if kind in ("uniform", "heavy tails", "images differ"):
        assert part >= 1 - level - 2 / images
    assert (left_out(scores, level, "each").double().mean(0) <= 1 - level + 1e-12).all()
    assert left_out(scores, level, "all").any(1).double().mean() <= 1 - level + 1e-12


@pytest.mark.parametrize(("images", "level"), [(10, 0.9), (20, 0.95), (30, 0.8), (25, 0.9)])
def test_without_ties_coverage_is_a_fraction_of_ranks(images, level):
    scores = tables(images, 5)["heavy tails"]
    rank = math.ceil(images * level - 1e-9)  # images - 1 of them calibrate
    assert torch.equal(left_out(scores, level, "each").sum(0), torch.full((5,), images - rank))
    assert int(left_out(scores, level, "all").any(1).sum()) == images - rank


@pytest.mark.parametrize(
    ("images", "level", "rank"),
    [(9, 0.9, 9), (19, 0.9, 18), (19, 0.95, 19), (4, 0.8, 4), (99, 0.9, 90), (20, 0.9, 19), (50, 0.5, 26)],
)
@pytest.mark.parametrize("guarantee", ["average", "each", "all"])
def test_of_one_pixel_the_factor_is_an_order_statistic(images, level, rank, guarantee):
    scores = tables(images, 1)["heavy tails"]
    assert float(conformal_factors(scores, level, guarantee)) == float(
        scores.flatten().sort().values[rank - 1]
    )


def test_the_average_is_the_least_factor_with_the_risk_that_the_theorem_allows():
    scores, level = tables(30, 8)["images differ"], 0.85
    found = float(conformal_factors(scores, level))

    def allowed(factor):
        risk = float((scores > factor).double().mean(1).mean())
        return 30 / 31 * risk + 1 / 31 <= 1 - level + 1e-12

    candidates = scores.flatten().sort().values.tolist()
    assert found == next(factor for factor in candidates if allowed(factor))


@pytest.mark.parametrize(("images", "bound"), [(10, 0.2), (50, 0.1), (200, 0.05), (33, 0.5)])
def test_the_bound_of_hoeffding_and_bentkus_is_its_formula_and_a_p_value(images, bound):
    for count in range(images + 1):
        risk = count / images
        low = min(risk, bound)
        entropy = (low * math.log(low / bound) if low else 0) + (1 - low) * math.log((1 - low) / (1 - bound))
        expected = min(math.exp(-images * entropy), math.e * binom.cdf(count, images, bound), 1)
        assert hoeffding_bentkus(risk, images, bound) == pytest.approx(expected, rel=1e-9)
    # of losses that are zero or one at the bound itself: small p-values are as rare as they say
    p = [hoeffding_bentkus(count / images, images, bound) for count in range(images + 1)]
    weights = binom.pmf(range(images + 1), images, bound)
    for delta in (0.5, 0.2, 0.1, 0.05, 0.01):
        assert sum(w for w, each in zip(weights, p, strict=True) if each <= delta) <= delta
    assert hoeffding_bentkus(0.5 / images, images, bound) >= p[0]


@pytest.mark.parametrize(
    ("images", "level", "confidence"), [(60, 0.9, 0.9), (100, 0.8, 0.95), (45, 0.95, 0.9)]
)
def test_with_a_confidence_it_is_the_least_factor_whose_risk_has_a_small_p_value(images, level, confidence):
    scores = tables(images, 6)["images differ"]
    found = float(conformal_factors(scores, level, "average", confidence))
    risks = [
        (factor, float((scores > factor).double().mean()))
        for factor in scores.flatten().sort().values.tolist()
    ]
    fine = [factor for factor, risk in risks if hoeffding_bentkus(risk, images, 1 - level) <= 1 - confidence]
    assert found == fine[0]
    assert found >= float(conformal_factors(scores, level))


def test_with_a_confidence_few_calibrations_have_a_larger_risk():
    """Images whose targets are all in or all out vary most; their risk is one minus the factor."""
    level, confidence = 0.8, 0.9
    scores = torch.rand(2000, 60, 1, dtype=torch.float64, generator=generator(3))
    factors = torch.stack([conformal_factors(each, level, "average", confidence) for each in scores])
    failed = float((factors < level).double().mean())
    assert failed <= 1 - confidence + 3 * math.sqrt(0.09 / 2000)
    assert failed > 0.02  # and the bound is not vacuous


@pytest.mark.parametrize("options", [("average",), ("each",), ("all",), ("average", 0.9)], ids=str)
def test_factors_grow_with_the_level_and_with_the_scores(options):
    scores = tables(80, 6)["images differ"]
    factors = [conformal_factors(scores, level, *options) for level in (0.5, 0.7, 0.8, 0.9, 0.95)]
    for low, high in pairwise(factors):
        assert (low <= high).all()
    torch.testing.assert_close(conformal_factors(3 * scores, 0.9, *options), 3 * factors[3])


def test_how_many_images_are_needed():
    assert [least_problems(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    for level in (0.5, 0.8, 0.9, 0.95):
        for confidence in (None, 0.9, 0.95):
            few = least_problems(level, confidence)
            conformal_factors(torch.rand(few, 3), level, "average", confidence)
            with pytest.raises(
                ParameterError, match=f"take {few} or more calibration images; there are {few - 1}"
            ):
                conformal_factors(torch.rand(few - 1, 3), level, "average", confidence)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, math.nan, math.inf, "0.9", True, None])
def test_levels_are_between_zero_and_one(level):
    with pytest.raises(ParameterError, match="level is a number between 0 and 1"):
        conformal_factors(torch.rand(50, 2), level)


def test_what_is_no_table_of_scores_is_refused():
    scores = torch.rand(50, 2)
    with pytest.raises(ParameterError, match="guarantee is"):
        conformal_factors(scores, 0.9, "most")
    with pytest.raises(ParameterError, match="goes with"):
        conformal_factors(scores, 0.9, "each", 0.9)
    with pytest.raises(ParameterError, match="confidence is"):
        conformal_factors(scores, 0.9, "average", 1.0)
    for bad in (scores[0], scores[:, :0], scores[None]):
        with pytest.raises(ShapeError):
            conformal_factors(bad, 0.9)
    for bad in (-scores, scores * math.nan):
        with pytest.raises(DataError):
            conformal_factors(bad, 0.9)
    scores[:20, 0] = math.inf
    assert conformal_factors(scores, 0.9, "each").isinf().tolist() == [True, False]
