"""Suites of a user's own images."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from invgen import operators
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance
from invgen.bench.names import require_name
from invgen.bench.suite import Entry, Task
from invgen.bench.suites.data import own_seed
from invgen.core.errors import ParameterError, ShapeError
from invgen.io import read_images
from invgen.noise import Gaussian
from invgen.operators import LinearOperator
from invgen.pipeline.measuring import measuring
from invgen.problem import Problem

__all__ = ["Measurement", "OwnSuite", "operator_classes"]

#: What the table of methods has for a class of operators; for all others "imaging".
_USES = {
    "Radon": "parallel",
    "FanBeam": "fan",
    "ConeBeam": "cone",
    "MRI": "cartesian",
    "NonCartesianMRI": "non-cartesian",
}


@dataclass(frozen=True)
class Measurement:
    """An operator for images of any shape.

    Attributes
    ----------
    operator : str
        A word of `invgen.pipeline.measuring`, or the name of a class of `invgen.operators`.
    arguments : mapping
        Of the class, apart from the shape of the image.
    folder : path
        That files are relative to.
    """

    operator: str
    arguments: Mapping[str, Any]
    folder: Path

    @property
    def use(self) -> str:
        """Its name in the table of methods."""
        return _USES.get(self.operator, "imaging")

    def of(self, shape: tuple[int, ...]) -> LinearOperator:
        """The operator for images of a shape.

        Raises
        ------
        ParameterError
            Where there is no such argument, or one is missing.
        """
        if self.operator not in operator_classes():
            word = measuring(self.operator)
            return replace(word, **self._file(word.file)).operator(shape)  # type: ignore[type-var]
        build = operator_classes()[self.operator]
        parameters = list(inspect.signature(build.__init__).parameters)[1:]
        shaped = parameters[0] in ("shape", "image_shape")
        for name in self.arguments:
            require_name(name, parameters[shaped:], f"argument of {self.operator}")
        given = {name: self._value(value) for name, value in self.arguments.items()}
        try:
            return build(*((shape,) if shaped else ()), **given)
        except TypeError as error:  # an argument is missing
            raise ParameterError(f"{self.operator} cannot be made: {error}.") from error

    def _file(self, name: str | None) -> dict[str, str]:
        return {} if name is None else {"file": str(self.folder / name)}

    def _value(self, value: Any) -> Any:
        """A file or a list as a tensor, and what else there is as it is."""
        if isinstance(value, str) and value.endswith((".npy", ".png")):
            return torch.from_numpy(read_images(self.folder / value, gray=True)[0])
        return torch.tensor(value) if isinstance(value, list) else value


@functools.cache
def operator_classes() -> dict[str, Any]:
    """Classes of linear operators, by their names."""
    listed = {name: getattr(operators, name) for name in operators.__all__}
    return {
        name: kind
        for name, kind in listed.items()
        if isinstance(kind, type) and issubclass(kind, LinearOperator) and kind is not LinearOperator
    }


@dataclass(frozen=True)
class OwnSuite(ImageSuite):
    """Images of the user, all measured in one way at one or several levels of noise.

    Attributes
    ----------
    name, about, primary : str
    test, tuning : mapping of str to path
        Images by the names that the report calls them by.
    measurement : Measurement
    levels : tuple of float
        Standard deviations of the noise.
    entries : tuple of Entry
    size : int, optional
        Pixels across, in the middle of each image.
    gray : bool
        Whether colors are converted to gray.
    data_range : float
        Largest minus smallest value that the images can have.
    seeds : tuple of int
    """

    name: str
    about: str
    test: Mapping[str, Path]
    tuning: Mapping[str, Path]
    measurement: Measurement
    levels: tuple[float, ...]
    entries: tuple[Entry, ...] = ()
    size: int | None = None
    gray: bool = True
    data_range: float = 1.0
    primary: str = "psnr"
    seeds: tuple[int, ...] = (0,)
    sampling = MappingProxyType({"scale": 1.0})

    @property
    def use(self) -> str:  # type: ignore[override]
        """What its problems are in the table of methods."""
        return self.measurement.use

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each level of noise."""
        test, tuning = tuple(self.test), tuple(self.tuning)
        return tuple(Task(f"noise {std:g}", test, tuning, {"noise": std}) for std in self.levels)

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """An image and its measurement."""
        truth = _image({**self.test, **self.tuning}[image], self.gray, self.size)
        operator = self.measurement.of(tuple(truth.shape))
        x = truth.to(torch.complex64) if operator.domain.field == "complex" else truth
        noise = Gaussian(float(task.axes["noise"]))
        measured = noise.sample(operator(x), own_seed(seed, image))
        return Instance(Problem(operator, measured, noise), x, self.data_range, float(truth.abs().max()))

    def quick(self) -> Self:
        """The first image of each kind, with the least noise."""
        test, tuning = (dict(list(images.items())[:1]) for images in (self.test, self.tuning))
        return replace(self, levels=(min(self.levels),), test=test, tuning=tuning)


@functools.lru_cache(maxsize=64)
def _image(path: Path, gray: bool, size: int | None) -> Tensor:
    image = torch.from_numpy(read_images(path, gray=gray)[0])
    if size is None:
        return image
    if size > min(image.shape[-2:]):
        raise ShapeError(f"{path} has {image.shape[-2]} x {image.shape[-1]} pixels, and size is {size}.")
    top, left = ((n - size) // 2 for n in image.shape[-2:])
    return image[..., top : top + size, left : left + size].clone()
