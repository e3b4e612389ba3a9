"""Luma and what is known of colors from it."""

import numpy as np
import pytest
import torch
from PIL import Image

from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import Grayscale

from ...contracts.numbers import normal


def test_luma_is_that_of_pil():
    rgb = torch.randint(0, 256, (3, 7, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected = np.asarray(Image.fromarray(rgb.permute(1, 2, 0).numpy()).convert("L"), dtype=float)
    # PIL rounds to whole gray levels
    assert np.abs(Grayscale((3, 7, 5))(rgb.double()).numpy() - expected).max() <= 0.5 + 1e-3


def test_white_is_one_and_green_the_brightest_color():
    A = Grayscale((3, 1, 1))
    assert A(torch.ones(3, 1, 1, dtype=torch.float64)).item() == pytest.approx(1, abs=1e-15)
    assert [A(c.reshape(3, 1, 1)).item() for c in torch.eye(3)] == pytest.approx([0.299, 0.587, 0.114])
    assert A.nonnegative
    assert A.norm() == pytest.approx((0.299**2 + 0.587**2 + 0.114**2) ** 0.5)


def test_the_shortest_color_of_a_gray_level_lies_along_the_weights():
    A, y = Grayscale((3, 4, 5), weights=(1.0, 2.0, -2.0)), torch.randn(4, 5, dtype=torch.float64)
    expected = y * torch.tensor([1.0, 2.0, -2.0]).reshape(3, 1, 1) / 9
    torch.testing.assert_close(A.pinv(y), expected)
    torch.testing.assert_close(A.solve(A.H(y)), expected)
    assert not A.nonnegative


def test_a_proximal_step_keeps_the_colors_that_gray_levels_do_not_see():
    A = Grayscale((3, 2, 2))
    guess, y = normal(3, 2, 2), normal(2, 2, seed=1)
    shifts = torch.tensor([1e-9, 0.3], dtype=torch.float64)
    b = A.H(y) + shifts.reshape(2, 1, 1, 1) * guess
    x = A.solve(b, shifts)
    torch.testing.assert_close(A(x[0]), y, atol=1e-7, rtol=0)
    hidden = torch.tensor([0.587, -0.299, 0.0], dtype=torch.float64).reshape(3, 1, 1)
    torch.testing.assert_close((hidden * x[1]).sum(0), (hidden * guess).sum(0))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"\(3, H, W\)"):
        Grayscale((4, 5))
    with pytest.raises(ShapeError, match="one channel for each weight"):
        Grayscale((3, 4, 5), weights=(1.0, 1.0))
    with pytest.raises(ParameterError, match="not all zero"):
        Grayscale((2, 4, 5), weights=(0.0, 0.0))
