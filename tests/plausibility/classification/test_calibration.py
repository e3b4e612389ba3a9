"""Calibration by hand, and temperatures that are known."""

import math

import pytest
import torch

from invgen.core.errors import DataError, DtypeError, ShapeError
from invgen.plausibility import expected_calibration_error, reliability
from invgen.plausibility.classification import fitted_temperature


def of_first(*probabilities):
    """Logarithms of the probabilities of two classes, by those of the first."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([p, 1 - p], dim=1).log()


def test_the_error_is_counted_by_hand():
    log_p = of_first(0.95, 0.91, 0.7, 0.25, 0.0)
    labels = torch.tensor([0, 1, 0, 0, 1])
    # confidences 0.95, 0.91, 0.7, 0.75, 1: right, wrong, right, wrong, right; bins of a fifth
    counts, confidence, accuracy = reliability(log_p, labels, bins=5)
    assert counts.tolist() == [0, 0, 0, 2, 3]
    assert confidence.tolist() == pytest.approx([0, 0, 0, 0.725, 2.86 / 3])
    assert accuracy.tolist() == pytest.approx([0, 0, 0, 0.5, 2 / 3])
    expected = (2 * abs(0.725 - 0.5) + 3 * abs(2.86 / 3 - 2 / 3)) / 5
    assert expected_calibration_error(log_p, labels, bins=5) == pytest.approx(expected)


def test_an_end_of_a_bin_is_its_upper_one():
    assert reliability(of_first(0.75), torch.tensor([0]), bins=4).counts.tolist() == [0, 0, 1, 0]


def test_frequencies_have_no_error():
    """Of 10,000 draws by the probabilities themselves little is left, and of twice the logits much."""
    logits = 2 * torch.randn(10_000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
    assert expected_calibration_error(logits.log_softmax(1), labels) < 0.02
    assert expected_calibration_error((2 * logits).log_softmax(1), labels) > 0.08


@pytest.mark.parametrize("temperature", [0.3, 1.0, 40.0])
def test_the_temperature_of_draws_is_found(temperature):
    log_prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    scores = 3 * torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = (scores + log_prior).softmax(1)
    labels = torch.multinomial(p, 1, generator=torch.Generator().manual_seed(1))[:, 0]
    assert fitted_temperature(temperature * scores, labels, log_prior) == pytest.approx(temperature, rel=0.05)


def test_images_without_a_mistake_have_no_temperature():
    scores = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    with pytest.raises(DataError, match="more images"):
        fitted_temperature(scores, torch.tensor([0, 1]), torch.zeros(2))
    assert fitted_temperature(scores, torch.tensor([0, 0]), torch.zeros(2)) > 1


def test_what_has_no_calibration_is_refused():
    log_p, labels = of_first(0.5, 0.5), torch.tensor([0, 1])
    with pytest.raises(ShapeError):
        expected_calibration_error(log_p[:0], labels[:0])
    with pytest.raises(ShapeError):
        expected_calibration_error(log_p, labels[:1])
    with pytest.raises(DataError):
        expected_calibration_error(log_p * math.nan, labels)
    with pytest.raises(DataError):
        reliability(log_p, labels + 1)
    with pytest.raises(DtypeError):
        reliability(log_p.long(), labels)
    with pytest.raises(DtypeError):
        reliability(log_p, labels.double())
