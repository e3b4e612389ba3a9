"""The non-uniform transform on the CPU against its sum, of images of any size."""

import math

import pytest
import torch

from invgen.operators.nufft import NUFFT


def matrix(shape, points):
    """Waves at the points, one row each."""
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))
    return torch.exp(-2j * math.pi * (points @ places.T))


def complex_numbers(*shape, seed, dtype):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("dtype", "error"), [(torch.complex64, 1e-4), (torch.complex128, 1e-10)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (2, 3), (33, 20), (40, 101), (1, 9, 16), (5, 12, 7)])
def test_it_is_the_sum_and_its_adjoint_the_transpose(shape, dtype, error):
    points = torch.rand(200, len(shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = 1.4 * points - 0.7  # periodic beyond half a cycle per pixel
    waves, nufft = matrix(shape, points), NUFFT(shape, points)
    x, y = complex_numbers(2, *shape, seed=1, dtype=dtype), complex_numbers(2, 200, seed=2, dtype=dtype)
    expected = x.reshape(2, -1).to(waves) @ waves.T, (y.to(waves) @ waves.conj()).reshape(2, *shape)
    for found, reference in zip((nufft.forward(x), nufft.adjoint(y)), expected, strict=True):
        assert (found - reference).norm() <= error * reference.norm()
    left, right = (nufft.forward(x).conj() * y).sum(), (x.conj() * nufft.adjoint(y)).sum()
    assert abs(left - right) <= 10 * torch.finfo(dtype).eps * nufft.forward(x).norm() * y.norm()


@pytest.mark.parametrize("shape", [(33, 20), (5, 12, 7)])
@pytest.mark.parametrize("many", [0, 1000])
@pytest.mark.parametrize("grids", [1, 100_000])
def test_each_array_has_the_same_bits_whatever_comes_with_it(shape, many, grids, monkeypatch):
    """Alone and of five, in pieces and together, its halves at once and one after the other."""
    points = (
        torch.rand(200, len(shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    )
    x = complex_numbers(5, *shape, seed=1, dtype=torch.complex64)
    y = complex_numbers(5, 200, seed=2, dtype=torch.complex64)
    alone = NUFFT(shape, points)
    values = torch.cat([alone.forward(one[None]) for one in x])
    images = torch.cat([alone.adjoint(one[None]) for one in y])
    monkeypatch.setattr("invgen.operators.nonuniform.fine_grid._MANY", many)
    monkeypatch.setattr("invgen.operators.nonuniform.fine_grid._GRIDS", grids)
    nufft = NUFFT(shape, points)
    assert torch.equal(nufft.forward(x), values)
    assert torch.equal(nufft.adjoint(y), images)
    # scratch memory is as it was
    assert torch.equal(nufft.forward(x[1:3]), values[1:3])
    assert torch.equal(nufft.adjoint(y[1:3]), images[1:3])
