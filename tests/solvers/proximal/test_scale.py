"""Data of any unit: with defaults and in single precision, the same image in that unit."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import invgen as ig
from invgen import phantoms
from invgen.noise import Gaussian
from invgen.operators import MRI, Radon, SubsampledTransform
from invgen.operators import Wavelet as Details
from invgen.priors import L1, TotalVariation, Wavelet
from invgen.solvers import ADMM, FISTA, ISTA, PDHG, BasisPursuit, CondatVu, Lasso

DATA = Path(os.environ.get("INVGEN_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
BRAIN = DATA / "mri" / "pysap_example_mri_ref_image_2d.npy"
N = 32


def problem_of(A, x, level):
    clean = A(x)
    noise = Gaussian(level * float(clean.abs().square().mean().sqrt()))
    return ig.Problem(A, noise.sample(clean, seed=0), noise)


def brain():
    """Magnitudes of at most 2.5e-5, half of k-space: a millionth of them has noise of 1e-13."""
    if not BRAIN.exists():
        pytest.skip(f"needs {BRAIN.name}: set INVGEN_DATA to the folder of sample data")
    x = torch.from_numpy(np.load(BRAIN)).reshape(N, 512 // N, N, 512 // N).mean((1, 3)).to(torch.complex64)
    mask = torch.rand(N, generator=torch.Generator().manual_seed(0)) < 0.4
    mask[N // 2 - 4 : N // 2 + 4] = True
    return problem_of(MRI((N, N), mask), x, 0.02)


def projections():
    return problem_of(Radon((N, N), 30), phantoms.shepp_logan(N / 2).image((N, N), 1.0).float(), 0.02)


def samples():
    """Of a phantom, half as many as it has pixels."""
    A = SubsampledTransform((N, N), N * N // 2)
    return problem_of(A, phantoms.shepp_logan(N / 2).image((N, N), 1.0).float(), 0.02)


SOLVERS = {
    "FISTA": FISTA(TotalVariation()),
    "FISTA, wavelets": FISTA(Wavelet()),
    "FISTA, pixels": FISTA(L1()),
    "ISTA": ISTA(TotalVariation()),
    "ADMM": ADMM(TotalVariation()),
    "ADMM, wavelets": ADMM(Wavelet()),
    "PDHG": PDHG(TotalVariation()),
    "PDHG, wavelets": PDHG(Wavelet()),
    "CondatVu": CondatVu(TotalVariation()),
}


def check(solver, problem, known):
    problem = problem if known else ig.Problem(problem.operator, problem.measurement)
    x = solver(problem).x.to(torch.complex128)
    for factor in (1e-6, 1e6):
        scaled = solver(problem.scaled(factor)).x.to(torch.complex128) / factor
        assert float((scaled - x).norm() / x.norm()) < 1e-4


#: Plain steps for projections end where one more moves the image by a thousandth: rounding decides when.
CASES = [
    (make, name)
    for make in (brain, projections)
    for name in SOLVERS
    if (make, name) != (projections, "FISTA, wavelets")
]


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("make", "name"), CASES)
def test_data_of_another_unit_give_the_same_image_in_that_unit(make, name, known):
    check(SOLVERS[name], make(), known)


@pytest.mark.cases_are_slow
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("make", [brain, samples])
@pytest.mark.parametrize("kind", [Lasso, BasisPursuit])
def test_so_do_sparse_coefficients(make, kind, known):
    problem = make()
    transform = Details((N, N), field=problem.operator.domain.field)
    check(kind(transform=transform), problem, known)
