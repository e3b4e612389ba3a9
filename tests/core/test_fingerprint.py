"""Fingerprints: equal for equal content, whatever the object, and different where content differs."""

import functools
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import invgen as ig
from invgen.core.fingerprint import fingerprint
from invgen.operators import MRI, FunctionOperator, Mask, MatrixOperator, Radon, Wavelet


def doubled(x, factor=2.0):
    return factor * x


def scaled_by(factor):
    return lambda x: factor * x


class Network(torch.nn.Module):
    def __init__(self, seed=0, setting=1):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn(3, generator=generator))
        self.register_buffer("shift", torch.zeros(2), persistent=False)
        self.setting = setting


PAIRS = {
    "numbers": (lambda: (1, 2.0, "a"), lambda: (1, 2.0, "b")),
    "type of a number": (lambda: 1, lambda: 1.0),
    "structure": (lambda: ((1, 2), 3), lambda: (1, (2, 3))),
    "mapping": (lambda: {"a": 1, "b": 2}, lambda: {"a": 2, "b": 1}),
    "tensor": (lambda: torch.arange(3.0), lambda: torch.arange(3.0) + 1e-7),
    "shape": (lambda: torch.zeros(2, 3), lambda: torch.zeros(3, 2)),
    "dtype": (lambda: torch.zeros(2), lambda: torch.zeros(2, dtype=torch.int32)),
    "conjugate": (lambda: torch.tensor([1j]).conj(), lambda: torch.tensor([1j])),
    "array": (lambda: np.arange(3), lambda: np.arange(3)[::-1]),
    "function": (lambda: doubled, lambda: scaled_by(2.0)),
    "closure": (lambda: scaled_by(2.0), lambda: scaled_by(3.0)),
    "partial": (
        lambda: functools.partial(doubled, factor=1.0),
        lambda: functools.partial(doubled, factor=3.0),
    ),
    "weights": (Network, lambda: Network(seed=1)),
    "setting of a network": (Network, lambda: Network(setting=2)),
    "views": (lambda: Radon((8, 8), 6), lambda: Radon((8, 8), 7)),
    "mask": (lambda: Mask(torch.eye(4)), lambda: Mask(1 - torch.eye(4))),
    "coils": (
        lambda: MRI((4, 4), torch.ones(4, 4)),
        lambda: MRI((4, 4), torch.ones(4, 4), torch.ones(2, 4, 4) + 0j),
    ),
    "matrix": (lambda: MatrixOperator(torch.eye(3)), lambda: MatrixOperator(2 * torch.eye(3))),
    "a user's functions": (
        lambda: FunctionOperator(scaled_by(2.0), scaled_by(2.0), (3,), (3,)),
        lambda: FunctionOperator(scaled_by(2.0), scaled_by(4.0), (3,), (3,)),
    ),
    "noise": (lambda: ig.noise.Gaussian(0.1), lambda: ig.noise.Gaussian(0.2)),
    "solver": (lambda: ig.solvers.CG(iterations=3), lambda: ig.solvers.CG(iterations=4)),
    "prior": (lambda: ig.priors.TotalVariation(0.1), lambda: ig.priors.TotalVariation(0.2)),
    "density": (
        lambda: ig.priors.GaussianMixture(torch.eye(2), torch.ones(2, 2), [0.5, 0.5]),
        lambda: ig.priors.GaussianMixture(torch.eye(2), 2 * torch.ones(2, 2), [0.5, 0.5]),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_content_alone_counts(name):
    make, other = PAIRS[name]
    assert fingerprint(make()) == fingerprint(make())
    assert fingerprint(make()) != fingerprint(other())


@pytest.mark.parametrize(
    "make", [lambda: Radon((8, 8), 6), lambda: Wavelet((16, 16)), lambda: MRI((4, 4), torch.ones(4, 4))]
)
def test_what_is_derived_does_not_count(make):
    A = make()
    before = fingerprint(A)
    x = A.domain.random(seed=0, dtype=torch.float32)
    A.gram(A.H(A(x)))
    A.norm(), A.svd, A.spectrum
    assert fingerprint(A) == before
    assert fingerprint(pickle.loads(pickle.dumps(A))) == before


def test_the_number_of_threads_does_not_count(set_threads):
    found = []
    for count in (1, 2):
        set_threads(count)
        found.append(fingerprint(Radon((8, 8), 6)))
    assert found[0] == found[1]


def test_sharing_does_not_count_and_what_holds_itself_ends():
    x = torch.ones(2)
    assert fingerprint([x, x]) == fingerprint([x, x.clone()])
    loop = [1]
    loop.append(loop)
    assert len(fingerprint(loop)) == 64


@pytest.mark.slow
def test_another_process_finds_the_same():
    code = (
        "import torch, invgen as ig\n"
        "from invgen.core.fingerprint import fingerprint\n"
        "A = ig.operators.Radon((8, 8), 6)\n"
        "problem = ig.Problem(A, torch.ones(A.range.shape), ig.noise.Gaussian(1.0))\n"
        "print(fingerprint(ig.solvers.CG(iterations=3), problem))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    A = Radon((8, 8), 6)
    problem = ig.Problem(A, torch.ones(A.range.shape), ig.noise.Gaussian(1.0))
    assert found == fingerprint(ig.solvers.CG(iterations=3), problem)


def test_networks_of_one_architecture_differ_by_their_weights():
    """Their representations are the same."""
    a, b = ig.priors.load("ct-phantoms"), ig.priors.load("denoiser-gray")
    assert fingerprint(a) != fingerprint(b)
