"""Every public posterior sampler keeps the rules of the base of solvers."""

import pytest

from invgen.testing import check_solver

from .samplers import SAMPLERS

#: Few particles and levels, so that tests are short: that they are too few is said, rightly.
pytestmark = pytest.mark.filterwarnings("ignore::invgen.core.errors.SamplingWarning")

#: The first case of each sampler is its small version; the others take seconds together.
CASES = [
    pytest.param(name, case, id=f"{name}-{case}", marks=[pytest.mark.slow] if number else [])
    for name, cases in SAMPLERS.items()
    for number, case in enumerate(cases)
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_solver_keeps_the_rules(name, case):
    solver, problem, skip = SAMPLERS[name][case]
    check_solver(solver, problem and problem(), skip=skip)
