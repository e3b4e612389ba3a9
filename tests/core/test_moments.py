"""Moments of samples that are independent, or come in antithetic pairs."""

import math

import pytest
import torch

from invgen.core.moments import moments


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def paired(pairs, pixels, correlation):
    """Standard normal numbers, of which each two have this correlation."""
    first, second = normal(2, pairs, pixels)
    second = correlation * first + math.sqrt(1 - correlation**2) * second
    return torch.stack([first, second], 1).flatten(0, 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_of_independent_samples_they_are_the_usual_ones(dtype):
    found = moments(normal(7, 5, dtype=dtype))
    torch.testing.assert_close(found.std, normal(7, 5, dtype=dtype).std(0))
    torch.testing.assert_close(found.of_mean, found.variance / 7)
    assert torch.equal(found.freedom, torch.full((5,), 6.0).double())


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_of_exact_pairs_the_sample_variance_is_too_large_by_n_over_n_less_one(dtype):
    """Around ``2 + i`` or 2: of n / 2 independent deviations from a mean that is known."""
    away = normal(4, 50, dtype=dtype)
    mean = 2 + 1j if dtype.is_complex else 2.0
    samples = torch.stack([mean + away, mean - away], 1).flatten(0, 1)
    found = moments(samples, antithetic=True)
    torch.testing.assert_close(found.mean, torch.full_like(away[0], mean))
    torch.testing.assert_close(found.variance, away.abs().square().mean(0))
    torch.testing.assert_close(found.variance, samples.var(0) * 7 / 8)
    torch.testing.assert_close(found.of_mean, torch.zeros(50).double())
    torch.testing.assert_close(found.freedom, torch.full((50,), 4.0).double())


@pytest.mark.parametrize("correlation", [-1.0, -0.8, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("n", [4, 8, 9])
def test_variances_have_no_bias_whatever_the_correlation(n, correlation):
    pixels = 40_000
    samples = torch.cat([paired(n // 2, pixels, correlation), normal(n % 2, pixels, seed=1)])
    found = moments(samples, antithetic=True)
    # that of an average over the pixels, at 4.5 standard errors; the mean's is known in closed form
    of_mean = (n // 2 * 2 * (1 + correlation) + n % 2) / n**2
    assert float(found.variance.mean()) == pytest.approx(1, abs=4.5 * float(found.variance.std()) / 200)
    error = 4.5 * float(found.of_mean.std()) / 200 + 1e-12
    assert float(found.of_mean.mean()) == pytest.approx(of_mean, abs=error)
    squares = found.mean.square()
    assert float(squares.mean()) == pytest.approx(of_mean, abs=4.5 * float(squares.std()) / 200 + 1e-12)


def test_degrees_of_freedom_are_between_those_of_pairs_and_of_all():
    found = {r: moments(paired(4, 2000, r), antithetic=True).freedom for r in (-1.0, 0.0, 1.0)}
    torch.testing.assert_close(found[-1.0], torch.full((2000,), 4.0).double())
    torch.testing.assert_close(found[1.0], torch.full((2000,), 3.0).double())
    assert 3 <= float(found[0.0].min()) <= float(found[0.0].max()) <= 7
    assert float(found[0.0].mean()) > 5


def test_a_pair_alone_is_taken_for_exact():
    x = torch.tensor([[1.0], [4.0], [7.0]])
    assert float(moments(x[:2], antithetic=True).std) == 1.5
    # a third one has its part in the mean alone
    three = moments(x, antithetic=True)
    assert float(three.mean) == 4
    assert float(three.std) == 1.5
    assert float(three.of_mean) == pytest.approx(1.5**2 / 9)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_samples_that_are_all_equal_have_no_variance(n):
    found = moments(torch.ones(n, 3), antithetic=True)
    assert not found.variance.any()
    assert not found.of_mean.any()
    assert bool(found.freedom.isfinite().all())


def test_small_numbers_of_single_precision_lose_no_degrees_of_freedom():
    small = paired(4, 100, 0.0).float() * 1e-15
    whole = moments(paired(4, 100, 0.0), antithetic=True)
    torch.testing.assert_close(
        moments(small, antithetic=True).freedom, whole.freedom.float(), rtol=1e-3, atol=0
    )
