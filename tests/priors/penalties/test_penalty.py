"""Sums and multiples of priors, and constraints."""

import math
from dataclasses import dataclass

import pytest
import torch

import invgen as ig
from invgen.convex.functions import BoxIndicator
from invgen.core.errors import CapabilityError, ParameterError
from invgen.noise import Gaussian
from invgen.operators import Gradient, Identity, MatrixOperator, Space
from invgen.priors import DCT, L1, Box, GroupSparsity, NonNegative, Tikhonov, TotalVariation, Wavelet
from invgen.priors.penalties.penalty import Penalty
from invgen.solvers import FISTA, PDHG

from ...contracts.numbers import normal

SPACE = Space((6, 8))


def test_a_multiple_of_a_prior_is_absolute():
    assert (0.1 * Wavelet()).weight == 0.1
    assert (Wavelet() * 0.1).weight == 0.1
    assert (3 * Wavelet(0.1)).weight == pytest.approx(0.3)
    assert (2 * (0.5 * L1() + 3 * DCT())).weight == (1.0, 6.0)
    x = normal(6, 8)
    assert float((2 * TotalVariation(0.7)).value(x)) == pytest.approx(2 * float(TotalVariation(0.7).value(x)))
    assert 5 * NonNegative() == NonNegative()
    weights = torch.tensor([1.0, 2.0])
    assert torch.equal((weights * L1()).weight, weights)


def test_a_sum_is_flat_and_has_the_value_of_its_parts():
    parts = [TotalVariation(0.3), L1(0.2), Tikhonov(0.5), NonNegative()]
    prior = parts[0] + parts[1] + (parts[2] + parts[3])
    assert prior.parts == tuple(parts)
    x = normal(3, 6, 8).abs()
    torch.testing.assert_close(prior.value(x), sum(part.value(x) for part in parts))
    x[1, 2, 2] = -1
    assert torch.isinf(prior.value(x)).tolist() == [False, True, False]
    assert len(prior.terms(SPACE)) == 4


def test_channels_of_one_part_belong_to_the_image_of_another():
    x = normal(2, 3, 6, 8)
    groups, details = GroupSparsity(0.4), Wavelet(0.3, levels=1)
    expected = groups.value(x) + details.value(x).sum(-1)
    torch.testing.assert_close((details + groups).value(x), expected)


CLOSED = {
    "sparse and not negative": L1(0.5) + NonNegative(),
    "sparse in a box": L1(0.5) + Box(-0.3, 0.8),
    "elastic net": L1(0.5) + Tikhonov(0.9),
    "all of them": Tikhonov(0.9) + L1(0.5) + Box(-0.3, 0.8) + NonNegative(),
    "quadratic in a box": Tikhonov(0.9) + Box(-0.3, 0.8),
    "quadratics": Tikhonov(0.9) + Tikhonov(0.4),
    "elastic wavelets": Wavelet(0.5, levels=1) + Tikhonov(0.9),
    "boxes": Box(-0.3, 0.8) + Box(0.1, 2),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_of_sums_are_what_denoising_by_the_terms_gives(name):
    """The proximal map denoises images of the noise's variance `step`, which PDHG does through the terms."""
    prior, z, step = CLOSED[name], 2 * normal(6, 8), 0.7
    assert prior.closed_form(SPACE)
    problem = ig.Problem(Identity((6, 8)), z, Gaussian(step**0.5))
    x = PDHG(prior, iterations=5000, tolerance=1e-12)(problem).x
    torch.testing.assert_close(prior.prox(z, step), x, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "prior",
    [
        Wavelet(0.5, levels=1) + NonNegative(),
        L1(0.5) + TotalVariation(0.2),
        L1(0.5) + DCT(0.2),
        TotalVariation(0.5) + Tikhonov(0.2),
        GroupSparsity(0.5, axis=-1) + Box(-1, 1),
        Wavelet(0.5, "bior2.2", levels=1) + Tikhonov(0.2),
    ],
    ids=lambda prior: " + ".join(type(part).__name__ for part in prior.parts),
)
def test_other_sums_are_composite_and_both_solvers_find_their_minimum(prior):
    assert not prior.closed_form(SPACE)
    with pytest.raises(CapabilityError, match="closed form"):
        prior.prox(normal(6, 8), 1.0)
    # singular values from 1 to 1.4, whose squares differ by two: both converge in some fifty steps
    stretch = torch.linspace(1, 1.4, 48, dtype=torch.float64)
    A = MatrixOperator(torch.linalg.qr(normal(60, 48)).Q * stretch, image_shape=(6, 8))
    problem = ig.Problem(A, A(normal(6, 8, seed=1)), Gaussian(0.3))
    one = PDHG(prior, iterations=2000, tolerance=1e-10)(problem).x
    other = FISTA(prior, iterations=50, tolerance=1e-10, inner_steps=40)(problem).x
    # the second solver stops its inner iteration early
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_what_is_returned_meets_the_constraints_exactly():
    A = MatrixOperator(normal(30, 48) / 5, image_shape=(6, 8))
    problem = ig.Problem(A, A(normal(6, 8, seed=1)), Gaussian(0.3))
    for solver in (
        PDHG(0.4 * Wavelet(levels=1) + Box(0.1, 0.5), iterations=20),
        FISTA(0.4 * DCT() + Box(0.1, 0.5), iterations=5),
    ):
        x = solver(problem).x
        assert float(x.min()) >= 0.1
        assert float(x.max()) <= 0.5


@pytest.mark.parametrize("solver", [PDHG, FISTA])
def test_constraints_alone_are_a_prior(solver):
    A = MatrixOperator(normal(96, 48) / 7, image_shape=(6, 8))
    problem = ig.Problem(A, A(normal(6, 8, seed=1)), Gaussian(0.3))
    x = solver(NonNegative(), iterations=5000, tolerance=1e-12)(problem).x
    slope = problem.gradient(x)
    # Karush, Kuhn and Tucker: the data pull zeros below zero, and leave the other pixels alone
    assert float(x.min()) == 0
    assert float(slope[x == 0].min()) > 0
    assert float(slope[x > 1e-6].abs().max()) < 1e-5


def test_limits_of_a_box_may_be_infinite():
    x = torch.tensor([[-2.0, 0.5, 3.0]])
    assert Box(-math.inf, 1.0).prox(x, 1.0).tolist() == [[-2.0, 0.5, 1.0]]
    assert float(Box(-2.0, 3.0).value(x)) == 0
    assert float(Box(-1.9, 3.0).value(x)) == math.inf


def test_one_weight_of_a_sum_may_follow_from_the_noise():
    noise = Gaussian(0.5)
    truth = torch.zeros(16, 16, dtype=torch.float64)
    truth[4:12, 4:12] = 3
    problem = ig.Problem(Identity((16, 16)), noise.sample(truth, seed=0), noise)
    alone = TotalVariation().resolve(problem)
    assert (TotalVariation() + NonNegative()).resolve(problem).weight == alone.weight
    assert (NonNegative() + TotalVariation()).resolve(problem).weight == alone.weight
    assert TotalVariation(nonnegative=True).resolve(problem).weight == alone.weight
    fixed, found = (0.7 * Tikhonov() + TotalVariation()).resolve(problem).weight
    assert fixed == 0.7
    # what one prior smooths, the other need not
    assert found < alone.weight
    assert PDHG(TotalVariation() + NonNegative())(problem).stats["weight"] == alone.weight


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: L1() + DCT(), ParameterError, "Only one weight"),
        (lambda: Box(0, 1) + Box(2, 3), ParameterError, "No image"),
        (lambda: Box(1, 0), ParameterError, "at most"),
        (lambda: Box(float("nan"), 1), ParameterError, "at most"),
        (lambda: NonNegative(axes=(0,)), ParameterError, "from the end"),
        (lambda: 0 * L1(), ParameterError, "positive"),
        (lambda: -1 * NonNegative(), ParameterError, "positive"),
        (lambda: L1() + 1, TypeError, "unsupported"),
        (lambda: "2" * L1(), TypeError, None),
        (lambda: (L1(0.1) + DCT(0.2)).with_weight(0.3), ParameterError, "one weight"),
        (lambda: NonNegative().terms(Space((3, 4), "complex")), CapabilityError, "real"),
        (lambda: NonNegative().prox(normal(3, 4, dtype=torch.complex128), 1.0), CapabilityError, "real"),
        (lambda: Box().value(normal(3, 4, dtype=torch.complex128)), CapabilityError, "real"),
    ],
)
def test_what_makes_no_sum_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@dataclass(frozen=True)
class Capped(Penalty):
    """A constraint that the package does not know: no pixel is above `cap`."""

    cap: float = 0.3

    @property
    def bounds(self):
        return -math.inf, self.cap

    def value(self, x):
        return torch.where((x > self.cap).any(-1).any(-1), math.inf, 0.0).to(x)

    def prox(self, x, step):
        return x.clamp(max=self.cap)

    def terms(self, space):
        return [(Identity(space.shape), BoxIndicator(-math.inf, self.cap))]

    def without_constraints(self):
        return None

    def _times(self, factor):
        return self


@dataclass(frozen=True)
class Scaled(Penalty):
    """A separable penalty that the package does not know: ``weight |x|``, once more."""

    weight: float = 0.5
    alone: bool = True

    @property
    def separable(self):
        return self.alone

    def value(self, x):
        return L1(self.weight).value(x)

    def prox(self, x, step):
        return L1(self.weight).prox(x, step)

    def terms(self, space):
        return L1(self.weight).terms(space)


def test_parts_say_what_they_are_whoever_wrote_them():
    z, step = 2 * normal(6, 8), 0.7
    known = L1(0.5) + Box(-math.inf, 0.3) + Tikhonov(0.9)
    own = Scaled() + Capped() + Tikhonov(0.9)
    assert own.closed_form(SPACE)
    assert torch.equal(own.prox(z, step), known.prox(z, step))
    assert torch.equal(own.value(z.clamp(max=0.3)), known.value(z.clamp(max=0.3)))
    assert (2 * own).weight == (1.0, 1.8)
    with pytest.raises(ParameterError, match="No image"):
        Capped() + Box(0.5, 1.0)
    # beside a constraint a function of several pixels has no closed form
    assert not (Scaled(alone=False) + Capped()).closed_form(SPACE)
    assert (Scaled(alone=False) + Tikhonov(0.9)).closed_form(SPACE)


def test_what_each_penalty_says_of_itself():
    assert (L1(0.5).separable, L1(0.5, Gradient((6, 8))).separable) == (True, False)
    assert (Tikhonov(0.5).quadratic, Tikhonov(0.5, Gradient((6, 8))).quadratic) == (True, False)
    assert (NonNegative().bounds, Box(-1, 2).bounds) == ((0.0, math.inf), (-1, 2))
    for other in (TotalVariation(), Wavelet(), DCT(), GroupSparsity()):
        assert (other.bounds, other.quadratic, other.separable) == (None, False, False)
