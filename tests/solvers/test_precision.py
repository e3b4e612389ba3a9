"""Single precision against double: what costs more than a thousandth is in the docstring."""

import pytest
import torch

import invgen as ig
from invgen.solvers import CG, FBP, OSSART, SIRT


@pytest.mark.parametrize("solver", [FBP(), CG(), SIRT(), OSSART()], ids=lambda solver: solver.name)
def test_a_drift_of_more_than_a_thousandth_is_told(solver):
    A, noise = ig.operators.Radon((24, 24), angles=24), ig.noise.Gaussian(0.05)
    x = ig.phantoms.shepp_logan(12.0).image((24, 24), 1.0).double()
    y = noise.sample(A(x), seed=0)
    single, double = (solver(ig.Problem(A, y.to(dtype), noise)).x for dtype in (torch.float32, torch.float64))
    drift = float((single.double() - double).norm() / double.norm())
    assert drift < 1e-3 or "In single precision" in (type(solver).__doc__ or "")
