"""A suite of small images whose methods do everything that a method should not."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass, replace

import torch

import invgen as ig
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance
from invgen.bench.suite import Entry, Knob, Task


def damped(problem, settings, seed):
    """The measurement times a factor: 0.5 as it comes, where 1 is about right."""
    return settings.get("factor", 0.5) * problem.operator.H(problem.measurement)


def noisy(problem, settings, seed):
    """Samples around the measurement."""
    y = problem.operator.H(problem.measurement)
    draws = torch.randn(6, *y.shape, generator=torch.Generator().manual_seed(seed))
    samples = y + 0.1 * draws
    return ig.Reconstruction(samples.mean(0), samples, samples.std(0), stats={"network_evaluations": 3})


def raises(problem, settings, seed):
    raise RuntimeError("no method today")


def not_a_number(problem, settings, seed):
    return problem.measurement * float("nan")


def of_another_shape(problem, settings, seed):
    return torch.zeros(3, 3)


def hangs(problem, settings, seed):
    time.sleep(600)


def fills_memory(problem, settings, seed):
    kept = []
    while True:
        kept.append(torch.ones(2**26))
        time.sleep(0.02)


def dies(problem, settings, seed):
    print("about to die", flush=True)
    os._exit(7)


def crashes(problem, settings, seed):
    ctypes.string_at(0)


GOOD = (
    Entry("damped", damped, knob=Knob("factor", 0.1, 10.0)),
    Entry("noisy", noisy, "learned", "a prior"),
    Entry("absent", damped, "peer", package="nobody", missing="nobody is not installed: pip install nobody"),
)
BAD = tuple(
    Entry(f.__name__, f) for f in (raises, not_a_number, of_another_shape, hangs, fills_memory, dies, crashes)
)


@dataclass(frozen=True)
class Toy(ImageSuite):
    """Images of noise, of which a part of the pixels is measured."""

    entries: tuple[Entry, ...] = GOOD
    images: int = 3
    parts: tuple[float, ...] = (0.5, 1.0)
    name: str = "toy"
    about: str = "toy images"
    use: str = "imaging"

    @property
    def tasks(self):
        return tuple(
            Task(
                f"{part:g} of the pixels",
                tuple(f"test {i}" for i in range(self.images)),
                ("tuning 0", "tuning 1"),
                {"part": part},
            )
            for part in self.parts
        )

    def quick(self):
        return replace(self, images=2)

    def instance(self, task, image, seed):
        number = sum(map(ord, image))
        truth = torch.rand(16, 16, generator=torch.Generator().manual_seed(number))
        A = ig.operators.Mask(ig.operators.masks.random_pixels((16, 16), task.axes["part"], seed=0))
        noise = ig.noise.Gaussian(0.1)
        return Instance(ig.Problem(A, noise.sample(A(truth), number + seed), noise), truth, 1.0, 1.0)


def tiny(data):
    """One image of one task, as the command line finds it: ``bench_toy:tiny``."""
    return Toy(images=1, parts=(1.0,))


def blurred(problem):
    """A method of the user's."""
    return torch.nn.functional.avg_pool2d(problem.measurement[None], 3, 1, 1)[0]
