"""Every public posterior sampler keeps the rules of the base of solvers."""

import pytest

from invgen.testing import check_solver

from .samplers import SAMPLERS

CASES = [(name, case) for name, cases in SAMPLERS.items() for case in cases]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case}" for name, case in CASES])
def test_solver_keeps_the_rules(name, case):
    solver, problem, skip = SAMPLERS[name][case]
    check_solver(solver, problem and problem(), skip=skip)
