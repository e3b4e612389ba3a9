"""A batch equals its elements to the bit, whatever its shape and its place in memory."""

import pytest
import torch

from invgen.core.batching import each_alone, element_numbers, leading, per_element, unwrapped


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def transform(x):
    return torch.fft.rfft2(x).abs()


def test_each_element_is_given_alone_and_the_batch_axes_come_back():
    seen = []

    def flattened(x):
        seen.append(tuple(x.shape))
        return x.flatten(1)[:, :5]

    x = normal(2, 3, 4, 6)
    torch.testing.assert_close(each_alone(flattened, x, 2), x.flatten(2)[..., :5], rtol=0, atol=0)
    assert seen == [(1, 4, 6)] * 6
    assert each_alone(flattened, x[0, 0], 2).shape == (5,)


@pytest.mark.parametrize("shape", [(13, 7), (16, 16)])
def test_a_batch_equals_its_elements_to_the_bit(shape):
    x = normal(5, 2, *shape)
    together = each_alone(transform, x, 2)
    for index in ((0, 0), (4, 1)):
        assert torch.equal(each_alone(transform, x[index], 2), together[index])
        assert torch.equal(each_alone(transform, x[index].clone(), 2), together[index])


def test_the_place_in_memory_does_not_matter():
    for start in range(1, 17):
        memory = torch.zeros(start + 13 * 7)
        memory[start:] = normal(13 * 7)
        x = memory[start:].reshape(13, 7)
        assert torch.equal(each_alone(transform, x, 2), each_alone(transform, x.clone(), 2))


def test_further_arguments_are_shared_or_one_for_each_element():
    x, shared, own = normal(2, 3, 4, 5), normal(4, 1), normal(3, 4, 5)

    def combined(x, a, b):
        assert len(x) == len(a) == len(b) == 1
        return x * a + b

    assert torch.equal(each_alone(combined, x, 2, shared, own), x * shared + own)
    assert torch.equal(each_alone(combined, x, 2, own, shared), x * own + shared)


def test_gradients_pass_through():
    x = normal(3, 4, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: each_alone(transform, x, 2), (x,), fast_mode=True)
    # within torch.func, where tensors have no address
    slope = torch.func.grad(lambda x: each_alone(transform, x, 2).sum())(x)
    torch.testing.assert_close(slope, torch.autograd.grad(transform(x).sum(), x)[0])


def test_numbers_of_elements_there_and_back():
    x, numbers = normal(2, 3, 4, 5), normal(2, 3)
    scaled = per_element(numbers, 2) * x
    assert torch.equal(scaled[1, 2], numbers[1, 2] * x[1, 2])
    assert torch.equal(element_numbers(per_element(numbers, 2), 2), numbers)
    assert element_numbers(torch.tensor(3.0), 2).shape == ()
    assert per_element(2.0, 2) == 2.0


def test_leading_numbers_take_the_precision_of_what_they_multiply():
    x = normal(2, 3, 4, dtype=torch.complex64)
    numbers = normal(2, dtype=torch.float64)
    assert leading(numbers, x).shape == (2, 1, 1)
    assert leading(numbers, x).dtype == torch.float32
    assert leading(numbers[0], x).shape == (1, 1, 1)
    assert leading(2.0, x) == 2.0


def test_the_plain_tensor_is_found_within_all_transforms():
    x, seen = normal(2, 3, 4), []

    def f(part):
        seen.append(unwrapped(part))
        return part.sum()

    torch.func.vmap(torch.func.vmap(torch.func.grad(f)))(x)
    assert torch.equal(seen[0], x)
    assert unwrapped(x) is x
