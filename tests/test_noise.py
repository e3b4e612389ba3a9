"""Noise models against their own statistics: what is drawn, how likely it is, and the derivatives of that."""

import math

import numpy as np
import pytest
import scipy.special
import torch

from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.noise import Clipped, Gaussian, Poisson, Transmission

DRAWS = 20000


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def covariance(k=3, dtype=torch.complex128):
    L = normal(k, k, dtype=dtype)
    return L @ L.mH + torch.eye(k)


def draws(noise, prediction):
    return noise.sample(prediction.expand(DRAWS, *prediction.shape), seed=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gaussian_samples_have_the_mean_and_std_that_it_says(dtype):
    std = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    prediction = normal(3, dtype=dtype)
    n = draws(Gaussian(std), prediction) - prediction
    tolerance = 5 / DRAWS**0.5
    assert (n.mean(0).abs() < tolerance * std * 2).all()
    for part in (n.real, n.imag) if n.is_complex() else (n,):
        torch.testing.assert_close(part.std(0), std, rtol=tolerance, atol=0)


def test_complex_parts_are_independent():
    n = draws(Gaussian(1.0), torch.zeros(1, dtype=torch.complex128))
    assert float((n**2).mean().abs()) < 2 * 5 / DRAWS**0.5


def test_samples_with_a_covariance_have_it():
    """Per real and imaginary part, as std is."""
    C = covariance()
    n = draws(Gaussian(covariance=C, axis=-2), torch.zeros(3, 2, dtype=torch.complex128))
    for column in n.unbind(-1):
        sample = column.mT @ column.conj() / DRAWS / 2
        assert (sample - C).abs().max() < 5 / DRAWS**0.5 * C.abs().max()


def test_poisson_samples_have_mean_and_variance_in_the_ratio_of_the_gain():
    prediction, gain = torch.tensor([2.0, 10.0, 300.0], dtype=torch.float64), 0.5
    y = draws(Poisson(gain), prediction)
    torch.testing.assert_close(y.mean(0), prediction, rtol=5 / DRAWS**0.5, atol=0)
    torch.testing.assert_close(y.var(0), gain * prediction, rtol=10 / DRAWS**0.5, atol=0)
    torch.testing.assert_close(y / gain, torch.round(y / gain))


def test_transmission_samples_are_counts_behind_the_object():
    integrals = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    y = draws(Transmission(1000.0), integrals)
    torch.testing.assert_close(y.mean(0), 1000 * torch.exp(-integrals), rtol=5 / (DRAWS * 50) ** 0.5, atol=0)
    torch.testing.assert_close(y.var(0), y.mean(0), rtol=10 / DRAWS**0.5, atol=0)


MODELS = [
    (Gaussian(0.7), torch.float64),
    (Gaussian(0.7), torch.complex128),
    (Gaussian(torch.tensor([0.5, 1.0, math.inf, 2.0])), torch.float64),
    (Gaussian(covariance=covariance(4)), torch.complex128),
    (Gaussian(covariance=covariance(4, torch.float64)), torch.float64),
    (Poisson(2.0), torch.float64),
    (Clipped(0.7, -0.5, 0.8), torch.float64),
    (Clipped(0.7, high=0.2), torch.float64),
    (Transmission(50.0), torch.float64),
    (Transmission(torch.tensor([50.0, 20.0, 0.0, 5.0]), background=3.0), torch.float64),
]
IDS = ["std", "complex", "dead pixel", "complex covariance", "covariance", "Poisson", "clipped"]
IDS += ["clipped above", "Transmission", "Transmission with a background and a dead pixel"]


def prediction_and_data(noise, dtype):
    prediction = normal(5, 4, dtype=dtype)
    prediction = prediction.abs() + 0.5 if isinstance(noise, Poisson) else prediction
    return prediction, noise.sample(prediction, seed=1)


@pytest.mark.parametrize(("noise", "dtype"), MODELS, ids=IDS)
def test_gradient_is_the_derivative_of_the_likelihood(noise, dtype):
    prediction, y = prediction_and_data(noise, dtype)
    prediction.requires_grad_()
    noise.negative_log_likelihood(prediction, y, (-1,)).sum().backward()
    torch.testing.assert_close(noise.gradient(prediction, y), prediction.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("noise", "dtype"), MODELS, ids=IDS)
def test_curvature_is_the_second_derivative_entry_by_entry(noise, dtype):
    prediction, y = prediction_and_data(noise, dtype)
    curvature = noise.curvature(prediction, y)
    for i in range(4):
        direction = torch.zeros(4, dtype=dtype)
        direction[i] = 1
        for v in (direction, 1j * direction) if direction.is_complex() else (direction,):
            slope = torch.func.jvp(lambda p: noise.gradient(p, y), (prediction,), (v.expand(5, 4),))[1]
            along = (slope[:, i] / v[i]).real
            torch.testing.assert_close(curvature[:, i].to(along), along, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("noise", "dtype"), MODELS, ids=IDS)
def test_likelihood_of_a_batch_is_that_of_its_elements(noise, dtype):
    prediction, y = prediction_and_data(noise, dtype)
    whole = noise.negative_log_likelihood(prediction, y, (-1,))
    assert whole.shape == (5,)
    for one, p, data in zip(whole, prediction, y, strict=True):
        torch.testing.assert_close(one, noise.negative_log_likelihood(p, data, (-1,)))
    torch.testing.assert_close(noise.log_likelihood(prediction, y, (-1,)), -whole)


@pytest.mark.parametrize(
    ("noise", "prediction"),
    [
        (Gaussian(0.7), torch.ones(4000, dtype=torch.float64)),
        (Gaussian(0.7), torch.ones(4000, dtype=torch.complex128)),
        (Gaussian(covariance=covariance(4)), torch.zeros(1000, 4, dtype=torch.complex128)),
        (Gaussian(torch.tensor([1.0, math.inf, 2.0, 0.1])), torch.zeros(1000, 4)),
        (Poisson(3.0), 300 + 300 * torch.rand(4000, dtype=torch.float64)),
        (Transmission(500.0), torch.rand(4000, dtype=torch.float64)),
        (Transmission(200.0, background=300.0), 3 * torch.rand(4000, dtype=torch.float64)),
        (Transmission(torch.tensor([500.0, 0.0]), background=50.0), torch.rand(4000, 2, dtype=torch.float64)),
    ],
)
def test_deviance_at_the_truth_is_one_for_each_number_measured(noise, prediction):
    axes = tuple(range(-prediction.ndim, 0))
    y = noise.sample(prediction, seed=0)
    count = float(noise.count(y, axes))
    deviance = float(noise.deviance(prediction, y, axes))
    # chi squared has the variance 2 for each; counts of a hundred and more are close to it
    assert abs(deviance - count) < 4 * (2 * count) ** 0.5 + 0.005 * count


def test_dead_pixels_are_not_counted_and_say_nothing():
    noise = Gaussian(torch.tensor([1.0, math.inf, 2.0]))
    y = torch.zeros(2, 3, dtype=torch.complex64)
    assert noise.count(y, (-1,)).tolist() == [4, 4]
    spoiled = y + torch.tensor([0, 1e6, 0])
    assert noise.negative_log_likelihood(spoiled, y, (-1,)).tolist() == [0, 0]
    assert torch.equal(noise.sample(spoiled, seed=0)[:, 1], spoiled[:, 1])


def test_the_covariance_whitens():
    C = covariance()
    r = normal(5, 3, dtype=torch.complex128)
    torch.testing.assert_close(Gaussian(covariance=C).precision(r), torch.linalg.solve(C, r.mT).mT)
    identity = Gaussian(covariance=4 * torch.eye(3, dtype=torch.float64))
    y, axes = normal(5, 3, seed=1), (-1,)
    expected = Gaussian(2.0).negative_log_likelihood(r.real, y, axes)
    torch.testing.assert_close(identity.negative_log_likelihood(r.real, y, axes), expected)


@pytest.mark.parametrize(("noise", "dtype"), MODELS[:-2], ids=IDS[:-2])
def test_scaled_noise_is_that_of_scaled_data(noise, dtype):
    prediction, y = prediction_and_data(noise, dtype)
    c = 3.7
    scaled = noise.scaled(c)
    before = noise.deviance(prediction, y, (-1,))
    torch.testing.assert_close(scaled.deviance(c * prediction, c * y, (-1,)), before, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("noise", "dtype"), MODELS, ids=IDS)
def test_the_same_seed_gives_the_same_numbers_and_leaves_the_others_alone(noise, dtype):
    prediction, y = prediction_and_data(noise, dtype)
    state = torch.get_rng_state()
    assert torch.equal(noise.sample(prediction, seed=1), y)
    assert not torch.equal(noise.sample(prediction, seed=0), y)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_single_precision_is_kept(dtype):
    prediction = torch.ones(3, 4, dtype=dtype)
    for noise in (Gaussian(torch.ones(4, dtype=torch.float64)), Gaussian(0.3)):
        assert noise.sample(prediction, 0).dtype == dtype
        assert noise.gradient(prediction, prediction).dtype == dtype
    for noise in (Poisson(), Transmission(100.0)):
        assert noise.sample(prediction.real, 0).dtype == torch.float32


def test_zero_counts_where_none_are_expected_are_certain():
    """A pixel without photons behind a ray without object: no surprise, no slope but the rate itself."""
    zero = torch.zeros(3, dtype=torch.float64)
    noise = Poisson()
    assert float(noise.negative_log_likelihood(zero, zero, (-1,))) == 0
    torch.testing.assert_close(noise.gradient(zero, zero), torch.ones(3, dtype=torch.float64))
    assert float(noise.negative_log_likelihood(zero, zero + 1, (-1,))) == math.inf


def test_readings_with_gaussian_noise_are_counts_with_a_background():
    """Few quanta and a noisy detector: with the variance added, the likelihood is largest at the truth.

    Readings that are set to zero where they are negative are too many instead.
    """
    rng = np.random.default_rng(0)
    truth, I0, std = 3.0, 30.0, 3.0
    readings = torch.from_numpy(rng.poisson(I0 * np.exp(-truth), 200_000) + rng.normal(0, std, 200_000))
    lines = torch.linspace(1.5, 4.5, 601, dtype=torch.float64)[:, None]

    def best(noise, counts):
        return float(lines[noise.gradient(lines, counts).mean(1).abs().argmin()])

    shifted = (readings + std**2).clamp(min=0)
    assert best(Transmission(I0, background=std**2), shifted) == pytest.approx(truth, abs=0.03)
    assert best(Transmission(I0), readings.clamp(min=0)) < truth - 0.2


@pytest.mark.parametrize("background", [0.0, 2.5])
def test_the_natural_parameter_is_what_multiplies_the_counts(background):
    """Of an exponential family the slope is ``(expected - y) dt / d(A x)``; a dead pixel has none."""
    noise = Transmission(torch.tensor([30.0, 7.0, 0.0], dtype=torch.float64), background)
    prediction = torch.tensor([0.3, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([12.0, 0.0, 3.0], dtype=torch.float64)
    (slope,) = torch.autograd.grad(noise.natural(prediction).sum(), prediction)
    expected = noise.expected(prediction).detach()
    torch.testing.assert_close(noise.gradient(prediction.detach(), y), (expected - y) * slope)


def test_noise_does_not_change():
    std = torch.ones(3)
    noise = Gaussian(std)
    std += 1
    assert noise.std.value.tolist() == [1, 1, 1]
    with pytest.raises(AttributeError, match="immutable"):
        noise.std = None


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (ParameterError, lambda: Gaussian(0.0)),
        (ParameterError, lambda: Gaussian(-1.0)),
        (ParameterError, lambda: Gaussian(float("nan"))),
        (ParameterError, lambda: Gaussian()),
        (ParameterError, lambda: Gaussian(1.0, covariance=torch.eye(2))),
        (ParameterError, lambda: Gaussian(covariance=-torch.eye(2))),
        (ParameterError, lambda: Gaussian(covariance=torch.tensor([[1.0, 0.9], [0.1, 1.0]]))),
        (ParameterError, lambda: Gaussian(covariance=torch.eye(2), axis=0)),
        (ParameterError, lambda: Gaussian(covariance=1e-12 * torch.tensor([[1.0, 0.9], [0.1, 1.0]]))),
        (ParameterError, lambda: Gaussian(covariance=torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))),
        (ShapeError, lambda: Gaussian(covariance=torch.ones(2, 3))),
        (ShapeError, lambda: Gaussian(covariance=torch.ones(0, 0))),
        (DtypeError, lambda: Gaussian(covariance=torch.eye(2) + 0j).sample(torch.zeros(2), 0)),
        (ShapeError, lambda: Gaussian(covariance=torch.eye(2)).sample(torch.zeros(4, 3), 0)),
        (DtypeError, lambda: Gaussian(1j)),
        (ParameterError, lambda: Poisson(0.0)),
        (ParameterError, lambda: Poisson(float("nan"))),
        (DataError, lambda: Poisson().sample(torch.tensor([-1.0]), 0)),
        (DataError, lambda: Poisson().check(torch.tensor([-1.0]))),
        (ParameterError, lambda: Transmission(0.0)),
        (ParameterError, lambda: Transmission([100.0, float("inf")])),
        (ParameterError, lambda: Transmission(100.0, background=-1.0)),
        (DataError, lambda: Transmission(100.0).check(torch.tensor([-1.0]))),
        (TypeError, lambda: Gaussian(1.0, sigma=2.0)),
    ],
)
def test_what_is_no_noise_is_refused(kind, make):
    with pytest.raises(kind):
        make()


def test_clipped_samples_pile_up_at_the_limits_as_the_likelihood_says():
    noise, prediction = Clipped(0.5, 0.0, 1.0), torch.tensor([-0.3, 0.1, 0.7, 1.2], dtype=torch.float64)
    y = draws(noise, prediction)
    assert float(y.min()) == 0
    assert float(y.max()) == 1
    for limit in (0.0, 1.0):
        at = torch.full_like(prediction, limit)
        likely = noise.log_likelihood(prediction[:, None], at[:, None], (-1,)).exp()
        # five standard deviations of a fraction
        assert ((y == limit).double().mean(0) - likely).abs().max() < 2.5 / DRAWS**0.5


def test_the_clipped_likelihood_of_everything_is_one():
    """The two probabilities at the limits and the density between them."""
    noise, prediction = Clipped(0.5, 0.0, 1.0), torch.tensor([[0.3]], dtype=torch.float64)
    inside = torch.linspace(0, 1, 4003, dtype=torch.float64)[1:-1, None]
    density = noise.log_likelihood(prediction, inside, (-1,)).exp() / (0.5 * math.sqrt(2 * math.pi))
    ends = [noise.log_likelihood(prediction, torch.full_like(prediction, v), (-1,)).exp() for v in (0, 1)]
    # the trapezoidal rule lacks half of each of the two outermost intervals: 1e-4 each
    assert float(density.sum() / 4002 + sum(ends)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_beyond_a_limit_the_likelihood_is_exact_to_rounding(dtype):
    noise, eps = Clipped(1.0, high=0.0), torch.finfo(dtype).eps
    t = torch.tensor([-1e6, -3e3, -100.1, -99.9, -20.0, -1.0, 0.0, 3.0, 30.0, 1e4], dtype=dtype)
    y = torch.zeros_like(t)
    expected = -scipy.special.log_ndtr(t.double().numpy())
    likelihood = noise.negative_log_likelihood(t[:, None], y[:, None], (-1,))
    np.testing.assert_allclose(likelihood.numpy(), expected, rtol=20 * eps, atol=eps)
    # Mills' ratio: between |t| and |t| + 1 / |t| on the far side (Gordon 1941)
    slope, far = -noise.gradient(t, y), t < -50
    assert (slope[far] >= -t[far]).all()
    assert (slope[far] <= (-t - 1 / t)[far] * (1 + 4 * eps)).all()
    assert (slope[-2:] < 5e-3).all()
    curvature = noise.curvature(t, y)
    assert (curvature >= 0).all()
    assert (curvature <= noise.largest_curvature).all()
    assert (curvature[1:] <= curvature[:-1]).all()
    # one over t squared, and six times that squared
    torch.testing.assert_close(1 - curvature[2:4], t[2:4] ** -2, rtol=1e-3 + 2e4 * eps, atol=0)


def test_scaling_keeps_what_is_clipped_clipped():
    """Also where limit and data round apart."""
    y = torch.tensor([0.1, 0.7, 0.9], dtype=torch.float32)
    noise = Clipped(0.05, 0.1, 0.9)
    for factor in torch.rand(50, generator=torch.Generator().manual_seed(0)).tolist():
        scaled = noise.scaled(factor)
        scaled.check(factor * y)
        assert float(scaled.count(factor * y, (-1,))) == 1


def test_what_clipping_cannot_have_made_is_refused():
    noise = Clipped(0.1, 0.0, 1.0)
    with pytest.raises(DataError, match="are clipped to 0"):
        noise.check(torch.tensor([0.5, 1.1]))
    with pytest.raises(DtypeError, match="real data"):
        noise.check(torch.zeros(3, dtype=torch.complex64))
    with pytest.raises(DtypeError, match="real data"):
        noise.sample(torch.zeros(3, dtype=torch.complex64), seed=0)
    for limits in ((1.0, 0.0), (0.5, 0.5), (-math.inf, math.inf), (math.nan, 1.0)):
        with pytest.raises(ParameterError, match="low must be below high"):
            Clipped(0.1, *limits)
    for std in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ParameterError, match="std must be positive"):
            Clipped(std, high=1.0)


def test_a_standard_deviation_keeps_the_precision_of_its_number():
    """0.3 once became the nearest number of single precision."""
    assert float(Gaussian(0.3).std.value) == 0.3
    torch.testing.assert_close(
        Gaussian([0.3, 0.7]).std.value, torch.tensor([0.3, 0.7], dtype=torch.float64), rtol=0, atol=0
    )
