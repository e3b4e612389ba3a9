"""Runs that diverge end with an error that says where, in each family of iterative solvers."""

import pytest
import torch

import invgen as ig
from invgen.core.errors import DivergenceError
from invgen.operators import FunctionOperator, Identity, MatrixOperator, Radon
from invgen.priors import Gaussian, TotalVariation
from invgen.solvers import (
    ADMM,
    CG,
    DAPS,
    DDNM,
    DDRM,
    DDS,
    DPS,
    FISTA,
    FPS,
    ISTA,
    OSSART,
    PDHG,
    RED,
    SIRT,
    AnnealedLangevin,
    BasisPursuit,
    CondatVu,
    DiffPIR,
    Lasso,
    MCGDiff,
    PiGDM,
    PnPADMM,
    PnPHQS,
    PnPPGD,
    PreconditionedLangevin,
    PredictorCorrector,
    REDdiff,
    SplitGibbs,
    TwistedSMC,
)

TV = TotalVariation(0.5)
SHAPE = (8, 8)
MATRIX = torch.randn(60, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Misjudged(MatrixOperator):
    """Its norm is ten times what it says: steps are a hundred times too long."""

    def norm(self):
        return super().norm() / 10

    def norm_bound(self):
        return super().norm_bound() / 10


def wrong_adjoint():
    """Half of the image has the wrong sign in what is said to be the adjoint."""
    signs = torch.cat([torch.ones(8, 4), -torch.ones(8, 4) / 2], dim=1).double()
    return FunctionOperator(
        lambda x: x.flatten(-2) @ MATRIX.T,
        lambda y: (y @ MATRIX).unflatten(-1, SHAPE) * signs,
        SHAPE,
        (60,),
    )


def problem(operator, batch=()):
    x = torch.zeros(*batch, *SHAPE, dtype=torch.float64)
    x[..., 3:6, 2:6] = 1
    noise = ig.noise.Gaussian(0.5)
    return ig.Problem(operator, noise.sample(x.flatten(-2) @ MATRIX.T, seed=0), noise)


@pytest.mark.parametrize(
    "solver",
    [FISTA(TV), ISTA(TV), PDHG(TV), CondatVu(TV), Lasso(weight=0.5), BasisPursuit()],
    ids=lambda s: s.name,
)
def test_steps_that_are_too_long(solver):
    with pytest.raises(DivergenceError, match=rf"{solver.name} diverged at iteration \d+\. .*check_operator"):
        solver(problem(Misjudged(MATRIX, image_shape=SHAPE)))


@pytest.mark.parametrize(
    "solver",
    [
        CG(weight=0, iterations=60, tolerance=0),
        SIRT(iterations=200),
        FISTA(TV),
        ISTA(TV),
        PDHG(TV),
        CondatVu(TV),
        ADMM(TV),
        BasisPursuit(),
    ],
    ids=lambda s: s.name,
)
def test_a_wrong_adjoint(solver):
    with pytest.raises(DivergenceError, match=rf"{solver.name} diverged at iteration \d+\. .*check_operator"):
        solver(problem(wrong_adjoint()))


def test_subsets_of_views_with_a_wrong_adjoint():
    class Mirrored(Radon):
        def _adjoint(self, y):
            return super()._adjoint(y).flip(-1)

        def rebuilt(self, angles, detector_offset, fov):
            return Mirrored(self.domain.shape, angles, self.range.shape[-1], fov=fov)

    A = Mirrored((16, 16), angles=12)
    y = Radon((16, 16), angles=12)(torch.eye(16).roll(3, 1))
    with pytest.raises(DivergenceError, match=r"OSSART diverged at iteration \d+"):
        OSSART(iterations=300, subsets=3, nonnegative=False)(ig.Problem(A, y))


def test_few_steps_that_lead_away_are_no_result():
    """When the iterations are spent the residual is some times that of zeros, and the image is none."""
    with pytest.raises(DivergenceError, match="PDHG diverged at iteration 300"):
        PDHG(TV, iterations=300)(problem(wrong_adjoint()))


def test_the_elements_of_a_batch_that_diverge_are_named():
    good = problem(wrong_adjoint(), (3,))
    y = good.measurement.clone()
    y[0] = y[2] = 0  # of zeros the image is zero, whatever the adjoint
    with pytest.raises(DivergenceError, match=r"FISTA diverged at iteration \d+, element 1 of the batch\."):
        FISTA(TV)(ig.Problem(good.operator, y, good.noise))


class Expanding(Gaussian):
    """A denoiser that multiplies."""

    factor = 1e3

    def denoise(self, x, sigma):
        return self.factor * x


class Exploding(Expanding):
    factor = 1e200  # beyond all numbers in two steps: some methods work long on large ones


@pytest.mark.parametrize(
    ("method", "prior"),
    [
        *((each, Expanding) for each in (DAPS, DDNM, DDRM, DDS, DPS, PiGDM, SplitGibbs)),
        *((each, Expanding) for each in (AnnealedLangevin, PreconditionedLangevin, PredictorCorrector)),
        *((each, Expanding) for each in (PnPADMM, PnPPGD, RED)),
        *((each, Exploding) for each in (DiffPIR, REDdiff, FPS, MCGDiff, TwistedSMC, PnPHQS)),
    ],
)
def test_a_bad_denoiser(method, prior):
    noise, x = ig.noise.Gaussian(0.1), torch.zeros(9, 12, dtype=torch.float64)
    x[3:8, 4:9] = 1
    solver = method(prior(torch.zeros(9, 12, dtype=torch.float64), 0.3), iterations=20)
    with pytest.raises(DivergenceError, match=rf"{method.__name__} diverged at iteration \d+"):
        solver(ig.Problem(Identity((9, 12)), noise.sample(x, seed=0), noise), seed=0)
