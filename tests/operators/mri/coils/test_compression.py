"""Virtual coils: the energy that they keep, and mixing along any axis of coils."""

import numpy as np
import pytest
import torch

from invgen.core.errors import DataError, DtypeError, ParameterError, ShapeError
from invgen.noise import Gaussian
from invgen.operators import MRI
from invgen.operators.mri.coils import compression_matrix, mix
from invgen.problem import Problem
from invgen.solvers import CG


def normal(*shape, dtype=torch.complex128, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def uneven(*shape):
    """Data of coils with different sensitivity."""
    return normal(shape[0], shape[0], seed=1) @ torch.diag(3.0 ** -torch.arange(shape[0])).to(
        torch.complex128
    ) @ normal(shape[0], int(np.prod(shape[1:]))), shape


@pytest.mark.parametrize("count", [1, 3, 6])
def test_it_is_numpys_singular_value_decomposition(count):
    data, shape = uneven(6, 9, 8)
    matrix = compression_matrix(data.reshape(shape), count)
    U, values, _ = np.linalg.svd(data.numpy(), full_matrices=False)
    torch.testing.assert_close(matrix @ matrix.mH, torch.eye(count, dtype=matrix.dtype))
    projection = U[:, :count] @ U[:, :count].conj().T
    np.testing.assert_allclose((matrix.mH @ matrix).numpy(), projection, atol=1e-12)
    virtual = mix(matrix, data)
    np.testing.assert_allclose(virtual.norm(dim=1).numpy(), values[:count])


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99, 0.9999, 1.0])
def test_as_few_coils_as_keep_the_energy(energy):
    data, _ = uneven(6, 72)
    matrix = compression_matrix(data, energy=energy)

    def kept(m):
        return float((mix(m, data).norm() / data.norm()) ** 2)

    assert kept(matrix) >= energy - 1e-12
    if len(matrix) > 1:
        assert kept(matrix[:-1]) < energy


def test_coils_that_are_mixtures_of_two_become_two_and_nothing_is_lost():
    shape, mixture = (8, 9), normal(7, 2, seed=2)
    maps = mix(mixture, normal(2, *shape, seed=3))
    mask = torch.arange(9) % 2 == 0
    A, x = MRI(shape, mask, maps), normal(*shape)
    y = A(x)
    matrix = compression_matrix(y, energy=1 - 1e-12)
    assert len(matrix) == 2
    B = MRI(shape, mask, mix(matrix, maps))
    torch.testing.assert_close(B(x), mix(matrix, y))
    solver = CG(weight=1.0, iterations=500, tolerance=1e-12)
    expected = solver(Problem(A, y)).x
    torch.testing.assert_close(solver(Problem(B, mix(matrix, y))).x, expected, rtol=1e-9, atol=1e-9)


def test_white_noise_stays_white():
    matrix = compression_matrix(uneven(6, 40)[0], 3)
    noise = Gaussian(2.0).sample(torch.zeros(6, 40000, dtype=torch.complex128), seed=0)
    mixed = mix(matrix, noise)
    # entries of a covariance from n samples are off by about n^-1/2, here 0.5 % of the variance of four
    torch.testing.assert_close(
        mixed @ mixed.mH / (2 * 40000), 4 * torch.eye(3, dtype=torch.complex128), atol=0.1, rtol=0
    )


def test_samples_on_no_grid_and_tiny_ones_are_compressed_alike():
    data, _ = uneven(6, 72)
    expected = compression_matrix(data, 3)
    torch.testing.assert_close(compression_matrix(data.reshape(6, 2, 3, 12), 3), expected)
    single = compression_matrix((1e-30 * data).to(torch.complex64), 3)
    assert single.dtype == torch.complex64
    projection = (single.mH @ single).to(torch.complex128)
    torch.testing.assert_close(projection, expected.mH @ expected, rtol=1e-5, atol=1e-5)


def test_mix_finds_the_coils_on_their_axis():
    matrix, data = normal(2, 3), normal(4, 3, 5, 6)
    expected = np.einsum("kc,bcij->bkij", matrix.numpy(), data.numpy())
    np.testing.assert_allclose(mix(matrix, data, axis=1).numpy(), expected)
    np.testing.assert_allclose(mix(matrix, data, axis=-3).numpy(), expected)
    real = mix(matrix.real, data.to(torch.complex64), axis=1)
    assert real.dtype == torch.complex64
    assert mix(matrix, data.real.float(), axis=1).dtype == torch.complex64
    assert mix(matrix.real, data.real, axis=1).dtype == torch.float64


def test_what_does_not_fit_is_refused():
    data = normal(4, 5, 6)
    for count in (0, 5, 2.0):
        with pytest.raises(ParameterError, match=r"number of coils.* from 1 to 4"):
            compression_matrix(data, count)
    for energy in (0.0, 1.1, float("nan")):
        with pytest.raises(ParameterError, match="energy"):
            compression_matrix(data, energy=energy)
    with pytest.raises(ShapeError, match="coils"):
        compression_matrix(data[0, 0])
    with pytest.raises(DtypeError, match="complex"):
        compression_matrix(data.real)
    with pytest.raises(DataError, match="zeros"):
        compression_matrix(0 * data)
    for matrix, axis in ((normal(2, 5), 0), (normal(4), 0), (normal(2, 4), 3), (normal(2, 4), 1)):
        with pytest.raises(ShapeError, match="mix expects"):
            mix(matrix, data, axis)
