"""The compiled dual step of total variation against its formula, and what it must leave to the formula."""

import pytest
import torch

from invgen.convex.dual_step import dual_step
from invgen.convex.functions import GroupL1
from invgen.operators import Gradient, Identity

from ..contracts.numbers import normal

MAPS = {
    "odd image": Gradient((7, 10)),
    "one row": Gradient((1, 9)),
    "one column": Gradient((6, 1)),
    "channels": Gradient((3, 5, 6)),
    "volume": Gradient((4, 5, 6), (-3, -2, -1)),
    "thin volume": Gradient((1, 5, 6), (-3, -2, -1)),
    "volumes of channels": Gradient((2, 3, 4, 5), (-3, -2, -1)),
    "other axes": Gradient((4, 5, 6), (-3, -1)),
    "complex": Gradient((6, 7), field="complex"),
}


def pieces(K, batch=(), dtype=torch.float64):
    dtype = dtype.to_complex() if K.domain.field == "complex" else dtype
    y = normal(*batch, *K.range.shape, seed=1, dtype=dtype) * 0.5
    return y, normal(*batch, *K.domain.shape, seed=2, dtype=dtype)


def formula(K, g, y, step, x):
    return g.conjugate_prox(y + step * K(x), step)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("name", MAPS)
def test_it_is_the_formula(name, isotropic, dtype):
    K = MAPS[name]
    y, x = pieces(K, (2,), dtype)
    g = GroupL1(0.7, -len(K.range.shape) if isotropic else None)
    torch.testing.assert_close(dual_step(K, g, y, 0.3, x), formula(K, g, y, 0.3, x))


@pytest.mark.parametrize("name", ["odd image", "volume"])
def test_each_batch_element_has_its_step_and_weight_and_equals_itself_alone(name):
    K = MAPS[name]
    y, x = pieces(K, (3,), torch.float32)
    step, weight = torch.tensor([0.1, 0.5, 2.0]), torch.tensor([0.3, 1.0, 0.01])
    axis = -len(K.range.shape)
    together = dual_step(K, GroupL1(K.range.per_sample(weight), axis), y, K.range.per_sample(step), x)
    for i in range(3):
        alone = dual_step(K, GroupL1(float(weight[i]), axis), y[i], float(step[i]), x[i])
        assert torch.equal(together[i], alone)


def test_a_weight_for_each_pixel_and_groups_with_channels_are_left_to_the_formula():
    K = MAPS["channels"]
    y, x = pieces(K)
    for g in (GroupL1(torch.rand(1, 3, 5, 6, dtype=torch.float64), -4), GroupL1(0.4, (-4, -3))):
        assert torch.equal(dual_step(K, g, y, 0.3, x), formula(K, g, y, 0.3, x))


def test_every_group_lies_in_the_ball_and_those_within_it_stay():
    K = MAPS["odd image"]
    y, x = pieces(K)
    z, p = y + K(x), dual_step(K, GroupL1(0.9, -3), y, 1.0, x)
    size = z.square().sum(0).sqrt()
    inside = size <= 0.9
    assert bool(inside.any())
    assert not bool(inside.all())
    torch.testing.assert_close(p[:, inside], z[:, inside], rtol=0, atol=1e-15)
    # what is outside keeps its direction, at the ball's radius
    torch.testing.assert_close(p[:, ~inside], 0.9 * (z / size)[:, ~inside], rtol=0, atol=1e-15)


def test_views_of_memory_in_another_order_and_zeros():
    K = MAPS["odd image"]
    y, x = normal(10, 7, 2).permute(2, 1, 0), normal(10, 7).T
    g = GroupL1(0.2, -3)
    torch.testing.assert_close(dual_step(K, g, y, 0.3, x), formula(K, g, y, 0.3, x))
    zeros = dual_step(K, g, torch.zeros(K.range.shape), 0.3, torch.zeros(K.domain.shape))
    assert not bool(zeros.any())


def test_it_can_be_differentiated():
    K = MAPS["odd image"]
    y, x = pieces(K)
    x.requires_grad_()
    dual_step(K, GroupL1(0.2, -3), y, 0.3, x).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.any())


def test_nothing_it_was_given_changes():
    K = MAPS["volume"]
    y, x = pieces(K)
    before = y.clone(), x.clone()
    dual_step(K, GroupL1(0.2, -4), y, 0.3, x)
    assert torch.equal(y, before[0])
    assert torch.equal(x, before[1])


def test_other_maps_take_the_formula():
    K, g = Identity((4, 5)), GroupL1(0.2)
    y, x = pieces(K)
    assert torch.equal(dual_step(K, g, y, 0.3, x), formula(K, g, y, 0.3, x))


@pytest.mark.parametrize("name", [n for n in MAPS if n != "complex"])
def test_the_compiled_adjoint_is_the_transpose_of_the_differences(name):
    K = MAPS[name]
    eye = torch.eye(K.domain.size, dtype=torch.float64).reshape(-1, *K.domain.shape)
    matrix = K(eye).reshape(len(eye), -1)
    eye = torch.eye(K.range.size, dtype=torch.float64).reshape(-1, *K.range.shape)
    assert torch.equal(K.H(eye).reshape(len(eye), -1), matrix.T)
