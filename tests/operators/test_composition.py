"""Compositions that are not linear: the chain rule, written out."""

import pytest
import torch
from torch import nn

import invgen as ig
from invgen.core.errors import ShapeError
from invgen.operators import (
    MRI,
    SVD,
    Blur,
    Identity,
    LinearOperator,
    Map,
    Mask,
    MatrixOperator,
    Operator,
    PhaseRetrieval,
    Radon,
    Saturation,
    Space,
)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


W1, W2 = normal(3, 7, seed=1), normal(7, 12, seed=2)


def decode(z):
    """A generator of two layers: (batch, 3) to images (batch, 4, 3)."""
    return (torch.tanh(z @ W1.to(z)) @ W2.to(z)).reshape(len(z), 4, 3)


def decode_jacobian(z):
    """Written out, (12, 3)."""
    return W2.T @ torch.diag(1 - torch.tanh(z @ W1) ** 2) @ W1.T


MATRIX = normal(5, 12, seed=3)


def measured():
    """A matrix after the generator, and its Jacobian at z."""
    A = MatrixOperator(MATRIX, image_shape=(4, 3))
    return A @ Map(decode, (3,), (4, 3)), lambda z: MATRIX @ decode_jacobian(z)


def clipped():
    """A clipped detector after the matrix after the generator."""
    B, jacobian = measured()

    def clipped_jacobian(z):
        return (B(z).abs() <= 1).to(z)[:, None] * jacobian(z)

    return Saturation((5,), -1.0, 1.0) @ B, clipped_jacobian


def wrapped():
    """A generator of a generator's latents: nonlinear after linear."""
    inner = normal(3, 4, seed=4)
    B, jacobian = measured()
    return B @ MatrixOperator(inner), lambda u: jacobian(inner @ u) @ inner


@pytest.mark.parametrize("case", [measured, clipped, wrapped])
def test_derivatives_are_products_of_the_jacobians(case):
    B, jacobian = case()
    z, v, w = (normal(2, 3, space.shape[0], seed=i) for i, space in enumerate((B.domain, B.domain, B.range)))
    pushed, pulled = B.jvp(z, v), B.vjp(z, w)
    for index in ((0, 0), (1, 2)):
        J = jacobian(z[index])
        torch.testing.assert_close(pushed[index], J @ v[index])
        torch.testing.assert_close(pulled[index], J.T @ w[index])
    torch.testing.assert_close(torch.func.vmap(torch.func.vmap(torch.func.jacrev(B)))(z)[1, 2], J)
    assert torch.autograd.gradcheck(B, (z.requires_grad_(),), check_forward_ad=True, fast_mode=True)


def test_a_composition_is_the_inner_operator_and_then_the_outer_one():
    B, _ = measured()
    z = normal(2, 3, 3)
    torch.testing.assert_close(B(z)[1, 2], MATRIX @ decode(z[1, 2][None])[0].flatten())
    assert B.domain == Space((3,))
    assert B.range == Space((5,))
    assert not isinstance(B, LinearOperator)
    assert "(MatrixOperator @ Map)" in repr(B)


def test_linear_operators_compose_to_a_linear_one():
    A = MatrixOperator(MATRIX, image_shape=(4, 3))
    product = A @ Blur((4, 3), torch.ones(2, 2))
    assert isinstance(product, LinearOperator)
    torch.testing.assert_close(product.H(normal(5)), Blur((4, 3), torch.ones(2, 2)).H(A.H(normal(5))))
    with pytest.raises(TypeError):
        A @ decode


def test_only_spaces_that_fit_compose():
    A = MatrixOperator(MATRIX)
    for inner in (Map(decode, (3,), (4, 3)), Identity((4, 3)), Identity((12,), "complex")):
        with pytest.raises(ShapeError, match="range of the second must be the domain of the first"):
            A @ inner


def test_what_a_measurement_is_like_follows_the_outer_operator():
    mask = torch.rand(24, 24, generator=torch.Generator().manual_seed(0)) < 0.5
    A = MRI((24, 24), mask)
    phases = Map(lambda x: torch.polar(torch.ones_like(x), x), (24, 24), Space((24, 24), "complex"))
    for B in (A @ phases, A @ Identity((24, 24), "complex")):
        assert torch.equal(B.observed, mask)
        y = B(B.domain.random(seed=0, dtype=torch.float64))
        assert torch.equal(B.estimate_noise(y), A.estimate_noise(y))
        assert B.estimate_noise(y) is not None


def test_the_field_of_view_is_that_of_the_image():
    A = Radon((8, 8), 5, detector_count=8)
    x = torch.ones(8, 8)
    assert not A.restrict(x).all()
    for B in (Saturation(A.range.shape, high=1.0) @ A, Identity(A.range.shape) @ A):
        assert torch.equal(B.restrict(x), A.restrict(x))
    z = torch.ones(3)
    B = Mask(torch.ones(4, 3)) @ Map(decode, (3,), (4, 3))
    assert torch.equal(B.restrict(z), z)


def test_a_function_gets_exactly_one_batch_axis():
    seen = []

    def f(x):
        seen.append(tuple(x.shape))
        return x.square().sum((1, 2))[:, None]

    A = Map(f, (4, 3), (1,))
    x = normal(2, 5, 4, 3)
    torch.testing.assert_close(A(x), x.square().sum((-2, -1))[..., None])
    assert A(x[0, 0]).shape == (1,)
    assert A(x[:0]).shape == (0, 5, 1)
    assert seen == [(10, 4, 3), (1, 4, 3)]


def test_networks_are_maps():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 1, 3, padding=1))
    network = network.double().requires_grad_(False)
    A = MatrixOperator(normal(20, 36), image_shape=(1, 6, 6)) @ Map(network, (1, 6, 6), (1, 6, 6))
    x, w = normal(2, 2, 1, 6, 6), normal(2, 2, 20)
    J = torch.func.jacrev(A)(x[1, 0]).reshape(20, 36)
    torch.testing.assert_close(A.vjp(x, w)[1, 0].flatten(), J.T @ w[1, 0])
    torch.testing.assert_close(torch.func.vmap(A)(x), A(x))


def test_a_map_that_returns_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"should return the shape \(2, 3\).* returned \(2, 4, 3\)"):
        Map(decode, (3,), (3,))(normal(2, 3))


def test_the_network_is_evaluated_once_for_a_gradient():
    calls = []

    def counted(z):
        calls.append(len(z))
        return decode(z)

    B = MatrixOperator(MATRIX, image_shape=(4, 3)) @ Map(counted, (3,), (4, 3))
    B.vjp(normal(2, 3), normal(2, 5))
    assert calls == [2]


def test_the_gradient_of_a_problem_in_latents_is_that_of_its_likelihood():
    B, jacobian = measured()
    truth, z = normal(2, 3), normal(2, 3, seed=5)
    noise = ig.noise.Gaussian(0.3)
    problem = ig.Problem(B, noise.sample(B(truth), seed=0), noise)
    residual = (B(z) - problem.measurement) / 0.3**2
    expected = torch.stack([jacobian(z[i]).T @ residual[i] for i in range(2)])
    torch.testing.assert_close(problem.gradient(z), expected)


def test_intensities_of_generated_images_have_exact_derivatives():
    """Complex images within a real chain."""
    waves = Map(lambda z: torch.polar(1 + z[:, 0] ** 2, z[:, 1]), (2, 4, 3), Space((4, 3), "complex"))
    B = PhaseRetrieval((4, 3), squared=True) @ waves
    z, v, w = normal(2, 2, 4, 3), normal(2, 2, 4, 3, seed=1), normal(2, 1, 4, 3, seed=2)
    h = 1e-6
    torch.testing.assert_close(B.jvp(z, v), (B(z + h * v) - B(z - h * v)) / (2 * h), rtol=1e-6, atol=1e-8)
    left, right = (w * B.jvp(z, v)).sum(), (B.vjp(z, w) * v).sum()
    torch.testing.assert_close(left, right)


class Chirp(Operator):
    """A user's own nonlinear operator, with derivatives of its own."""

    def __init__(self):
        super().__init__((4,), (4,))

    def _apply(self, x):
        return torch.sin(x**2)

    def vjp(self, x, w):
        return 2 * x * torch.cos(x**2) * w


def test_a_users_own_operators_compose():
    A = MatrixOperator(normal(3, 4))
    for B in (A @ Chirp(), Chirp() @ MatrixOperator(normal(4, 3)), Chirp() @ Chirp()):
        x = normal(2, *B.domain.shape).requires_grad_()
        w = normal(2, *B.range.shape, seed=1)
        expected = torch.autograd.grad((B(x) * w).sum(), x)[0]
        torch.testing.assert_close(B.vjp(x.detach(), w), expected)


def test_singular_values_are_of_linear_operators_only():
    assert not hasattr(measured()[0], "svd")
    assert isinstance(MatrixOperator(MATRIX).svd, SVD)
