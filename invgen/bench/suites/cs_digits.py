"""Compressed sensing of digits: the figure of Bora, Jalal, Price and Dimakis (2017), fig. 1, and beyond."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch

from invgen.bench.entries import entry, noise_level
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance
from invgen.bench.suite import Entry, Knob, Task
from invgen.bench.suites.data import digits, file, own_seed
from invgen.core.errors import FileError
from invgen.noise import Gaussian
from invgen.operators import DCT, GaussianMatrix, Identity, Wavelet
from invgen.priors import ModuleGenerator, from_module, load
from invgen.priors.nets import MLP
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers import DiffPIR, Lasso, LatentHMC, LatentOptimization

__all__ = ["CompressedDigits", "Optimized", "SparseIn", "ThenDiffusion"]

SHAPE = (28, 28)

#: Norm of the noise, and weight of the latent variables in the paper's objective.
_NOISE, _LAMBDA = 0.1, 0.1

#: Files of the published generators.
_FILES = {"published VAE": "weights/mnist_vae.pth", "published GAN": "weights/mnist_gan_mlp_G.ckpt"}


def published(data: Path, name: str) -> ModuleGenerator:
    """The decoder of the VAE of PyTorch's examples, or a GAN, both fully connected.

    Those of https://github.com/csinva/gan-vae-pretrained-pytorch: 20 latent variables through 400 units, and
    64 through 256 twice.

    Raises
    ------
    FileError
        Where the file is not there.
    """
    return _published(file(data, _FILES[name]), name)


@functools.lru_cache(maxsize=2)
def _published(path: Path, name: str) -> ModuleGenerator:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if name == "published GAN":
        network, latents, ends = MLP((64, 256, 256, 784), "relu", "tanh"), 64, (-1.0, 1.0)
    else:
        network, latents, ends = MLP((20, 400, 784), "relu", "sigmoid"), 20, (0.0, 1.0)
        layers = {"fc3": "0", "fc4": "2"}
        state = {f"{new}.{k}": state[f"{old}.{k}"] for old, new in layers.items() for k in ("weight", "bias")}
    network.load_state_dict(state)
    found = from_module(network, (latents,), image_shape=SHAPE, output_range=ends)
    assert isinstance(found, ModuleGenerator), "its latent variables are standard normal"
    return found


@dataclass(frozen=True)
class Optimized:
    """The paper's algorithm: Adam from ten starts, the best by its own objective.

    Setting "weight": of the latent variables, over that of the paper.
    """

    data: Path
    generator: str
    iterations: int

    def __call__(self, problem: Problem, settings: Mapping[str, float], seed: int) -> Reconstruction:
        """Solve a problem."""
        return LatentOptimization(
            published(self.data, self.generator),
            optimizer="adam",
            learning_rate=0.01,
            iterations=self.iterations,
            restarts=10,
            weight=settings.get("weight", 1.0) * _LAMBDA / noise_level(problem) ** 2,
            scale=1.0,
            tolerance=0.0,
        )(problem, seed=seed)


@dataclass(frozen=True)
class SparseIn:
    """The lasso of the coefficients in an orthonormal basis.

    Setting "weight": over the one that the noise asks for.
    """

    basis: str
    iterations: int

    def __call__(self, problem: Problem, settings: Mapping[str, float], seed: int) -> Reconstruction:
        """Solve a problem."""
        lasso = Lasso(transform=_BASES[self.basis](), iterations=self.iterations).resolved(problem)
        return replace(lasso, weight=settings.get("weight", 1.0) * torch.as_tensor(lasso.weight))(problem)


_BASES: dict[str, Any] = {
    "pixels": functools.partial(Identity, SHAPE),
    "cosines": functools.partial(DCT, SHAPE),
    "wavelets": functools.partial(Wavelet, SHAPE, levels=2),
}


@dataclass(frozen=True)
class ThenDiffusion:
    """The mean of samples: of the latent variables, then, from each of these images, of a diffusion model.

    What the generator cannot make counts as noise of the measurements while latent variables are drawn, and
    is the noise level that the diffusion starts from: it adds what the generator lacks.

    Setting "missed": standard deviation of what the generator cannot make. The VAE's is 0.076 on digits that
    it is fitted to; a little more is the default.
    """

    data: Path
    samples: int
    iterations: int

    def __call__(self, problem: Problem, settings: Mapping[str, float], seed: int) -> Reconstruction:
        """Solve a problem."""
        A, missed = problem.operator, settings.get("missed", 0.09)
        # of a matrix whose rows have unit variance in sum: |A e|^2 is |e|^2 in expectation
        seen = math.sqrt(noise_level(problem) ** 2 + math.prod(SHAPE) * missed**2 / A.range.size)
        coarse = LatentHMC(
            published(self.data, "published VAE"),
            iterations=self.iterations,
            leapfrog_steps=5,
            annealed=True,
            scale=1.0,
        )
        rough = Problem(A, problem.measurement, Gaussian(seen))
        images = coarse(rough, samples=self.samples, seed=seed).samples
        fine = DiffPIR(load("digits"), iterations=16, sigma_range=(0.01, max(missed, 0.02)), scale=1.0)
        return fine(problem, x0=images, samples=self.samples, seed=seed)


@dataclass(frozen=True)
class CompressedDigits(ImageSuite):
    """Digits from Gaussian random projections.

    Parameters
    ----------
    data : path
        Folder of data.
    counts : tuple of int
        Numbers of measurements of the 784 pixels.
    test, tuning : range
        Digits of MNIST's test set.
    samples, iterations : int
        Of each sampler: its samples, and the steps of those of latent variables. Diffusion models take half
        of the steps, Adam ten times and the lasso twenty times as many.
    """

    data: Path
    counts: tuple[int, ...] = (10, 25, 50, 100, 200, 400, 750)
    test: range = range(50)
    tuning: range = range(7500, 7504)
    samples: int = 8
    iterations: int = 100

    name = "cs-digits"
    about = (
        "Digits of MNIST, 28 x 28 pixels, from Gaussian random projections with noise of norm 0.1, after "
        "fig. 1 of Bora et al. (2017); each digit has its own matrix. Test: the first 50 of MNIST's test "
        "set; tuning: 4 others of it. The priors learned from its training set."
    )
    primary = "mse"
    use = "imaging"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each number of measurements."""
        digits(self.data)
        test, tuning = (tuple(f"digit {i}" for i in part) for part in (self.test, self.tuning))
        return tuple(Task(f"{m} measurements", test, tuning, {"measurements": m}) for m in self.counts)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The paper's, generators that ship, sampling of latent variables, and diffusion."""
        drawn: dict[str, Any] = {"samples": self.samples, "scale": 1.0}
        steps = 10 * self.iterations
        return (
            *(
                Entry(f"lasso of {basis}", SparseIn(basis, 2 * steps), knob=Knob("weight", 0.01, 3.0))
                for basis in _BASES
            ),
            entry("tv", self.use),
            *(
                Entry(
                    "csgm by Adam",
                    Optimized(self.data, name, steps),
                    "learned",
                    name,
                    Knob("weight", 0.03, 30.0),
                    missing=self._missing(name),
                )
                for name in _FILES
            ),
            entry("csgm", self.use, "digits-vae", scale=1.0, restarts=4, iterations=steps // 2, knob=False),
            *(
                entry(name, self.use, "digits", iterations=self.iterations // 2, **drawn)
                for name in ("diffpir", "dds")
            ),
            Entry(
                "VAE's posterior, then diffusion",
                ThenDiffusion(self.data, self.samples, self.iterations),
                "learned",
                "published VAE and digits",
                Knob("missed", 0.02, 0.3),
                missing=self._missing("published VAE"),
            ),
        )

    def _missing(self, name: str) -> str | None:
        try:
            file(self.data, _FILES[name])
        except FileError as error:
            return str(error)
        return None

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """A digit and its projections."""
        m, own = int(task.axes["measurements"]), own_seed(seed, task.name, image)
        truth = digits(self.data)[int(image.removeprefix("digit "))]
        A, noise = GaussianMatrix(SHAPE, m, own % 2**31), Gaussian(_NOISE / math.sqrt(m))
        return Instance(Problem(A, noise.sample(A(truth), own), noise), truth, 1.0, 1.0)

    def quick(self) -> Self:
        """One digit from 100 measurements, and few iterations."""
        return replace(self, counts=(100,), test=range(1), tuning=range(7500, 7501), samples=2, iterations=10)
