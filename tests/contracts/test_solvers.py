"""Every public solver keeps the rules of the base; for posterior samplers see test_samplers.py."""

from dataclasses import dataclass

import pytest
import torch

import invgen as ig
from invgen.operators import DCT
from invgen.priors import (
    L1,
    CycleSpunWavelets,
    NetworkDenoiser,
    NonNegative,
    PatchMixture,
    ProxDenoiser,
    TotalVariation,
    Wavelet,
)
from invgen.priors import Gaussian as GaussianPrior
from invgen.solvers import (
    ADMM,
    CG,
    EPLL,
    FBP,
    FDK,
    FISTA,
    ISTA,
    MLEM,
    OSSART,
    PDHG,
    POCS,
    RED,
    SIRT,
    BasisPursuit,
    CondatVu,
    DensityMAP,
    Gridding,
    Homodyne,
    Lasso,
    PnPADMM,
    PnPHQS,
    PnPPGD,
    RootSumOfSquares,
    Solver,
    State,
    ZeroFilled,
)
from invgen.testing import CheckError, check_solver

from .latent import LATENT_SOLVERS
from .problems import (
    FEW,
    cone,
    counts,
    deblurring,
    denoising,
    fan,
    half,
    half_of_one_coil,
    half_undersampled,
    inpainting,
    radial,
    radial_coils,
    resonance,
    saturated,
    single_coil,
    weighted,
)
from .samplers import SAMPLERS


def patches():
    """Three kinds of patches: smooth, and with edges along either axis."""
    n = torch.arange(4, dtype=torch.float64)
    near, far = (torch.exp(-(n[:, None] - n).abs() / length) for length in (1.0, 8.0))
    kinds = torch.stack([torch.kron(a, b) for a, b in ((far, far), (near, far), (far, near))])
    return PatchMixture(0.1 * kinds + 1e-4 * torch.eye(16), [0.4, 0.3, 0.3])


class Halfway(torch.nn.Module):
    """A network for images from zero to one, that moves them towards gray."""

    def forward(self, x, sigma):
        return x + (0.5 - x) * sigma.reshape(-1, 1, 1, 1)


SPUN, SOFT = CycleSpunWavelets(levels=2), CycleSpunWavelets(levels=2, soft=True)
SPACE = (-3, -2, -1)
#: Each other public solver with the parameter sets and problems that stand for it, and the rules that do not
#: apply.
SOLVERS = {
    "FBP": {
        "defaults": (FBP(), None, ()),
        "sharp": (FBP(window="ram-lak", cutoff=0.8), None, ()),
        "weighted data": (FBP(), weighted, ()),
        "fan": (FBP(), fan, ()),
    },
    "FDK": {
        "defaults": (FDK(), cone, ()),
        "sharp": (FDK(window="ram-lak", cutoff=0.8), cone, ()),
    },
    "Gridding": {
        "defaults": (Gridding(), radial, ()),
        "coils": (Gridding(), radial_coils, ()),
    },
    "CG": {
        "defaults": (CG(), None, ()),
        "Tikhonov": (CG(weight=3.0), None, {"scale"}),
        "least squares": (CG(weight=0, iterations=12), None, ()),
        "complex": (CG(), deblurring, ()),
        "weighted data": (CG(), weighted, ()),
        "fan": (CG(weight=1.0), fan, {"scale"}),
        "cone": (CG(), cone, ()),
        "radial": (CG(weight=0.5), radial_coils, {"scale"}),
        "resonance": (CG(), resonance, ()),
    },
    "RootSumOfSquares": {
        "defaults": (RootSumOfSquares(), resonance, ()),
        "single coil": (RootSumOfSquares(), single_coil, ()),
    },
    "ZeroFilled": {
        "defaults": (ZeroFilled(), resonance, ()),
        "single coil": (ZeroFilled(), single_coil, ()),
    },
    "Homodyne": {
        "defaults": (Homodyne(), half_of_one_coil, ()),
        "coils": (Homodyne(weighting="step"), half, ()),
    },
    "POCS": {
        "defaults": (POCS(), half, ()),
        "single coil": (POCS(tolerance=1e-8), half_of_one_coil, ()),
        "lines missing": (POCS(cg_steps=2), half_undersampled, ()),
    },
    "SIRT": {
        "defaults": (SIRT(), None, ()),
        "non-negative": (SIRT(nonnegative=True, relaxation=1.5, **FEW), None, ()),
        "weighted data": (SIRT(**FEW), weighted, ()),
        "fan": (SIRT(**FEW), fan, ()),
    },
    "OSSART": {
        "weighted data": (OSSART(subsets=4, **FEW), weighted, ()),
        "defaults": (OSSART(), None, ()),
        "non-negative": (OSSART(subsets=3, nonnegative=True, relaxation=0.5), None, ()),
        "fan": (OSSART(), fan, ()),
        "cone": (OSSART(subsets=4), cone, ()),
    },
    "MLEM": {
        # the scale of counts is their gain, which unknown noise has none of: see tests/solvers/test_mlem.py
        "counts": (MLEM(), counts, {"scale"}),
    },
    "FISTA": {
        "closed form": (FISTA(Wavelet(), **FEW), resonance, ()),
        "defaults": (FISTA(TotalVariation(), iterations=30), None, ()),
        "non-negative": (FISTA(TotalVariation(0.5, nonnegative=True), **FEW), None, {"scale"}),
        "complex": (FISTA(TotalVariation(0.5), **FEW), deblurring, {"scale"}),
        "weighted data": (FISTA(TotalVariation(0.5), **FEW), weighted, {"scale"}),
        "fan": (FISTA(TotalVariation(0.5, nonnegative=True), **FEW), fan, {"scale"}),
        "by trial": (FISTA(L1(0.5), backtracking=True, **FEW), weighted, {"scale"}),
        "monotone": (FISTA(L1(0.5), monotone=True, **FEW), None, {"scale"}),
        "monotone composite": (FISTA(TotalVariation(0.5), monotone=True, **FEW), None, {"scale"}),
        "restarted": (FISTA(TotalVariation(0.5), restart=True, **FEW), None, {"scale"}),
        "cone": (FISTA(TotalVariation(0.5, axes=SPACE), **FEW), cone, {"scale"}),
    },
    "DensityMAP": {
        # the scale of the images is the prior's
        "defaults": (DensityMAP(GaussianPrior(torch.full((16, 16), 0.2), 0.3), **FEW), None, {"scale"}),
        "complex": (DensityMAP(GaussianPrior(torch.zeros(9, 12) + 0j, 1.0), **FEW), single_coil, {"scale"}),
        "weighted data": (DensityMAP(GaussianPrior(torch.zeros(12, 12), 1.0), **FEW), weighted, {"scale"}),
        "not linear": (DensityMAP(GaussianPrior(torch.zeros(9, 12), 1.0), **FEW), saturated, {"scale"}),
        "slices": (DensityMAP(GaussianPrior(torch.zeros(12, 12), 1.0), **FEW), cone, {"scale"}),
    },
    "EPLL": {
        "defaults": (EPLL(patches()), denoising, ()),
        "rays": (EPLL(patches(), iterations=2), None, ()),
        "strided": (EPLL(patches(), stride=2, iterations=2), weighted, ()),
        "complex": (EPLL(patches(), iterations=2), single_coil, ()),
        "stated": (EPLL(patches(), betas=(1e3, 1e4), scale=2.0), None, {"scale"}),
    },
    "ADMM": {
        "defaults": (ADMM(TotalVariation(), **FEW), None, ()),
        "closed form": (ADMM(Wavelet(0.5), **FEW), single_coil, {"scale"}),
        "weighted data": (ADMM(TotalVariation(0.5, nonnegative=True), **FEW), weighted, {"scale"}),
        "coils": (ADMM(TotalVariation(0.5), **FEW), resonance, {"scale"}),
    },
    "Lasso": {
        "defaults": (Lasso(**FEW), None, ()),
        "transform": (Lasso(weight=0.5, transform=DCT((9, 12), "complex"), **FEW), resonance, {"scale"}),
        "weighted data": (Lasso(weight=0.5, **FEW), weighted, {"scale"}),
    },
    "BasisPursuit": {
        "defaults": (BasisPursuit(**FEW), None, ()),
        "equality": (BasisPursuit(epsilon=0.0, transform=DCT((9, 12), "complex"), **FEW), resonance, ()),
    },
    "CondatVu": {
        "defaults": (CondatVu(TotalVariation(), **FEW), None, ()),
        "sum": (CondatVu(0.5 * TotalVariation() + NonNegative(), **FEW), weighted, {"scale"}),
        "image": (CondatVu(L1(0.5), **FEW), resonance, {"scale"}),
    },
    "ISTA": {
        "closed form": (ISTA(L1(0.5), **FEW), resonance, {"scale"}),
        "defaults": (ISTA(TotalVariation(), **FEW), None, ()),
        "by trial": (ISTA(L1(0.5), backtracking=True, **FEW), weighted, {"scale"}),
    },
    "PnPHQS": {
        "defaults": (PnPHQS(SPUN), denoising, ()),
        "projections": (PnPHQS(SPUN, iterations=4), None, ()),
        "weighted data": (PnPHQS(SPUN), inpainting, ()),
    },
    "PnPADMM": {
        "multipliers": (PnPADMM(SOFT, **FEW), single_coil, ()),
        "network": (PnPADMM(NetworkDenoiser(Halfway(), (0, 1)), **FEW), denoising, ()),
    },
    "PnPPGD": {
        "gradients": (PnPPGD(SOFT, **FEW), resonance, ()),
        "proximal map": (PnPPGD(ProxDenoiser(Wavelet(2.0)), **FEW), denoising, {"scale"}),
    },
    "RED": {
        "defaults": (RED(SPUN, **FEW), single_coil, ()),
        "weighted data": (RED(SOFT, **FEW), inpainting, ()),
        "gradients": (RED(SOFT, method="gradient", **FEW), None, ()),
    },
    "PDHG": {
        "defaults": (PDHG(TotalVariation(), iterations=100), None, ()),
        "weight": (PDHG(TotalVariation(0.5), **FEW), None, {"scale"}),
        "weight for each": (PDHG(TotalVariation(torch.tensor([0.5, 2.0])), **FEW), None, {"scale", "batch"}),
        "anisotropic": (PDHG(TotalVariation(0.5, isotropic=False), **FEW), None, {"scale"}),
        "non-negative": (PDHG(TotalVariation(nonnegative=True), **FEW), None, ()),
        "complex": (PDHG(TotalVariation(), **FEW), deblurring, ()),
        "denoising": (PDHG(TotalVariation(), **FEW), denoising, ()),
        "weighted data": (PDHG(TotalVariation(), **FEW), weighted, ()),
        "fan": (PDHG(TotalVariation(0.5), **FEW), fan, {"scale"}),
        "cone": (PDHG(TotalVariation(0.5, axes=SPACE), **FEW), cone, {"scale"}),
        "counts": (PDHG(TotalVariation(0.5, nonnegative=True), **FEW), counts, {"scale"}),
    },
    **LATENT_SOLVERS,
}

#: The first case of each solver is its small version; some others take seconds.
CASES = [
    pytest.param(name, case, id=f"{name}-{case}", marks=[pytest.mark.slow] if number else [])
    for name, cases in SOLVERS.items()
    for number, case in enumerate(cases)
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_solver_keeps_the_rules(name, case):
    solver, problem, skip = SOLVERS[name][case]
    check_solver(solver, problem and problem(), skip=skip)


def test_every_public_solver_is_registered():
    bases = {"DiffusionSolver", "LatentSolver", "PosteriorSampler", "Solver", "State"}
    assert set(ig.solvers.__all__) - bases == set(SOLVERS) | set(SAMPLERS)


@dataclass(frozen=True)
class Landweber(Solver):
    """A user's solver: plain gradient steps."""

    iterations: int = 12
    tolerance: float = 0.0

    def steps(self, problem, prepared, state):
        x, L = state.x, problem.operator.domain.per_sample(problem.lipschitz())
        while True:
            x = x - problem.gradient(x) / L
            yield State(x=x)


@dataclass(frozen=True)
class Forgetful(Landweber):
    """Keeps its momentum to itself, so that a resumed run goes another way."""

    def steps(self, problem, prepared, state):
        x = old = state.x
        L = problem.operator.domain.per_sample(problem.lipschitz())
        while True:
            x, old = x + 0.9 * (x - old) - problem.gradient(x) / L, x
            yield State(x=x)


@dataclass(frozen=True)
class Random(Landweber):
    def steps(self, problem, prepared, state):
        for reached in super().steps(problem, prepared, state):
            yield State(x=reached.x + 1e-3 * torch.rand(()))


@dataclass(frozen=True)
class Absolute(Landweber):
    """Steps of a length of its own."""

    def steps(self, problem, prepared, state):
        x = state.x
        while True:
            x = x - 0.1 * torch.tanh(problem.gradient(x))
            yield State(x=x)


@dataclass(frozen=True)
class Mixing(Landweber):
    """Takes one step size for the whole batch from the data."""

    def steps(self, problem, prepared, state):
        x = state.x
        while True:
            g = problem.gradient(x)
            x = x - g * (g * g).sum() / (g * problem.normal(g)).sum()
            yield State(x=x)


def test_a_users_solver_keeps_the_rules():
    check_solver(Landweber())


@pytest.mark.parametrize(
    ("solver", "rule"),
    [(Forgetful(), "resume"), (Random(), "determinism"), (Absolute(), "scale"), (Mixing(), "batch")],
)
def test_check_solver_names_the_rule_that_is_broken(solver, rule):
    with pytest.raises(CheckError, match=rule):
        check_solver(solver)


def test_a_prior_is_no_solver():
    with pytest.raises(ig.errors.DtypeError, match="TotalVariation"):
        check_solver(TotalVariation())
