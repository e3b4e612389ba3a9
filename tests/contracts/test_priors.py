"""Every public prior keeps the rules that solvers rely on."""

from dataclasses import dataclass, replace

import pytest
import torch

import invgen as ig
from invgen.priors import TotalVariation
from invgen.priors.functions import GroupL1
from invgen.testing import CheckError, check_prior

#: Each public prior with the parameter sets, and where they need them the images, that stand for it.
PRIORS = {
    "TotalVariation": {
        "automatic": (TotalVariation(), {}),
        "isotropic": (TotalVariation(0.7), {}),
        "anisotropic": (TotalVariation(0.7, isotropic=False), {}),
        "non-negative": (TotalVariation(0.7, nonnegative=True), {}),
        "complex": (TotalVariation(0.7), {"field": "complex"}),
        "complex anisotropic": (TotalVariation(0.7, isotropic=False), {"field": "complex"}),
        "lines": (TotalVariation(0.7, axes=(-1,)), {"image_shape": (9,)}),
        "rows of an image": (TotalVariation(0.7, axes=(-1,)), {}),
        "columns of an image": (TotalVariation(0.7, axes=(-2,)), {}),
        "volume": (TotalVariation(0.7, axes=(-3, -2, -1)), {"image_shape": (3, 4, 5)}),
        "slices of a volume": (TotalVariation(0.7), {"image_shape": (3, 4, 5)}),
        "every other axis": (TotalVariation(0.7, axes=(-3, -1)), {"image_shape": (3, 4, 5)}),
    },
}

CASES = [(name, case) for name, cases in PRIORS.items() for case in cases]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES])
def test_prior_keeps_the_rules(name, case):
    prior, images = PRIORS[name][case]
    check_prior(prior, **images)


def test_every_public_prior_is_registered():
    protocols = {"Composite", "Prior", "Proximable"}
    assert set(ig.priors.__all__) - protocols == set(PRIORS)


@dataclass(frozen=True)
class Ridge:
    """``weight / 2 |x|^2`` with its proximal map."""

    weight: float = 2.0
    shrink: float = 1.0

    def value(self, x):
        return self.weight / 2 * x.abs().square().sum((-2, -1))

    def prox(self, x, step):
        return x / (1 + self.shrink * self.weight * step)

    def resolve(self, problem):
        return self


@dataclass(frozen=True)
class HalfTheTerms(TotalVariation):
    def terms(self, space):
        return [(K, GroupL1(g.weight / 2, g._axis)) for K, g in super().terms(space)]


@dataclass(frozen=True)
class NeverResolved(Ridge):
    def resolve(self, problem):
        return replace(self, weight=self.weight * 2)


class Changing(Ridge):
    def value(self, x):
        return super().value(x) + torch.rand(())


def test_a_closed_form_prior_keeps_the_rules():
    assert "prox minimum" in check_prior(Ridge()).figures


@pytest.mark.parametrize(
    ("prior", "rule"),
    [
        (Ridge(shrink=1.1), "prox"),
        (HalfTheTerms(0.5), "terms"),
        (NeverResolved(), "resolve"),
        (Changing(), "resolve|immutability"),
    ],
)
def test_check_prior_names_the_rule_that_is_broken(prior, rule):
    with pytest.raises(CheckError, match=rule):
        check_prior(prior)


def test_what_has_no_value_is_no_prior():
    with pytest.raises(ig.errors.CapabilityError, match="float"):
        check_prior(0.5)
