"""The test of anomalies: exact type-I error, discoveries, calibration data, and what files hold of it."""

import math
import warnings

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.errors import DataError, DtypeError, FileError, InvgenWarning, ParameterError, ShapeError
from invgen.plausibility import AnomalyDetector, binomial_interval, permutation_p_value
from invgen.plausibility.anomaly import (
    BatchTypicality,
    DensityOfStates,
    LogLikelihood,
    ReconstructionError,
    ScoreNorms,
    SymmetryAndStates,
    SymmetryRatio,
    Typicality,
    auroc,
    recommended,
)
from invgen.priors import ContextTable, Gaussian

SHAPE = (4, 4)
PRIOR = Gaussian(torch.zeros(SHAPE, dtype=torch.float64), 0.25)


def draws(n, seed, std=0.5):
    generator = torch.Generator().manual_seed(seed)
    return std * torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64)


def stripes(n, seed, side=8):
    """Images of 8 bits whose rows are alike: upright stripes."""
    steps = torch.randint(-30, 31, (n, side, side), generator=torch.Generator().manual_seed(seed))
    columns = torch.randint(0, 256, (n, 1, side), generator=torch.Generator().manual_seed(seed + 1))
    return (columns + steps // 10).clamp(0, 255).float() / 255


STRIPES = ContextTable.fit(stripes(200, 0))


def test_the_p_value_counts_calibration_images_that_are_no_less_anomalous():
    detector = AnomalyDetector(PRIOR, draws(99, 0), "log-likelihood")
    x = draws(3, 1)
    known = LogLikelihood().values(PRIOR, draws(99, 0))
    wanted = [(1 + int((known >= each).sum())) / 100 for each in LogLikelihood().values(PRIOR, x)]
    assert detector.p_value(x).tolist() == wanted
    assert detector.p_value(x[0]).shape == ()
    assert float(detector.p_value(x[0])) == wanted[0]
    assert detector.p_value(x.reshape(3, 1, *SHAPE)).shape == (3, 1)
    assert detector.p_value(x[:0]).shape == (0,)


@pytest.mark.parametrize(
    "statistic",
    [
        LogLikelihood(),
        LogLikelihood("both"),
        Typicality(),
        ScoreNorms((0.1, 1.0)),
        DensityOfStates((LogLikelihood(), Typicality())),
        SymmetryAndStates(DensityOfStates((LogLikelihood(), Typicality()))),
    ],
    ids=lambda each: f"{each.name} {each.side}",
)
def test_the_type_one_error_is_the_level_whatever_the_statistic(statistic):
    """Over calibration data drawn anew: with 19 left, exactly 10 and 50 %, by a wrong prior, too."""
    wrong = Gaussian(torch.linspace(0, 0.6, 16, dtype=torch.float64).reshape(SHAPE), 1.0)
    count, left = (19, 19) if statistic.is_fitted else (29, 19)
    found = []
    for seed in range(300):
        images = draws(count + 4, seed)
        detector = AnomalyDetector(wrong, images[4:], statistic, seed=seed)
        assert len(detector.calibration) == left
        found.append(detector.p_value(images[:4]))
    p = torch.stack(found)
    for level in (0.1, 0.5):
        # of four that share calibration data, the first alone is independent of those of other seeds
        low, high = binomial_interval(int((p[:, 0] <= level + 1e-12).sum()), 300, 0.9999)
        assert low <= level <= high, (level, low, high)
        assert abs(float((p <= level + 1e-12).double().mean()) - level) < 5 * math.sqrt(level / 300)


def test_one_sided_likelihood_is_blind_to_what_is_too_likely():
    calibration, mode = draws(400, 0), torch.zeros(SHAPE, dtype=torch.float64)
    assert float(AnomalyDetector(PRIOR, calibration, LogLikelihood()).p_value(mode)) == 1.0
    for statistic in (LogLikelihood("both"), Typicality(), DensityOfStates((LogLikelihood(),))):
        assert float(AnomalyDetector(PRIOR, calibration, statistic).p_value(mode)) < 0.01


def test_what_is_turned_is_found_by_the_symmetry_ratio_as_theory_has_it():
    """Gaussian images around a mean that the half turn moves by d standard deviations.

    The ratio rises with that of two Gaussians, whose area is Phi(d / sqrt 2); the likelihood itself has the
    same difference of means, among the fluctuations of all 48 pixels.
    """
    mean = torch.zeros(6, 8, dtype=torch.float64)
    mean[:3], mean[3:] = 1, -1
    mean *= 3 / (2 * mean).norm()
    prior = Gaussian(mean, 1.0)
    calibration, inliers, upright = (prior.sample(n, seed=10_000 * n) for n in (600, 1501, 1502))
    turned = upright.flip((1, 2))
    areas = {}
    recommended_one = SymmetryAndStates(DensityOfStates((LogLikelihood(),)))
    summed = DensityOfStates((LogLikelihood(), SymmetryRatio()))
    for statistic in (LogLikelihood(), SymmetryRatio(), summed, recommended_one):
        detector = AnomalyDetector(prior, calibration, statistic)
        areas[statistic.name] = auroc(detector.statistic(inliers), detector.statistic(turned))
    exact = float(torch.special.ndtr(torch.tensor(3 / math.sqrt(2))))
    assert areas["symmetry-ratio"].low < exact < areas["symmetry-ratio"].high
    assert areas["log-likelihood"].high < 0.8
    assert areas["density-of-states"].low > 0.93
    assert areas["density-of-states"].value < areas["symmetry-and-states"].value
    assert areas["symmetry-and-states"].high > exact


def test_the_symmetry_ratio_is_the_likelihood_ratio_to_the_symmetric_prior():
    prior = Gaussian(torch.arange(16.0, dtype=torch.float64).reshape(SHAPE) / 16, 0.25)
    x = draws(3, 0)
    logs = torch.stack([prior.log_prob(x.rot90(k, (1, 2)).contiguous()) for k in range(4)])
    wanted = logs.exp().mean(0).log() - logs[0]
    torch.testing.assert_close(SymmetryRatio().values(prior, x), wanted)
    wide = Gaussian(torch.arange(12.0, dtype=torch.float64).reshape(3, 4) / 12, 0.25)
    y = draws(3, 1)[:, :3]
    logs = torch.stack([wide.log_prob(y), wide.log_prob(y.flip((1, 2)))])
    torch.testing.assert_close(SymmetryRatio().values(wide, y), logs.exp().mean(0).log() - logs[0])


def test_the_density_of_states_is_that_of_scipy():
    from scipy.stats import gaussian_kde

    fitted = DensityOfStates((LogLikelihood(), SymmetryRatio())).fitted(STRIPES, stripes(50, 10))
    x = stripes(7, 20)
    wanted = torch.zeros(7, dtype=torch.float64)
    for statistic in (LogLikelihood(), SymmetryRatio()):
        known = statistic.values(STRIPES, stripes(50, 10)).numpy()
        wanted -= torch.from_numpy(gaussian_kde(known).logpdf(statistic.values(STRIPES, x).numpy()))
    torch.testing.assert_close(fitted.values(STRIPES, x), wanted, rtol=1e-4, atol=1e-4)


def test_the_symmetry_ratio_counts_by_its_probability_and_the_states_beyond_their_quantile():
    from scipy.special import logsumexp
    from scipy.stats import norm

    images, x = stripes(50, 10), torch.cat([stripes(9, 20), stripes(3, 30).mT.contiguous()])
    states = DensityOfStates((LogLikelihood(), Typicality())).fitted(STRIPES, images)
    fitted = SymmetryAndStates(states).fitted(STRIPES, images)
    known, seen = (SymmetryRatio().values(STRIPES, each).numpy() for each in (images, x))
    away = (seen[:, None] - known) / (known.std(ddof=1) * 50**-0.2)
    tail = math.log(50) - torch.from_numpy(logsumexp(norm.logsf(away), axis=1))
    beyond = states.values(STRIPES, x) - fitted.usual
    assert 0 < int((beyond > 0).sum()) < len(x)
    wanted = tail + beyond.clamp(min=0)
    torch.testing.assert_close(fitted.values(STRIPES, x), wanted, rtol=1e-4, atol=1e-4)
    # inliers that were not fitted to are beyond it as often as it says, within four standard deviations
    others = states.values(STRIPES, stripes(2000, 40))
    assert abs(float((others > fitted.usual).double().mean()) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 50)


def test_a_symmetry_ratio_that_means_nothing_hides_no_other_anomaly():
    """A prior that is certain how its images lie, and inliers that lie in any way."""
    mean = 2 * torch.linspace(-1, 1, 16, dtype=torch.float64).reshape(SHAPE)
    prior = Gaussian(mean, 0.25)

    def images(n, seed):
        turned = [(mean + each).rot90(i, (0, 1)) for i, each in enumerate(draws(n, seed))]
        return torch.stack(turned)

    flat = 4 + draws(100, 2, std=0.01)
    statistic = SymmetryAndStates(DensityOfStates((Typicality(),)))
    detector = AnomalyDetector(prior, images(600, 0), statistic)
    of_inliers, of_flat = (SymmetryRatio().values(prior, each) for each in (images(400, 1), flat))
    assert float(of_inliers.median()) > 100 * float(of_flat.max())
    assert auroc(detector.statistic(images(400, 1)), detector.statistic(flat)).low > 0.95


def test_discoveries_are_those_of_benjamini_and_hochberg():
    detector = AnomalyDetector(PRIOR, draws(1999, 0), "log-likelihood")
    x = torch.cat([draws(90, 1), draws(10, 2, std=2.0)])
    found = detector.detect(x, 0.1)
    assert bool(found[90:].all())
    assert int(found[:90].sum()) <= 5
    assert torch.equal(found, ig.plausibility.false_discoveries(detector.p_value(x), 0.1))
    assert bool(detector.detect(x[95], 0.1))
    assert detector.detect(x.reshape(10, 10, *SHAPE), 0.1).shape == (10, 10)


def test_too_little_calibration_data_for_a_level_is_refused_and_for_many_images_warned_of():
    detector = AnomalyDetector(PRIOR, draws(19, 0), "log-likelihood")
    x = draws(40, 1, std=3.0)
    with pytest.raises(ParameterError, match="at least 99"):
        detector.detect(x, 0.01)
    with pytest.raises(ParameterError, match="at least 39"):
        AnomalyDetector(PRIOR, draws(19, 0), LogLikelihood("both")).detect(x, 0.05)
    with pytest.warns(InvgenWarning, match="fewer than 40 anomalies among 40 .* 799 would"):
        assert bool(detector.detect(x, 0.05).all())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.detect(x[:1], 0.05)
    with pytest.raises(ShapeError, match="too few"):
        AnomalyDetector(PRIOR, draws(3, 0), BatchTypicality(4, 0.0))
    with pytest.raises(ShapeError):
        AnomalyDetector(PRIOR, draws(0, 0), "log-likelihood")


def test_statistics_are_fitted_to_other_images_than_calibrate():
    images = draws(90, 0)
    detector = AnomalyDetector(PRIOR, images, "typicality", seed=3)
    assert len(detector.calibration) == 60
    values = (LogLikelihood().values(PRIOR, images) - detector.kind.entropy).abs()
    left = torch.isin(values, detector.calibration)
    assert int(left.sum()) == 60
    entropy = float(LogLikelihood().values(PRIOR, images[~left]).mean())
    assert detector.kind.entropy == pytest.approx(entropy)
    known = AnomalyDetector(PRIOR, images, Typicality(5.0))
    assert len(known.calibration) == 90


def test_groups_are_tested_together():
    detector = AnomalyDetector(PRIOR, draws(1500, 0), BatchTypicality(20))
    assert len(detector.calibration) == 50
    x = torch.stack([draws(20, 1), draws(20, 2, std=0.65)])
    p = detector.p_value(x)
    assert p.shape == (2,)
    assert float(p[1]) == 1 / 51
    assert float(p[0]) > 0.05
    with pytest.raises(ShapeError, match="groups of 20"):
        detector.p_value(x[:, :7])


def test_calibration_data_that_the_prior_has_learned_from_are_refused():
    learned, others = stripes(200, 0), stripes(200, 40)
    with pytest.raises(DataError, match=r"among the 200 .* held out"):
        AnomalyDetector(STRIPES, learned[:50], "log-likelihood")
    with pytest.raises(DataError, match="50 of 250"):
        AnomalyDetector(STRIPES, torch.cat([others, learned[:50]]), "log-likelihood")
    with pytest.warns(InvgenWarning, match="1 of 201"):
        AnomalyDetector(STRIPES, torch.cat([others, learned[:1]]), "log-likelihood")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AnomalyDetector(STRIPES, others, "log-likelihood")
    with pytest.raises(FileError, match="training_data"):
        AnomalyDetector(STRIPES.with_card(training_data={}), others)


def test_calibration_by_learned_images_finds_anomalies_where_there_are_none():
    """Why: a table fits the images that it was counted on, so that others look unusual among them."""
    few = ContextTable.fit(stripes(60, 0)).with_card(
        training_data=ContextTable.fit(stripes(9, 99)).card["training_data"]
    )
    detector = AnomalyDetector(few, stripes(60, 0), "log-likelihood")
    p = detector.p_value(stripes(200, 50))
    assert float((p <= 0.05).double().mean()) > 0.2


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (torch.zeros(5, 8, 7), ShapeError),
        (torch.zeros(8), ShapeError),
        (torch.zeros(5, 8, 8, dtype=torch.uint8), DtypeError),
        (torch.full((5, 8, 8), 255.0), DataError),
        (torch.full((5, 8, 8), math.nan), DataError),
        (np.zeros((5, 8, 8)), DtypeError),
    ],
)
def test_images_that_are_not_the_priors_are_refused(images, error):
    detector = AnomalyDetector(STRIPES, stripes(60, 40), "log-likelihood")
    with pytest.raises(error):
        detector.p_value(images)
    with pytest.raises(error):
        AnomalyDetector(STRIPES, images, "log-likelihood")


def test_a_file_holds_what_is_needed_instead_of_calibration_data(tmp_path):
    detector = AnomalyDetector(STRIPES, stripes(300, 40))
    assert detector.kind.name == "symmetry-and-states"
    card = {detector.kind.name: detector.header(data="stripes")}
    STRIPES.with_card(calibration=card).save(tmp_path / "prior.safetensors")
    again = AnomalyDetector(ig.priors.load(tmp_path / "prior.safetensors"))
    x = stripes(30, 50)
    torch.testing.assert_close(again.statistic(x), detector.statistic(x))
    assert torch.equal(again.calibration, detector.calibration)
    assert torch.equal(permutation_p_value(again.statistic(x), again.calibration), again.p_value(x))
    with pytest.raises(ParameterError, match="only of symmetry-and-states"):
        AnomalyDetector(again.prior, statistic="log-likelihood")
    with pytest.raises(ParameterError, match="other settings"):
        AnomalyDetector(again.prior, statistic=SymmetryAndStates(DensityOfStates((LogLikelihood("both"),))))


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {},
        {"settings": {}},
        {"settings": {}, "values": []},
        {"settings": {}, "values": "many"},
        {"settings": {}, "values": [1.0, "2"]},
        {"settings": {}, "values": [1.0, True]},
        {"settings": {}, "values": [math.inf]},
        {"settings": {}, "values": [math.nan]},
        {"settings": {}, "values": [10**400]},
        {"settings": {"side": "low"}, "values": [1.0]},
    ],
)
def test_a_file_that_holds_something_else_is_refused(entry):
    prior = STRIPES.with_card(calibration={"log-likelihood": entry})
    with pytest.raises(FileError, match="log-likelihood"):
        AnomalyDetector(prior, statistic="log-likelihood")


def test_without_calibration_data_or_by_no_name():
    for prior in (PRIOR, STRIPES, STRIPES.with_card(calibration=[])):
        with pytest.raises(ParameterError, match="needs calibration images"):
            AnomalyDetector(prior)
    with pytest.raises(ParameterError, match="there are symmetry-and-states, density-of-states"):
        AnomalyDetector(PRIOR, draws(30, 0), "p-value")
    with pytest.raises(ig.errors.CapabilityError, match="needs a prior that is"):
        AnomalyDetector(ig.priors.TotalVariation(), draws(30, 0))


def test_the_recommended_statistic_is_by_what_a_prior_can_do():
    names = lambda statistic: [each.name for each in statistic.statistics]  # noqa: E731
    assert recommended(STRIPES) == SymmetryAndStates()
    assert names(recommended(STRIPES).states) == ["log-likelihood", "input-complexity"]
    assert names(recommended(ig.priors.NonLocalMeans())) == ["score-norms", "symmetry-ratio"]
    points = ig.priors.Gaussian(torch.zeros(3), 1.0)
    assert names(recommended(points)) == ["log-likelihood", "input-complexity"]
    gan = ig.priors.GAN.untrained((8, 8), latent=2, widths=(8, 4))
    assert recommended(gan) == ReconstructionError(side="both")
