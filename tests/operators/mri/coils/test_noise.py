"""Noise of coils that are not independent: its covariance, and data in which it is white."""

import pytest
import torch

from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import MRI
from invgen.operators.mri.coils import mix, noise_covariance, whitening_matrix
from invgen.problem import Problem
from invgen.solvers import CG


def normal(*shape, dtype=torch.complex128, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def some_covariance(coils=4, scale=1e-3):
    factor = normal(coils, coils, seed=3) + torch.diag(torch.arange(1.0, coils + 1))
    return scale**2 * factor @ factor.mH


def noise_scan(covariance, count=20000, dtype=torch.complex128):
    noise = Gaussian(covariance=covariance, axis=-2)
    return noise.sample(torch.zeros(len(covariance), count, dtype=dtype), seed=1)


def test_the_covariance_is_that_of_the_noise_model():
    truth = some_covariance()
    scan = noise_scan(truth)
    std = truth.diagonal().real.sqrt()
    error = (noise_covariance(scan) - truth) / torch.outer(std, std)
    assert float(error.abs().max()) < 4 * 20000**-0.5  # four standard errors
    torch.testing.assert_close(noise_covariance(scan.reshape(4, 2, 100, 100)), noise_covariance(scan))


def test_a_receiver_of_half_the_bandwidth_hears_half_the_noise():
    scan = noise_scan(some_covariance())
    # the mean of neighbors: half the samples, for half the bandwidth
    halved = (scan[:, ::2] + scan[:, 1::2]) / 2
    predicted, measured = noise_covariance(scan, bandwidth_ratio=0.5), noise_covariance(halved)
    std = measured.diagonal().real.sqrt()
    assert float(((predicted - measured) / torch.outer(std, std)).abs().max()) < 4 * 10000**-0.5


def test_whitened_noise_has_the_covariance_of_white_noise():
    scan = noise_scan(some_covariance())
    W, sigma = whitening_matrix(noise_covariance(scan))
    expected = sigma**2 * torch.eye(4, dtype=W.dtype)
    torch.testing.assert_close(noise_covariance(mix(W, scan)), expected, rtol=1e-10, atol=1e-10 * sigma**2)


def test_whitening_keeps_the_units():
    covariance = some_covariance()
    W, sigma = whitening_matrix(covariance)
    torch.testing.assert_close(torch.linalg.det(W), torch.ones((), dtype=W.dtype))
    torch.testing.assert_close(
        torch.tensor(sigma, dtype=torch.float64).pow(8), torch.linalg.eigvalsh(covariance).prod()
    )
    white, same = whitening_matrix(9 * torch.eye(3))
    torch.testing.assert_close(white, torch.eye(3, dtype=white.dtype))
    assert same == pytest.approx(3)


def test_the_whitened_problem_has_the_solution_of_the_correlated_one():
    shape, covariance = (10, 9), some_covariance(scale=0.1)
    mask, maps = torch.arange(9) % 2 == 0, normal(4, *shape, seed=2)
    noise = Gaussian(covariance=covariance, axis=-3)
    A = MRI(shape, mask, maps)
    y = mask * noise.sample(A(normal(*shape)), seed=0)
    W, sigma = whitening_matrix(covariance)
    B = MRI(shape, mask, mix(W, maps))
    solver = CG(weight=2.0, iterations=500, tolerance=1e-13)
    expected = solver(Problem(A, y, noise)).x
    got = solver(Problem(B, mix(W, y), Gaussian(sigma))).x
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)
    plain = solver(Problem(A, y, Gaussian(sigma))).x
    assert float((plain - expected).norm() / expected.norm()) > 0.01  # the correlations do matter


def test_too_few_samples_are_refused_with_how_many_it_takes():
    with pytest.raises(DataError, match="at least 4"):
        noise_covariance(normal(4, 3))
    assert noise_covariance(normal(4, 40)).shape == (4, 4)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_dead_and_repeated_coils_are_refused(dtype):
    noise = normal(4, 200).to(dtype)
    dead = noise.clone()
    dead[2] = 0
    with pytest.raises(DataError, match=r"\[2\]"):
        noise_covariance(dead)
    for repeated in (noise[[0, 1, 2, 1]], torch.cat([noise, noise.sum(0, keepdim=True)])):
        with pytest.raises(DataError, match="linear combination"):
            noise_covariance(repeated)
    # a coil that is quieter than others by far is none of these
    noise[1] *= 1e-4
    assert noise_covariance(noise).shape == (4, 4)


def test_what_is_no_noise_and_no_covariance_is_refused():
    noise = normal(3, 50)
    with pytest.raises(ShapeError, match="coils"):
        noise_covariance(noise[0])
    with pytest.raises(DtypeError, match="complex"):
        noise_covariance(noise.real)
    with pytest.raises(DataError, match="NaN"):
        noise_covariance(noise / 0)
    for ratio in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ParameterError, match="bandwidth_ratio"):
            noise_covariance(noise, bandwidth_ratio=ratio)
    with pytest.raises(ShapeError, match="square"):
        whitening_matrix(normal(3, 4))
    for matrix in (1e-12 * normal(3, 3), -torch.eye(3), torch.zeros(3, 3), torch.full((2, 2), torch.nan)):
        with pytest.raises(ParameterError, match="Hermitian"):
            whitening_matrix(matrix)
