"""Bayes' rule against its closed form, and denoisers of Gaussians, whose errors are known."""

import math

import pytest
import torch

import invgen as ig
from invgen.core.errors import CapabilityError, DataError, DtypeError, ParameterError, ShapeError
from invgen.plausibility import BayesClassifier, DenoisingClassifier, expected_calibration_error
from invgen.priors import ContextTable, Gaussian, GaussianMixture

MEANS = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CLASSES = [Gaussian(mean, 0.3) for mean in MEANS]


def drawn(n, seed=0):
    """Images of random classes, and these."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=generator)
    noise = torch.randn(n, 2, 3, generator=generator, dtype=torch.float64)
    return MEANS[labels] + math.sqrt(0.3) * noise, labels


def posterior(x, prior=(0.25,) * 4):
    """Of Gaussians of one variance it is a softmax of squared distances."""
    squares = (x[:, None] - MEANS).square().flatten(2).sum(2)
    return (-squares / 0.6 + torch.tensor(prior, dtype=torch.float64).log()).log_softmax(1)


@pytest.mark.parametrize("prior", [None, (0.1, 0.2, 0.3, 0.4)])
def test_the_posterior_of_gaussians_is_exact(prior):
    x, _ = drawn(20)
    classifier = BayesClassifier(CLASSES, prior)
    expected = posterior(x, prior or (0.25,) * 4)
    torch.testing.assert_close(classifier.log_probabilities(x), expected)
    torch.testing.assert_close(classifier.classify(x), expected.argmax(1))
    batch = classifier.log_probabilities(x.reshape(4, 5, 2, 3))
    torch.testing.assert_close(batch, expected.reshape(4, 5, 4))
    assert classifier.log_probabilities(x.float()[0]).shape == (4,)


def test_its_density_is_that_of_the_mixture():
    prior = (0.1, 0.2, 0.3, 0.4)
    mixture = GaussianMixture(MEANS, torch.full_like(MEANS, 0.3), prior)
    x, _ = drawn(20)
    torch.testing.assert_close(BayesClassifier(CLASSES, prior).log_prob(x), mixture.log_prob(x))


def test_bits_of_levels_are_those_of_the_class_that_fits():
    """Of classes with nothing in common they are those of each one's own table, and one for the class."""
    dark, bright = torch.zeros(10, 4, 4), torch.ones(10, 4, 4)
    dark[:, 1], bright[:, 1] = 0.2, 0.8
    tables = [ContextTable.fit(images) for images in (dark, bright)]
    classifier = BayesClassifier(tables)
    bits = ig.metrics.bits_per_dimension(classifier, (255 * bright).round().byte())
    own = ig.metrics.bits_per_dimension(tables[1], (255 * bright).round().byte())
    assert bits.mean == pytest.approx(own.mean + 1 / 16, rel=1e-6)
    assert classifier.classify(torch.cat([dark, bright])).tolist() == [0] * 10 + [1] * 10


class Bounded(Gaussian):
    log_prob_kind = "lower bound"


class Estimated(Gaussian):
    log_prob_kind = "estimate"


def test_its_density_is_as_exact_as_its_classes():
    """A mixture of lower bounds is one, and with a class that is estimated it is an estimate."""
    images = torch.full((3, 2, 3), 100, dtype=torch.uint8)
    exact, bounded, estimated = (kind(MEANS[0], 0.3) for kind in (Gaussian, Bounded, Estimated))
    for classes, kind, bits in (
        ((exact, exact), "exact", "upper bound"),
        ((exact, bounded), "lower bound", "upper bound"),
        ((bounded, exact, estimated), "estimate", "estimate"),
    ):
        classifier = BayesClassifier(classes)
        assert classifier.log_prob_kind == kind
        assert ig.metrics.bits_per_dimension(classifier, images, value_range=(0.0, 1.0)).kind == bits


def test_bits_of_classes_with_exact_probabilities_are_exact():
    tables = [ContextTable.fit(torch.full((4, 4, 4), value)) for value in (0.2, 0.8)]
    images = torch.full((2, 4, 4), 51, dtype=torch.uint8)
    assert ig.metrics.bits_per_dimension(BayesClassifier(tables), images).kind == "exact"


def test_a_temperature_is_found_and_leaves_the_prior():
    """Densities of half the variance are too sure by a factor of two."""
    x, labels = drawn(20_000)
    prior = [0.25] * 4
    sure = BayesClassifier([Gaussian(mean, 0.15) for mean in MEANS], prior)
    calibrated = sure.calibrated(x, labels)
    assert calibrated.temperature == pytest.approx(2, rel=0.05)
    test, truth = drawn(5000, seed=1)
    errors = [expected_calibration_error(c.log_probabilities(test), truth) for c in (sure, calibrated)]
    assert errors[1] < 0.015 < errors[0]
    assert torch.equal(sure.classify(test), calibrated.classify(test))


def expected_error(x, mean, variance, sigma):
    """``E |D(x + sigma n) - x|^2`` of a Gaussian's denoiser, which is linear."""
    gain = variance / (variance + sigma**2)
    return ((1 - gain) * (mean - x)).square().flatten(1).sum(1) + gain**2 * sigma**2 * x[0].numel()


def test_errors_of_denoisers_are_their_expected_values():
    x, _ = drawn(5)
    classifier = DenoisingClassifier(
        CLASSES, sigma_range=(0.5, 2.0), draws=1000, round=1000, power=2.0, margin=math.inf
    )
    levels = classifier._levels()
    errors = [sum(s**-2 * expected_error(x, mean, 0.3, s) for s in levels) / len(levels) for mean in MEANS]
    expected = -math.log(max(levels) / min(levels)) * torch.stack(errors, dim=1)
    found = classifier._log_likelihoods(x)
    torch.testing.assert_close(found - found[:, :1], expected - expected[:, :1], rtol=0.05, atol=0.3)


def test_over_all_levels_it_is_bayes_rule():
    """With the weights of the bound, which is tight for the exact denoiser, no temperature is needed."""
    x, _ = drawn(50)
    bound = DenoisingClassifier(CLASSES, sigma_range=(0.005, 100.0), draws=300, power=2.0, margin=math.inf)
    found, exact = bound._log_likelihoods(x), posterior(x)
    found = found - found[:, :1]
    # the noise of the estimate grows with the distance of the classes
    correlation = torch.corrcoef(
        torch.stack([found[:, 1:].flatten(), (exact - exact[:, :1])[:, 1:].flatten()])
    )
    assert float(correlation[0, 1]) > 0.98
    slope = (found * (exact - exact[:, :1])).sum() / (exact - exact[:, :1]).square().sum()
    assert float(slope) == pytest.approx(1, abs=0.1)
    assert float((bound.classify(x) == exact.argmax(1)).double().mean()) > 0.93


def counted(calls):
    class Counted(Gaussian):
        def denoise(self, x, sigma):
            calls.append(len(x))
            return super().denoise(x, sigma)

    return [Counted(3 * mean, 0.3) for mean in MEANS]


def test_hopeless_classes_are_dropped_and_the_answer_stays():
    calls = []
    x, labels = 3 * drawn(40)[0], drawn(40)[1]
    options = {"sigma_range": (0.3, 3.0), "draws": 64}
    every = DenoisingClassifier(counted(calls), margin=math.inf, **options).classify(x)
    assert sum(calls) == 40 * 4 * 64
    calls.clear()
    pruned = DenoisingClassifier(counted(calls), **options).classify(x)
    assert sum(calls) < 40 * 4 * 64 / 4
    assert float((pruned == every).double().mean()) >= 0.95
    assert float((pruned == labels).double().mean()) >= 0.95


def test_images_do_not_see_each_other(monkeypatch):
    x, _ = drawn(6)
    options = {"sigma_range": (0.3, 3.0), "draws": 24}
    together = DenoisingClassifier(CLASSES, seed=4, **options).log_probabilities(x)
    alone = [
        DenoisingClassifier(CLASSES, seed=4 + i, **options).log_probabilities(each)
        for i, each in enumerate(x)
    ]
    torch.testing.assert_close(together, torch.stack(alone))
    monkeypatch.setattr("invgen.plausibility.classification.denoising._TOGETHER", 4)
    parts = DenoisingClassifier(CLASSES, seed=4, **options).log_probabilities(x)
    torch.testing.assert_close(parts, together)


def test_bad_input_is_refused():
    x, labels = drawn(5)
    classifier = BayesClassifier(CLASSES)
    with pytest.raises(ShapeError, match="2, 3"):
        classifier.classify(x[:, :1])
    with pytest.raises(DataError):
        classifier.classify(x * math.nan)
    with pytest.raises(DtypeError):
        classifier.classify(x.long())
    with pytest.raises(ShapeError):
        classifier.calibrated(x, labels[:2])
    with pytest.raises(DataError):
        classifier.calibrated(x, labels + 4)
    assert classifier.log_probabilities(x[:0]).shape == (0, 4)
    with pytest.raises(ShapeError, match="two or more"):
        BayesClassifier(CLASSES[:1])
    with pytest.raises(ShapeError, match="prior"):
        BayesClassifier(CLASSES, [0.5, 0.5])
    for wrong in ([0.5, 0.5, 0.5, 0.5], [1.0, 0.0, 0.0, 0.0]):
        with pytest.raises(ParameterError):
            BayesClassifier(CLASSES, wrong)
    with pytest.raises(ParameterError):
        BayesClassifier(CLASSES, temperature=0)
    with pytest.raises(CapabilityError, match="log_prob"):
        BayesClassifier([ig.priors.TotalVariation()] * 2)
    with pytest.raises(CapabilityError, match="denoise"):
        DenoisingClassifier([ContextTable.fit(torch.zeros(3, 2, 3))] * 2)
    with pytest.raises(CapabilityError, match="sigma_range"):
        DenoisingClassifier([ig.priors.NonLocalMeans()] * 2)
    for options in (
        {"sigma_range": (2.0, 1.0)},
        {"draws": 0},
        {"round": 1},
        {"margin": 0.0},
        {"power": math.nan},
    ):
        with pytest.raises(ParameterError):
            DenoisingClassifier(CLASSES, **{"sigma_range": (0.1, 1.0), **options})


def test_probabilities_and_densities_are_not_compared():
    levels = ContextTable.fit(torch.zeros(3, 2, 3))
    with pytest.raises(ShapeError, match="one kind"):
        BayesClassifier([levels, CLASSES[0]])


def digits(find, count):
    """The first test digits, and their classes."""
    images = ig.io.read_images(find("digits/mnist8k-images-idx3-ubyte.gz"))[:count]
    labels = ig.io.read_labels(find("digits/mnist8k-labels-idx1-ubyte.gz"))[:count]
    return torch.stack([torch.from_numpy(x) for x in images]).float(), torch.from_numpy(labels).long()


def test_zeros_and_ones_by_tables_of_contexts(measured_file):
    """By counts of about ninety of each."""
    x, labels = digits(measured_file, 1100)
    first = torch.arange(len(x)) < 900
    learned, test = ([x[which & (labels == k)] for k in (0, 1)] for which in (first, ~first))
    classifier = BayesClassifier([ContextTable.fit(each, levels=4) for each in learned])
    right = torch.cat([classifier.classify(each) == k for k, each in enumerate(test)])
    assert float(right.double().mean()) > 0.9


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("count", [4, 100])
def test_digits_by_denoisers(measured_file, count):
    x, labels = digits(measured_file, count)
    prior = ig.priors.load("digits")
    found = DenoisingClassifier([prior.of_class(k) for k in range(10)]).classify(x)
    assert int((found != labels).sum()) <= 0.05 * count
