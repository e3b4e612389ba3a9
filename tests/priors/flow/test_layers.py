"""The layers of flows: bijections, whose determinants are those of their Jacobians."""

import math

import pytest
import torch

from invgen.core.errors import ParameterError, ShapeError
from invgen.priors.nets.couplings import ActNorm, Coupling, InvertibleConv, squeeze, unsqueeze
from invgen.priors.nets.multiscale import Coarsest, Details, MultiscaleFlow, Step
from invgen.priors.nets.splines import Affine, Gaussianization, GaussianizingSpline, Spline

from ...contracts.numbers import normal

SPLINE = Spline(5, 2.0)
TRANSFORMS = {"affine": Affine(), "spline": SPLINE, "gaussianizing": GaussianizingSpline(5, 1.5, 0.1)}


def parameters(transform, *size, seed=1):
    start = transform.start().double()[:, None, None]
    return start + normal(size[0], size[1], transform.count, *size[2:], seed=seed)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_numbers_are_inverted_and_their_slopes_are_derivatives(name):
    transform = TRANSFORMS[name]
    x = normal(3, 2, 4, 5).requires_grad_()
    made = parameters(transform, 3, 2, 4, 5)
    y, log_slope = transform(x, made)
    assert (transform.inverse(y, made) - x).abs().max() <= 1e-10
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope.log(), log_slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["spline", "affine", "gaussianizing"])
def test_the_first_parameters_are_those_of_the_identity(name):
    transform, x = TRANSFORMS[name], normal(1, 1, 8, 9)
    y, _ = transform(x, transform.start().double().reshape(1, 1, -1, 1, 1).expand(-1, -1, -1, 8, 9))
    expected = Gaussianization(1.5)(x)[0] if name == "gaussianizing" else x
    torch.testing.assert_close(y, expected, rtol=1e-6, atol=1e-6)  # of single precision


def test_a_spline_is_monotone_onto_its_interval_and_the_identity_outside():
    x = torch.linspace(-3, 3, 4001, dtype=torch.float64).reshape(1, 1, 1, -1)
    made = parameters(SPLINE, 1, 1, 1, 1).expand(-1, -1, -1, -1, 4001)
    y, log_slope = SPLINE(x, 3 * made)
    assert (y.diff() > 0).all()
    outside = x.abs() > 2
    assert torch.equal(y[outside], x[outside])
    assert torch.equal(log_slope[outside], torch.zeros_like(x[outside]))
    assert y[~outside].abs().max() <= 2
    ends = torch.tensor([-2.0, 2.0], dtype=torch.float64).reshape(1, 1, 1, 2)
    torch.testing.assert_close(SPLINE(ends, made[..., :2])[0], ends)


def test_a_spline_is_the_rational_quadratic_of_its_paper():
    """Durkan et al. (2019), eq. 4, between knots that are written down here."""
    h, u = torch.tensor([0.6, 0.1, 0.3], dtype=torch.float64), 0.37
    slopes = torch.tensor([0.0, 0.4, 0.0, 0.0, -0.7, 0.0], dtype=torch.float64)
    x0, y0, width, height = -1 / 3, -1 + 2 * 0.6, 2 / 3, 2 * 0.1
    s = height / width
    left, right = (s * math.exp(5 * math.tanh(d / 5)) for d in (0.4, -0.7))
    above = height * (s * u**2 + left * u * (1 - u))
    expected = y0 + above / (s + (left + right - 2 * s) * u * (1 - u))
    x = torch.full((1, 1, 1, 1), x0 + u * width, dtype=torch.float64)
    y, _ = Spline(3, 1.0)(x, torch.cat([h.log(), slopes]).reshape(1, 1, -1, 1, 1))
    assert float(y) == pytest.approx(expected, abs=1e-5)  # heights have a least value


def test_the_first_and_the_last_bin_are_the_cells_of_black_and_white():
    edge = 1 / 255
    widths = Spline(8, 1 + edge, edge / (1 + edge)).widths
    assert float(widths.sum()) == pytest.approx(1)
    assert (256 * widths[[0, 1, -2, -1]]).tolist() == pytest.approx([1, 3, 3, 1])
    assert (256 * widths[2:-2]).tolist() == pytest.approx([62] * 4)
    assert Spline(5, 1.0, 0.25).widths.tolist() == pytest.approx([0.25, *[0.5 / 3] * 3, 0.25])


def test_uniform_numbers_become_normal_ones():
    to_normal = Gaussianization(2.0)
    u = torch.linspace(-2, 2, 100_001, dtype=torch.float64)[1:-1]
    z, _ = to_normal(u)
    normal_cdf = torch.special.ndtr(z)
    torch.testing.assert_close(normal_cdf, (u + 2) / 4, rtol=0, atol=4e-5)
    far = torch.tensor([-2.001, 2.001], dtype=torch.float64)
    assert (to_normal(far)[0].abs() > 4).all()
    torch.testing.assert_close(to_normal.inverse(to_normal(far)[0]), far)


def test_squeezing_takes_every_second_pixel():
    x = normal(2, 3, 4, 6)
    parts = squeeze(x)
    assert torch.equal(parts[:, :3], x[..., ::2, ::2])
    assert torch.equal(parts[:, 3:6], x[..., ::2, 1::2])
    assert torch.equal(unsqueeze(parts), x)


def layers():
    size, pixels = (2, 2), GaussianizingSpline(5, 1.2, 0.1)
    context = normal(1, 2, 2, 2, seed=5)
    return {
        "actnorm": (ActNorm(3), (3, 2, 2), ()),
        "1x1": (InvertibleConv(3), (3, 2, 2), ()),
        "affine coupling": (Coupling(Affine(), 2, 2, size, 6, 1), (2, 2, 2), (context,)),
        "spline coupling": (Coupling(SPLINE, 2, 2, size, 6, 1), (2, 2, 2), (context,)),
        "step": (Step(3, 2, SPLINE, size, 6), (3, 2, 2), (context,)),
        "details": (Details(2, size, 2, 6, 1, pixels, SPLINE), (6, 2, 2), (context,)),
        "coarsest": (Coarsest(2, (3, 3), 6, 1, pixels), (2, 3, 3), ()),
        "whole": (MultiscaleFlow(1, 4, 4, 2, 2, 6, 1, "spline", 5, 0.1), (1, 4, 4), ()),
        "whole, affine": (MultiscaleFlow(2, 2, 4, 1, 2, 6, 1, "affine"), (2, 2, 4), ()),
    }


@pytest.mark.parametrize("name", layers())
def test_a_layer_is_inverted_and_its_determinant_is_that_of_its_jacobian(name, perturbed):
    layer, shape, context = layers()[name]
    layer = perturbed(layer)
    x = 2.3 * torch.rand(1, *shape, generator=torch.Generator().manual_seed(2)).double() - 1.15
    y, change = layer(x, *context)
    assert (layer.inverse(y, *context) - x).abs().max() <= 1e-10
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x, *context)[0], x)
    found = torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel()))
    assert float(found.logabsdet) == pytest.approx(float(change.sum()), abs=1e-8)
    assert float((y - x.reshape(y.shape)).abs().max()) > 0.01


def test_a_matrix_of_channels_begins_as_a_permutation_and_has_its_determinant(perturbed):
    begin = InvertibleConv(4).matrix()
    assert torch.equal(begin, torch.eye(4).flip(0))
    conv = perturbed(InvertibleConv(4), 0.5)
    _, change = conv(normal(1, 4, 1, 1))
    assert float(torch.linalg.slogdet(conv.matrix()).logabsdet) == pytest.approx(float(change))


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(ShapeError, match=r"multiples of 4; got 28 x 30"):
        MultiscaleFlow(1, 28, 30, scales=2)
    with pytest.raises(ParameterError, match="'spline' or 'affine'"):
        MultiscaleFlow(1, 4, 4, coupling="additive")
    with pytest.raises(ParameterError):
        MultiscaleFlow(1, 4, 4, bins=4)
