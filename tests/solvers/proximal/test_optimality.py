"""Every convex solver ends at the minimiser: subgradients by an independent measure, and one image of all.

The requirement: zero is a subgradient to 1e-6 of the gradient at zero; where the minimiser is unique, the
images of all solvers agree to 1e-5 and their objectives to 1e-6.
"""

from dataclasses import replace

import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.noise import Gaussian, Poisson
from invgen.operators import MRI, Blur, Gradient, Identity, Mask, MatrixOperator, Radon, sampling
from invgen.priors import (
    DCT,
    L1,
    GroupSparsity,
    NonNegative,
    Tikhonov,
    TotalVariation,
    Wavelet,
)
from invgen.solvers import ADMM, CG, FISTA, ISTA, MLEM, PDHG, BasisPursuit, CondatVu, Lasso

from .optimality import objective, subgradient_residual

N = 32


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def head():
    return phantoms.shepp_logan(N / 2).image((N, N), 1.0).to(torch.float64)


def measured(A, x, std):
    noise = Gaussian(std)
    return ig.Problem(A, noise.sample(A(x), seed=0), noise)


def denoising():
    return measured(Identity((N, N)), head(), 0.1)


def deblurring():
    kernel = torch.ones(3, 3, dtype=torch.float64)
    kernel[1, 1] = 8
    return measured(Blur((N, N), kernel / kernel.sum()), head(), 0.05)


def weighing():
    """Each pixel in its own unit."""
    return measured(Mask(0.3 + rand(N, N)), head(), 0.1)


def tomography():
    return measured(Radon((N, N), 40), head(), 0.4)


def resonance():
    maps = torch.polar(0.5 + rand(3, N, N), rand(3, N, N, seed=1))
    A = MRI((N, N), sampling.poisson_disc((N, N), 1.5, seed=0), maps)
    return measured(A, head().to(torch.complex128), 0.05)


def channels():
    x = torch.stack([head(), 0.5 * head()])
    return measured(Identity((2, N, N)), x, 0.2)


MANY = {"iterations": 20000, "tolerance": 1e-8}
TIGHT = {"iterations": 20000, "tolerance": 1e-10}
#: A proximal map that is iterated needs as many digits as the image.
INNER = {"inner_steps": 40, "iterations": 20000, "tolerance": 1e-11}
GENERAL = {
    "ADMM": lambda prior: ADMM(prior, **MANY),
    "PDHG": lambda prior: PDHG(prior, **MANY),
    "CondatVu": lambda prior: CondatVu(prior, **MANY),
    "FISTA": lambda prior: FISTA(prior, restart=True, **INNER),
}
MORE = {
    "ISTA": lambda prior: ISTA(prior, **TIGHT),
    "ISTA by trial": lambda prior: ISTA(prior, backtracking=True, **TIGHT),
    "FISTA monotone": lambda prior: FISTA(prior, monotone=True, restart=True, **TIGHT),
    "FISTA by trial": lambda prior: FISTA(prior, restart=True, backtracking=True, **TIGHT),
}
TV = TotalVariation(5.0)
#: A problem whose minimiser is unique, a prior, and solvers beside the four that take all of them.
CASES = {
    "denoising, TV": (denoising, TV, {}),
    "denoising, DCT": (denoising, DCT(5.0), MORE),
    "deblurring, TV and positive": (deblurring, TotalVariation(2.0) + NonNegative(), {}),
    "deblurring, wavelets": (deblurring, Wavelet(5.0, "db2"), MORE),
    "weighing, TV": (weighing, TotalVariation(1.0), {}),
    "tomography, TV": (tomography, TotalVariation(3.0), {}),
    "deblurring, wavelets and positive": (deblurring, Wavelet(3.0, "haar") + NonNegative(), {}),
    "resonance, wavelets": (resonance, Wavelet(5.0, "db2"), MORE),
    "resonance, TV": (resonance, TV, {}),
    "channels in common": (channels, GroupSparsity(4.0), MORE),
    "smooth": (deblurring, Tikhonov(3.0, Gradient((N, N))), {}),
    "small": (deblurring, Tikhonov(3.0), {"CG": lambda prior: CG(weight=prior.weight, tolerance=1e-10)}),
    "sparse": (
        deblurring,
        L1(30.0),
        MORE | {"Lasso": lambda prior: Lasso(weight=prior.weight, tolerance=1e-14)},
    ),
}


#: Problems from easy to hard, in a batch.
EACH = {
    **GENERAL,
    **MORE,
    "CG": lambda prior: CG(weight=3.0),
    "Lasso": lambda prior: Lasso(weight=3.0),
    "BasisPursuit": lambda prior: BasisPursuit(epsilon=0.1, tolerance=1e-2),
}


def solved(problem, prior, makers):
    images, problem = [], problem()
    for name, make in makers.items():
        rec = make(prior)(problem)
        assert rec.stats["converged"], (name, rec.stats["iterations"], float(rec.history["optimality"][-1]))
        images.append(rec.x)
    return problem, torch.stack(images)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize(("problem", "prior", "more"), CASES.values(), ids=CASES)
def test_all_solvers_end_at_the_minimiser(problem, prior, more):
    problem, images = solved(problem, prior, GENERAL | more)
    residuals = subgradient_residual(problem, prior, images)
    assert (residuals < 1e-6).all(), residuals
    values = objective(problem, prior, images)
    assert float((values.max() - values.min()) / values.min().abs()) < 1e-6
    apart = (images - images[0]).flatten(1).norm(dim=1) / images[0].norm()
    assert (apart < 1e-5).all(), apart


def test_the_measure_distinguishes_other_images_from_the_minimiser():
    """Of soft thresholding, known in closed form; a thousandth of it off, and another weight, are seen."""
    problem, prior = denoising(), DCT(5.0)
    best = prior.prox(problem.measurement, 0.1**2)
    near = best + 1e-3 * best.norm() * rand(N, N) / N
    images = torch.stack([best, near, DCT(6.0).prox(problem.measurement, 0.1**2), problem.measurement])
    residuals = subgradient_residual(problem, prior, images)
    assert residuals[0] < 1e-7
    assert (residuals[1:] > 1e-4).all()


def test_the_measure_is_the_subgradient_of_a_step():
    """Total variation of a step, whose levels move by the weight over the width; a level off by 1e-3."""
    y = torch.ones(20, dtype=torch.float64)
    y[8:] = 4
    problem, prior = ig.Problem(Identity((20,)), y, Gaussian(1.0)), TotalVariation(1.5, axes=(-1,))
    best = y + torch.where(y == 1, 1.5 / 8, -1.5 / 12)
    off = best + 1e-3 * (y == 1)
    residuals = subgradient_residual(problem, prior, torch.stack([best, off]))
    assert residuals[0] < 1e-10
    # L is one, and eight pixels ask to go back by 1e-3 each
    assert float(residuals[1]) == pytest.approx(1e-3 * 8**0.5 / float(y.norm()), rel=1e-6)


@pytest.mark.parametrize("name", EACH)
def test_each_of_three_unequal_problems_is_solved_as_by_itself(name):
    """Nothing to see, something simple, and noise alone."""
    A = Blur((16, 16), torch.tensor([[0, 1, 0], [1, 6, 1], [0, 1, 0]], dtype=torch.float64) / 10)
    y = torch.stack([torch.zeros(16, 16), A(phantoms.disc(5.0).image((16, 16), 1.0).double()), rand(16, 16)])
    y = y.double()
    solver = EACH[name](Wavelet(3.0, "haar"))
    solver = replace(solver, tolerance=max(solver.tolerance, 1e-5))
    rec = solver(ig.Problem(A, y, Gaussian(0.3)))
    needed = rec.stats["iterations"].tolist()
    assert rec.stats["converged"].all()
    assert needed[0] <= min(needed[1:])
    for i, data in enumerate(y):
        alone = solver(ig.Problem(A, data, Gaussian(0.3)))
        assert alone.stats["iterations"] == needed[i]
        torch.testing.assert_close(rec.x[i], alone.x, rtol=1e-12, atol=1e-14)


def test_each_of_three_unequal_counts_is_solved_as_by_itself():
    A = MatrixOperator(rand(40, 12))
    x = torch.stack([torch.zeros(12), 5 + torch.zeros(12), 100 * rand(12)]).double()
    noise = Poisson()
    y = noise.sample(A(x), seed=0)
    rec = MLEM(iterations=3000)(ig.Problem(A, y, noise))
    assert rec.stats["converged"].all()
    for i, data in enumerate(y):
        alone = MLEM(iterations=3000)(ig.Problem(A, data, noise))
        assert alone.stats["iterations"] == int(rec.stats["iterations"][i])
        torch.testing.assert_close(rec.x[i], alone.x, rtol=1e-10, atol=0)
