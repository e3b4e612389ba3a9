"""Masks: what is kept, what is lost, and the helpers that draw them."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.operators import Mask, Space, masks


def test_measured_pixels_are_kept_and_lost_ones_are_zero():
    x = torch.arange(1.0, 7.0).reshape(2, 3)
    A = Mask([[True, False, True], [False, True, False]])
    assert A(x).tolist() == [[1, 0, 3], [0, 5, 0]]
    assert A.nonnegative
    assert A.norm() == 1


@pytest.mark.parametrize(
    "mask", [[[True, False]], [[1, 0]], np.array([[1.0, 0.0]]), torch.tensor([[1.0, 0]])]
)
def test_masks_of_any_kind_of_number_mean_the_same(mask):
    assert Mask(mask)(torch.tensor([[3.0, 4.0]])).tolist() == [[3, 0]]


def test_one_mask_serves_all_colors():
    A = Mask(masks.box((4, 5), 2), image_shape=(3, 4, 5), field="complex")
    assert A.domain == A.range == Space((3, 4, 5), "complex")
    y = A(torch.ones(2, 3, 4, 5, dtype=torch.complex64))
    assert (y == masks.box((4, 5), 2)).all()


def test_the_least_squares_image_is_zero_where_nothing_is_known():
    A = Mask([[2.0, 0.0, -0.5]])
    y = torch.tensor([[4.0, 9.0, 1.0]])
    assert A.pinv(y).tolist() == [[2, 0, -2]]
    assert A.solve(A.H(y)).tolist() == [[2, 0, -2]]


def test_a_denoised_inpainting_is_the_weighted_mean_of_data_and_guess():
    m = masks.random_pixels((6, 5), 0.5, seed=3)
    A, y, guess, shift = Mask(m), torch.randn(6, 5), torch.randn(6, 5), 0.25
    x = A.solve(A.H(y) + shift * guess, shift)
    torch.testing.assert_close(x, torch.where(m, (y + shift * guess) / (1 + shift), guess))


@pytest.mark.parametrize(
    ("mask", "shape"), [(torch.ones(3, 4), (4, 3)), (torch.ones(3, 4, 5), (4, 5)), (torch.ones(2, 4), (3, 4))]
)
def test_a_mask_that_does_not_fit_is_refused(mask, shape):
    with pytest.raises(ShapeError, match="does not broadcast"):
        Mask(mask, image_shape=shape)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1j])
def test_a_mask_of_no_real_numbers_is_refused(value):
    with pytest.raises(ParameterError, match="real, finite"):
        Mask([[value, 1]])


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5, 1])
def test_random_pixels_are_as_many_as_asked_for(fraction):
    mask = masks.random_pixels((20, 15), fraction, seed=0)
    assert mask.dtype == torch.bool
    assert mask.sum() == round(300 * fraction)


def test_random_pixels_are_uniform():
    counts = sum(masks.random_pixels((8, 8), 0.25, seed).int() for seed in range(400))
    # 100 hits each with a standard deviation of 8.7
    assert (counts - 100).abs().max() < 5 * 8.7


def test_masks_repeat_with_their_seed_and_differ_between_seeds():
    for draw in (
        lambda seed: masks.random_pixels((9, 9), 0.5, seed),
        lambda seed: masks.strokes((32, 40), seed),
    ):
        assert torch.equal(draw(0), draw(0))
        assert not torch.equal(draw(0), draw(1))


def test_masks_leave_the_global_random_state():
    before = torch.get_rng_state()
    masks.random_pixels((4, 4), 0.5, seed=0)
    masks.strokes((8, 8), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_box_is_lost_where_it_is_said_to_be():
    assert (~masks.box((6, 8), 2)).nonzero().tolist() == [[2, 3], [2, 4], [3, 3], [3, 4]]
    assert (~masks.box((6, 8), (1, 2), corner=(5, 0))).nonzero().tolist() == [[5, 0], [5, 1]]
    assert (~masks.box((4, 4, 4), 2)).sum() == 8


@pytest.mark.parametrize(
    ("size", "corner"), [(7, None), (2, (5, 0)), (2, (-1, 0)), (0, None), ((2, 2, 2), None)]
)
def test_a_box_beyond_the_image_is_refused(size, corner):
    with pytest.raises(ShapeError, match="within"):
        masks.box((6, 8), size, corner)


def test_strokes_are_connected_and_as_wide_as_the_brush():
    lost = ~masks.strokes((64, 64), seed=2, count=1, width=7.0)
    assert scipy.ndimage.label(lost.numpy(), np.ones((3, 3)))[1] == 1
    # the brush's own disc fits at the stroke's axis
    depth = scipy.ndimage.distance_transform_edt(np.pad(lost.numpy(), 8, mode="edge"))
    assert depth.max() >= 3
    assert masks.strokes((64, 64), seed=2, count=0).all()
    thin, thick = (masks.strokes((64, 64), seed=2, width=w) for w in (2.0, 8.0))
    assert (~thin).sum() < (~thick).sum() < 64 * 64
    assert (thick <= thin).all()


def test_strokes_and_fractions_that_make_no_sense_are_refused():
    with pytest.raises(ParameterError, match="fraction"):
        masks.random_pixels((4, 4), 1.5, seed=0)
    with pytest.raises(ParameterError, match="width"):
        masks.strokes((4, 4), seed=0, width=-1.0)
    with pytest.raises(ShapeError, match="H, W"):
        masks.strokes((4, 4, 4), seed=0)
