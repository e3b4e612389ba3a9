"""Resampling against PIL, and its closed forms against linear algebra."""

import numpy as np
import pytest
import torch
from PIL import Image

from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import Downsample

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def image(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def matrix(A):
    n = A.domain.size
    return A(torch.eye(n, dtype=torch.float64).reshape(n, *A.domain.shape)).reshape(n, -1).T


@pytest.mark.parametrize("kind", ["bicubic", "lanczos"])
@pytest.mark.parametrize(
    ("shape", "factor"), [((32, 48), 2), ((33, 27), 3), ((40, 24), (4, 8)), ((17, 30), 4), ((9, 7), (1, 7))]
)
def test_interpolation_agrees_with_pil(kind, shape, factor):
    x, A = image(*shape), Downsample(shape, factor, kind)
    expected = np.asarray(Image.fromarray(x.numpy()).resize(A.range.shape[::-1], FILTERS[kind]))
    assert np.abs(A(x).numpy() - expected).max() < 2e-6


@pytest.mark.parametrize(("shape", "factor"), [((8, 6), 2), ((9, 15), 3), ((7, 10), 4), ((12, 5), (3, 1))])
def test_block_averages_agree_with_pil(shape, factor):
    x, A = image(*shape), Downsample(shape, factor)
    pair = factor[::-1] if isinstance(factor, tuple) else factor
    expected = np.asarray(Image.fromarray(x.numpy()).reduce(pair))
    assert A.range.shape == expected.shape
    assert np.abs(A(x).numpy() - expected).max() < 1e-6
    assert A.nonnegative


@pytest.mark.parametrize("kind", ["block", "bicubic", "lanczos"])
def test_a_constant_image_stays_constant(kind):
    y = Downsample((3, 21, 16), 4, kind)(torch.full((3, 21, 16), 0.7, dtype=torch.float64))
    assert y.shape == (3, 6, 4)
    assert (y - 0.7).abs().max() < 1e-14


@pytest.mark.parametrize("kind", ["block", "bicubic", "lanczos"])
def test_a_factor_of_one_changes_nothing(kind):
    x = image(5, 6, dtype=torch.float64)
    assert torch.equal(Downsample((5, 6), 1, kind)(x), x)


def test_blocks_of_volumes_are_those_of_scikit_image():
    measure = pytest.importorskip("skimage.measure")
    x = image(2, 6, 8, 9, dtype=torch.float64)
    A = Downsample((2, 6, 8, 9), (2, 4, 3))
    np.testing.assert_allclose(
        A(x).numpy(), measure.block_reduce(x.numpy(), (1, 2, 4, 3), np.mean), atol=1e-15
    )
    assert Downsample((6, 8, 9), 2).range.shape == (6, 4, 5)  # one number is that of the last two axes
    partial = Downsample((5, 7, 4), (2, 3, 4))(x[0, :5, :7, :4])
    assert partial.shape == (3, 3, 1)
    torch.testing.assert_close(partial[2, 2, 0], x[0, 4, 6, :4].mean())


@pytest.mark.parametrize("kind", ["bicubic", "lanczos"])
def test_volumes_are_interpolated_axis_by_axis(kind):
    x = image(9, 8, 10, dtype=torch.float64)
    slices = Downsample((9, 8, 10), (2, 3), kind)(x)
    columns = Downsample((4, 4, 9), (3,), kind)(slices.movedim(0, -1))
    torch.testing.assert_close(Downsample((9, 8, 10), (3, 2, 3), kind)(x), columns.movedim(-1, 0))


def test_blocks_are_orthogonal():
    A = Downsample((8, 9), (4, 3))
    y = image(2, 3, dtype=torch.float64)
    torch.testing.assert_close(A(A.H(y)), y / 12)
    torch.testing.assert_close(A.norm(), 12**-0.5)
    torch.testing.assert_close(A.pinv(y), y.repeat_interleave(4, 0).repeat_interleave(3, 1))


@pytest.mark.parametrize("kind", ["block", "bicubic", "lanczos"])
def test_solve_is_the_linear_algebra_one(kind):
    A = Downsample((10, 7), 3, kind)
    M, b = matrix(A), image(10, 7, dtype=torch.float64)
    for shift in (1e-3, 0.7):
        x = torch.linalg.solve(M.T @ M + shift * torch.eye(70, dtype=torch.float64), b.flatten())
        torch.testing.assert_close(A.solve(b, shift).flatten(), x, atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(A.solve(b, 0.0).flatten(), torch.linalg.pinv(M.T @ M) @ b.flatten())


@pytest.mark.parametrize("kind", ["block", "bicubic", "lanczos"])
def test_singular_values_are_those_of_the_matrix(kind):
    A = Downsample((9, 8), (2, 3), kind)
    expected = torch.linalg.svdvals(matrix(A))
    torch.testing.assert_close(A.svd.s.flatten().sort(descending=True)[0], expected)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="H, W"):
        Downsample((8,), 2)
    with pytest.raises(ShapeError, match="by 3 factors"):
        Downsample((8, 8), (2, 2, 2))
    for factor in (0, -2, 1.5, float("nan"), "2", (2, 2, 2, 2), ()):
        with pytest.raises(ParameterError, match="positive integer"):
            Downsample((8, 8), factor)
    with pytest.raises(ParameterError, match="larger than the image"):
        Downsample((8, 8), 9)
    with pytest.raises(ParameterError, match="'block', 'bicubic' or 'lanczos'"):
        Downsample((8, 8), 2, "cubic")
