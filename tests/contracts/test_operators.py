"""Every public operator keeps the rules that solvers rely on."""

import pytest

import invgen as ig

from .registry import NO_OPERATORS, OPERATORS

CASES = [(name, case) for name, cases in OPERATORS.items() for case in cases]


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES])
def test_operator_keeps_the_rules(name, case):
    ig.testing.check_operator(OPERATORS[name][case]())


def test_every_public_operator_is_registered():
    assert set(ig.operators.__all__) - NO_OPERATORS == set(OPERATORS)
