"""Linear inverse scattering beside the explicit sum."""

import pytest
import torch

import invgen as ig
from invgen.operators import LinearScattering, scattering


def fields(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.complex128)


@pytest.fixture
def large(monkeypatch):
    """An operator whose singular value decomposition would take too long."""
    monkeypatch.setattr(scattering, "LARGEST_SVD", 0)
    return LinearScattering(fields(2, 3, 4, seed=0), fields(5, 3, 4, seed=1))


def test_each_number_is_the_sum_over_pixels_that_scatter():
    u, g, x = fields(2, 3, 4, seed=0), fields(5, 3, 4, seed=1), fields(3, 4, seed=2).real
    expected = torch.stack([torch.stack([(gr * x * ut).sum() for gr in g]) for ut in u])
    torch.testing.assert_close(LinearScattering(u, g)(x), expected, rtol=1e-12, atol=0)


def test_where_a_decomposition_takes_too_long_systems_are_solved_by_conjugate_gradients(large):
    assert large.svd is None
    assert not large.has_closed_form_solve
    b = fields(3, 4, seed=3).real
    x = large.solve(b, 0.5)
    torch.testing.assert_close(large.gram(x) + 0.5 * x, b, rtol=1e-5, atol=1e-5)
    ig.testing.check_operator(large)
