"""Stationary fields: exact posteriors in two ways against explicit matrices, and the fields themselves."""

import math

import pytest
import torch

import invgen as ig
from invgen.certification import FIELDS, Setting, field_posterior, field_setting
from invgen.certification.fields import stationary_prior

SMALL = (12, 16)


def double(setting):
    prior = setting.prior
    mean = prior.mean().to(torch.complex128 if prior.space.field == "complex" else torch.float64)
    return setting._replace(prior=ig.priors.Gaussian(mean, prior.covariances))


def measured(setting, n=1):
    truth = setting.prior.sample(n, seed=5)
    return truth, setting.noise.sample(setting.operator(truth), seed=6)


@pytest.mark.parametrize("name", FIELDS)
def test_mean_and_deviation_are_those_of_explicit_matrices(name):
    setting = double(field_setting(name, shape=SMALL))
    _, y = measured(setting, 2)
    posterior = field_posterior(setting)
    for i in range(2):
        exact = setting.prior.posterior(ig.Problem(setting.operator, y[i], setting.noise))
        torch.testing.assert_close(posterior.mean(y)[i], exact.mean(), rtol=0, atol=1e-8)
    variance = exact.covariance().diagonal().real.reshape(SMALL)
    torch.testing.assert_close(posterior.std, variance.sqrt(), rtol=1e-8, atol=0)


@pytest.mark.parametrize("name", ["field-mri", "field-coils", "field-blur", "field-mask"])
def test_samples_have_the_mean_and_covariance_of_the_posterior(name):
    setting = double(field_setting(name, shape=(4, 6)))
    _, y = measured(setting)
    posterior, n = field_posterior(setting), 4000
    x = posterior.sample(y[0], n, seed=0)
    assert x.shape == (n, 4, 6)
    exact = setting.prior.posterior(ig.Problem(setting.operator, y[0], setting.noise))
    away = (x - exact.mean()).flatten(1)
    C, parts = exact.covariance(), 2 if x.is_complex() else 1
    std = C.diagonal().real.sqrt()
    found = away.mT @ away.conj() / parts / n
    # entries of Gaussian sample covariances scatter by sqrt(2 / n) of the deviations' product, at most
    assert float(((found - C).abs() / (std[:, None] * std)).max()) < 5 * math.sqrt(2 / n)
    assert float((away.mean(0).abs() / std).max()) < 5 * math.sqrt(parts / n)
    batch = posterior.sample(y.expand(3, *y.shape[1:]), 2, seed=1)
    assert batch.shape == (2, 3, 4, 6)
    assert torch.equal(batch, posterior.sample(y.expand(3, *y.shape[1:]), 2, seed=1))


def test_a_field_is_correlated_as_an_exponential():
    """On a torus much larger than the correlation length."""
    prior = stationary_prior((128, 128), length=4.0)
    C = torch.fft.ifft2(prior.covariances.eigenvalues.value[0]).real
    assert float(C[0, 0]) == pytest.approx(1)
    for distance in (4, 8, 12):  # the grid cuts off high frequencies, which adds to the correlation
        assert float(C[0, distance]) == pytest.approx(math.exp(-distance / 4), rel=0.1)


def test_convolutions_are_solved_in_fourier_space_and_others_by_their_measurements():
    ways = {name: type(field_posterior(field_setting(name, shape=SMALL))).__name__ for name in FIELDS}
    assert ways == {
        "field-ct": "_ByMeasurements",
        "field-mri": "_ByFrequencies",
        "field-coils": "_ByMeasurements",
        "field-blur": "_ByFrequencies",
        "field-mask": "_ByMeasurements",
    }


def test_what_has_no_such_posterior_is_refused():
    setting = field_setting("field-mask", shape=SMALL)
    with pytest.raises(ig.errors.ParameterError, match="field-blur"):
        field_setting("field-xray")
    mixture = ig.certification.find_case("dense-8").setting(0)
    with pytest.raises(ig.errors.CapabilityError, match="Stationary"):
        field_posterior(mixture)
    with pytest.raises(ig.errors.CapabilityError, match="white"):
        field_posterior(setting._replace(noise=ig.noise.Gaussian(torch.ones(SMALL))))
    whole = Setting(
        stationary_prior((80, 80)), ig.operators.Mask(0.5 + torch.rand(80, 80)), ig.noise.Gaussian(0.1)
    )
    with pytest.raises(ig.errors.CapabilityError, match="6400"):
        field_posterior(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELDS)
def test_truths_are_as_far_from_the_mean_as_the_deviation_says(name):
    """At full size; the root mean square over correlated pixels scatters by a few percent."""
    setting = field_setting(name)
    posterior = field_posterior(setting)
    truth, y = measured(setting)
    z = (truth - posterior.mean(y)) / posterior.std
    parts = 2 if z.is_complex() else 1
    assert math.sqrt(float(z.abs().square().mean()) / parts) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["field-mri", "field-blur"])
def test_fields_are_certified_as_vectors_are(name):
    few = {"samples": 20, "measurements": 1, "rounds": 10}
    figures = ig.certification.certify(ig.solvers.PreconditionedLangevin, name, **few)
    assert figures.mean_bias < 0.3
    assert figures.coverage_90 == pytest.approx(0.9, abs=0.1)
    assert figures.excess == pytest.approx(1, abs=0.5)
