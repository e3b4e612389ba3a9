"""Photographs with lost pixels, few pixels, blur, or without their colors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

from torch import Tensor

from invgen.bench.entries import entry, wavelets
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance
from invgen.bench.peers import peers
from invgen.bench.suite import Entry, Task
from invgen.bench.suites.data import file, own_seed, picture
from invgen.noise import Gaussian
from invgen.operators import Blur, Downsample, Grayscale, LinearOperator, Mask, kernels, masks
from invgen.problem import Problem

__all__ = ["Colorization", "Deblurring", "Inpainting", "Photographs", "SuperResolution"]

#: What the abouts of all of them say.
_SPLIT = (
    "Test: the middle of four photographs of Kodak, which no prior has seen. Tuning: two pictures of "
    "scikit-image, which are among those that the priors learned from."
)


@dataclass(frozen=True)
class Photographs(ImageSuite):
    """The middle of photographs, measured in one way at several values of one quantity.

    Parameters
    ----------
    data : path
        Folder of data.
    values : tuple of number
        Of the quantity that the tasks differ in, named by `axis`.
    size : int
        Pixels across.
    test, tuning : tuple of str
        Names of pictures.
    samples, iterations : int
        Of diffusion samplers.
    """

    data: Path
    values: tuple[float, ...]
    size: int = 256
    test: tuple[str, ...] = ("kodim01", "kodim04", "kodim20", "kodim23")
    tuning: tuple[str, ...] = ("skimage_camera", "skimage_astronaut")
    samples: int = 8
    iterations: int = 25

    use = "imaging"
    axis: ClassVar[str]
    #: What other packages have for it; see `invgen.bench.peers`.
    others: ClassVar[str] = "imaging"
    gray: ClassVar[bool] = True
    #: Standard deviation of the noise, where that is not what the tasks differ in.
    noise: ClassVar[float] = 0.02
    #: From half of white on: what more noise would hide, the data determine.
    sampling = MappingProxyType({"scale": 1.0, "sigma_range": (0.005, 0.5)})

    @abstractmethod
    def measured(self, whole: Tensor, value: float, seed: int) -> tuple[LinearOperator, Tensor]:
        """An operator for the middle of a picture, and the measurement of that without noise."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each value."""
        for name in (*self.test, *self.tuning):
            file(self.data, f"images/{name}.png")
        return tuple(
            Task(f"{self.axis} {value:g}", self.test, self.tuning, {self.axis: value})
            for value in self.values
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Penalties, denoisers in a loop, and diffusion samplers."""
        drawn: dict[str, Any] = {"samples": self.samples, "iterations": self.iterations, **self.sampling}
        small_steps: dict[str, Any] = {"samples": 2, "iterations": 4 * self.iterations, "scale": 1.0}
        return (
            entry("tv", self.use),
            wavelets(),
            entry("pnp-hqs", self.use, "non-local-means", scale=1.0),
            entry("pnp-hqs", self.use, "denoiser-gray", scale=1.0),
            entry("epll", self.use, "patches-gray", scale=1.0),
            *(entry(name, self.use, "denoiser-gray", **drawn) for name in ("diffpir", "dds", "ddnm")),
            # a gradient through the network at each step, of which there are many: not tuned
            entry("dps", self.use, "denoiser-gray", **small_steps, knob=False),
            *peers(self.others),
        )

    def middle(self, image: Tensor) -> Tensor:
        """The middle of what is larger, shape (..., size, size)."""
        top, left = ((n - self.size) // 2 for n in image.shape[-2:])
        return image[..., top : top + self.size, left : left + self.size]

    def level(self, value: float) -> float:
        """Standard deviation of the noise."""
        return self.noise

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """A picture with lost pixels, or whatever the suite is of."""
        value, own = float(task.axes[self.axis]), own_seed(seed, image)
        whole = picture(self.data, image, self.gray)
        operator, clean = self.measured(whole, value, own)
        noise, truth = Gaussian(self.level(value)), self.middle(whole)
        return Instance(Problem(operator, noise.sample(clean, own), noise), truth, 1.0, float(truth.max()))

    def quick(self) -> Self:
        """One picture of 64 x 64 pixels, two samples of few iterations."""
        return replace(
            self,
            values=self.values[-1:],
            size=64,
            test=self.test[:1],
            tuning=self.tuning[:1],
            samples=2,
            iterations=8,
        )


@dataclass(frozen=True)
class Inpainting(Photographs):
    """Pixels at random are lost."""

    values: tuple[float, ...] = (0.1, 0.25, 0.5)

    name = "inpainting"
    about = (
        "Gray photographs of 256 x 256 pixels, of which a random fraction is known; noise of 0.02 of white. "
        + _SPLIT
    )
    axis: ClassVar[str] = "fraction"
    others: ClassVar[str] = "inpainting"

    def measured(self, whole: Tensor, value: float, seed: int) -> tuple[LinearOperator, Tensor]:
        """Known pixels."""
        A = Mask(masks.random_pixels((self.size, self.size), value, seed))
        return A, A(self.middle(whole))


@dataclass(frozen=True)
class SuperResolution(Photographs):
    """Pixels of a camera are the means of those wanted."""

    values: tuple[float, ...] = (4, 2)

    name = "super-resolution"
    about = (
        "Gray photographs of 256 x 256 pixels from means of 2 x 2 and of 4 x 4; noise of 0.02 of white. "
        + _SPLIT
    )
    axis: ClassVar[str] = "factor"

    def measured(self, whole: Tensor, value: float, seed: int) -> tuple[LinearOperator, Tensor]:
        """Means of squares."""
        A = Downsample((self.size, self.size), int(value))
        return A, A(self.middle(whole))


@dataclass(frozen=True)
class Deblurring(Photographs):
    """The blur is of the whole scene, of which methods see the middle and have to guess what is around."""

    values: tuple[float, ...] = (0.01, 0.02, 0.05)

    name = "deblurring"
    about = (
        "Gray photographs of 256 x 256 pixels behind a Gaussian blur of 1.6 pixels, at several levels of "
        "noise. The scene goes on beyond the edges when it is blurred; methods take it as reflected there. "
        + _SPLIT
    )
    axis: ClassVar[str] = "noise"
    others: ClassVar[str] = "deblurring"

    def measured(self, whole: Tensor, value: float, seed: int) -> tuple[LinearOperator, Tensor]:
        """The middle of the blurred picture."""
        kernel = kernels.gaussian_kernel(1.6)
        clean = self.middle(Blur(tuple(whole.shape), kernel, "reflect")(whole))
        return Blur((self.size, self.size), kernel, "reflect"), clean

    def level(self, value: float) -> float:
        """The tasks differ in it."""
        return value


def gray(problem: Problem, settings: Mapping[str, float], seed: int) -> Tensor:
    """What knows nothing of colors: the same brightness in all three."""
    return problem.measurement.expand(problem.operator.domain.shape)


@dataclass(frozen=True)
class Colorization(Photographs):
    """Brightness alone is measured."""

    values: tuple[float, ...] = (0.01,)
    tuning: tuple[str, ...] = ("skimage_astronaut", "skimage_chelsea")

    name = "colorization"
    about = (
        "Photographs of 256 x 256 pixels in color, from their brightness with noise of 0.01 of white. "
        + _SPLIT
    )
    axis: ClassVar[str] = "noise"
    gray: ClassVar[bool] = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Gray and total variation, and samplers of color images."""
        drawn: dict[str, Any] = {"samples": self.samples, "iterations": self.iterations, "scale": 1.0}
        return (
            Entry("gray", gray),
            entry("tv", self.use),
            entry("pnp-hqs", self.use, "denoiser-color", scale=1.0),
            *(entry(name, self.use, "denoiser-color", **drawn) for name in ("diffpir", "dds", "ddnm")),
        )

    def measured(self, whole: Tensor, value: float, seed: int) -> tuple[LinearOperator, Tensor]:
        """The brightness."""
        A = Grayscale((3, self.size, self.size))
        return A, A(self.middle(whole))

    def level(self, value: float) -> float:
        """The tasks differ in it."""
        return value
