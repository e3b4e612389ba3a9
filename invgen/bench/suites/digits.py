"""Digits of which half is lost, few pixels are left, noise hides most, or few projections are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch

from invgen.bench.entries import entry, wavelets
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance
from invgen.bench.suite import Entry, Task
from invgen.bench.suites.data import digits, own_seed
from invgen.noise import Gaussian
from invgen.operators import Downsample, GaussianMatrix, Identity, LinearOperator, Mask
from invgen.problem import Problem

__all__ = ["Digits"]

SHAPE = (28, 28)


def _upper_half(seed: int) -> LinearOperator:
    known = torch.zeros(SHAPE)
    known[:14] = 1
    return Mask(known)


#: Operators by a seed, and the standard deviation of the noise.
_CASES: dict[str, tuple[Callable[[int], LinearOperator], float]] = {
    "upper half": (_upper_half, 0.05),
    "means of 4 x 4": (lambda seed: Downsample(SHAPE, 4), 0.05),
    "much noise": (lambda seed: Identity(SHAPE), 0.5),
    "100 projections": (lambda seed: GaussianMatrix(SHAPE, 100, seed), 0.05),
}


@dataclass(frozen=True)
class Digits(ImageSuite):
    """Digits of MNIST by the priors that learned digits.

    Parameters
    ----------
    data : path
        Folder of data.
    cases : tuple of str
        Which of the four ways of measuring.
    test, tuning : range
        Digits of MNIST's test set.
    samples, iterations : int
        Of samplers; diffusion models take that many levels, latent variables twice as many steps.
    """

    data: Path
    cases: tuple[str, ...] = tuple(_CASES)
    test: range = range(7600, 7630)
    tuning: range = range(7500, 7504)
    samples: int = 8
    iterations: int = 50

    name = "digits"
    about = (
        "Digits of MNIST, 28 x 28 pixels: their upper half, means of 4 x 4 pixels, 100 Gaussian projections "
        "with noise of 0.05, and all pixels with noise of 0.5. Test: 30 of MNIST's test set, tuning: "
        "4 others of it. The priors learned from its training set."
    )
    use = "imaging"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each way of measuring."""
        digits(self.data)
        test, tuning = (tuple(f"digit {i}" for i in part) for part in (self.test, self.tuning))
        return tuple(Task(name, test, tuning, {"noise": _CASES[name][1]}) for name in self.cases)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Penalties, latent variables of a variational autoencoder, and diffusion."""
        drawn: dict[str, Any] = {"samples": self.samples, "scale": 1.0}
        latent: dict[str, Any] = {
            "scale": 1.0,
            "restarts": 4,
            "iterations": 4 * self.iterations,
            "knob": False,
        }
        return (
            entry("tv", self.use),
            wavelets(2),
            entry("pnp-hqs", self.use, "non-local-means", scale=1.0),
            *(entry(name, self.use, "digits-vae", **latent) for name in ("csgm", "pulse", "sparse-gen")),
            entry(
                "latent-hmc",
                self.use,
                "digits-vae",
                iterations=2 * self.iterations,
                leapfrog_steps=5,
                annealed=True,
                **drawn,
            ),
            *(
                entry(name, self.use, "digits", iterations=self.iterations, **drawn)
                for name in ("diffpir", "dds", "daps", "split-gibbs")
            ),
        )

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """A digit, measured."""
        build, std = _CASES[task.name]
        own, noise = own_seed(seed, task.name, image), Gaussian(std)
        truth, A = digits(self.data)[int(image.removeprefix("digit "))], build(own % 2**31)
        return Instance(Problem(A, noise.sample(A(truth), own), noise), truth, 1.0, 1.0)

    def quick(self) -> Self:
        """The upper half of one digit, and few iterations."""
        return replace(
            self,
            cases=self.cases[:1],
            test=self.test[:1],
            tuning=self.tuning[:1],
            samples=2,
            iterations=8,
        )
