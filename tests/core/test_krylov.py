"""Conjugate gradients that stop by the error they estimate, against the solution."""

import pytest
import torch

from invgen.core.krylov import conjugate_gradients, conjugate_gradients_with_residual
from invgen.core.space import Space

SPACE = Space((400,))


def eigenvalues():
    return torch.logspace(-2, 0, 400, dtype=torch.float64)


def white(seed=0):
    return torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def counted(b, **options):
    """The solution for `eigenvalues`, how far it is from the exact one, and the products that it took."""
    products, values = [], eigenvalues()
    x = conjugate_gradients(lambda v: (products.append(0), values * v)[1], b, SPACE, **options)
    return x, float((values * (x - b / values).square()).sum().sqrt()), len(products)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("error", [0.3, 0.03])
def test_the_error_is_near_the_one_asked_for_wherever_the_start_errs(power, error):
    """Of large powers nearly all of the error lies where eigenvalues are small: the first step is short."""
    b = white() * eigenvalues() ** (1 - power / 2)
    b = b / float((b.square() / eigenvalues()).sum().sqrt())
    assert counted(b, error=error)[1] < 2 * error


def test_a_bound_of_the_eigenvalues_stops_where_the_residual_is_small_enough():
    b, least = 1e-3 * white(), torch.tensor(0.01, dtype=torch.float64)
    safe = float(b.norm()) / 0.1
    _, off, products = counted(b, error=1.01 * safe, least=least)
    assert products == 0
    assert off < safe
    assert counted(b, error=1.01 * safe)[2] > 0
    # near one the bound knows as much after a single step as two steps do
    nearly = {"error": 0.05, "tolerance": 0.0}

    def products_of(least):
        seen = []
        values = 1 + 0.1 * eigenvalues()
        conjugate_gradients(
            lambda v: (seen.append(0), values * v)[1], white() / 20, SPACE, least=least, **nearly
        )
        return len(seen)

    assert products_of(torch.tensor(1.0, dtype=torch.float64)) == 1 < products_of(None)


def test_elements_of_a_batch_stop_by_their_own_bounds():
    b = torch.stack([1e-3 * white(0), white(1)])
    least = torch.tensor([0.01, 0.01], dtype=torch.float64)
    together = counted(b, error=0.3, least=least)[0]
    for k in range(2):
        alone = counted(b[k], error=0.3, least=least[k])[0]
        torch.testing.assert_close(together[k], alone, rtol=1e-12, atol=0)
    assert not together[0].any()
    assert together[1].any()


def test_the_residual_is_what_is_left_of_the_right_hand_side():
    b, values = white(), eigenvalues()
    x, rest = conjugate_gradients_with_residual(lambda v: values * v, b, SPACE, iterations=20)
    torch.testing.assert_close(rest, b - values * x, rtol=0, atol=1e-12)
    assert float(rest.norm()) > 1e-3 * float(b.norm())
