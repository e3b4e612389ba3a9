"""Images that were measured: each is restored alone, with one operator as long as the size stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from invgen import metrics
from invgen.core.errors import DataError, ParameterError, ShapeError
from invgen.io import MeasuredImages, Placement
from invgen.io.placement import centered
from invgen.noise import Gaussian
from invgen.operators import LinearOperator
from invgen.operators.imaging.noise_level import white_noise_level
from invgen.pipeline.reading import Reading
from invgen.pipeline.recipe import Recipe
from invgen.pipeline.slices import Read, Solved
from invgen.pipeline.work import Notice, Part, Work, named
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["Restoration"]

#: Of white, by how much values may leave the range from black to white, beside six deviations of the noise.
_BEYOND = 0.5
#: Fraction of the values that lie further below zero than the noise and this part of white, as in images from
#: -1 to 1; rings at edges are rarer.
_OFTEN, _DARK = 0.02, 0.1


class Restoration(Work):
    """Images one at a time."""

    kept = ", chosen on image {} and kept for all"
    pixel_size = 1.0
    modality = "image"

    def __init__(self, images: MeasuredImages, reading: Reading, recipe: Recipe) -> None:
        super().__init__(recipe, "imaging", "pixel", "tv")
        measuring = reading.measuring
        assert measuring is not None, "these are images"
        self._images, self._measuring, self.simulated = images, measuring, reading.simulate
        self._vectors = measuring.vectors and not reading.simulate
        self.count = images.slices
        if self.count == 1:
            self.kept = ""
        recipe, method = self.recipe, self.method
        if recipe.noise_std is not None and not 0 < recipe.noise_std < np.inf:
            raise ParameterError(f"--noise-std is positive; got {recipe.noise_std:g}.")
        if measuring.finds_colors and not method.loads_prior:
            raise ParameterError(
                f"--solver {method.name} knows no colors: --operator {measuring.word} takes a prior of color "
                "images, as in --solver diffpir --prior denoiser-color."
            )
        if self._vectors and recipe.size is None:
            raise ParameterError(f"--operator {measuring.text} takes the size of the image: --size HxW.")
        if recipe.size is not None and not self._vectors:
            raise ParameterError("--size is of images that vectors were measured of; here the file has it.")
        if "scale" in method.hyperparameters and recipe.scale is None:
            self.recipe = replace(recipe, scale=1.0)
        self._operator: LinearOperator | None = None

    def first(self, row: int, notice: Notice) -> Problem:
        """Problem of an image, once device and noise level are settled."""
        self._settle_device()
        if self.recipe.noise_std is None:
            if self.simulated:
                raise ParameterError("--simulate takes the noise to add: --noise-std.")
            with named(row, "Image"):
                found = self._noise_level(row)
            if found is None:
                raise ParameterError(
                    f"The noise level cannot be estimated from {self._images.path}: give its standard "
                    "deviation by --noise-std."
                )
            self.recipe = replace(self.recipe, noise_std=found)
            kept = self.kept.format(row)
            notice(f"Noise of standard deviation {found:.3g}, estimated from the image{kept}.")
        return self.on_device(self.read(range(row, row + 1)).problem)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of an image: (H, W), or in color (3, H, W)."""
        assert self._operator is not None, "there has been a first problem"
        return self._operator.domain.shape

    def placement(self, slices: range) -> Placement:
        """Images are one behind another, in pixels."""
        return centered(self.image_shape, 1.0, slices, 1.0, self.unit)

    @property
    def about(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @property
    def statistics(self) -> dict[str, Any]:
        """How the images were measured, and the noise."""
        return {"operator": self._measuring.text, "noise_std": self.recipe.noise_std}

    @property
    def channels(self) -> int | None:
        """Number of channels."""
        return 3 if len(self.image_shape) == 3 else None

    def groups(self, slices: range) -> Iterator[range]:
        """Each image alone."""
        return (slices[i : i + 1] for i in range(len(slices)))

    def compute(self, read: Read, part: Part) -> Reconstruction:
        """Restore an image."""
        with named(read.slices[0], "Image"):
            return self._solved(self.on_device(read.problem), part, read.slices)

    def whole(self, read: Read, result: Reconstruction) -> Solved:
        """The image, and how near it is to the one that was measured, where that is known."""
        image, truth = result.x.cpu(), read.extra
        samples = None if result.samples is None else result.samples[:, None].cpu()
        report = [
            f"{'simulated: ' if self.simulated else ''}{self._measuring.text}, noise of standard deviation "
            f"{self.recipe.noise_std:g}"
        ]
        psnr = []
        if truth is not None:
            # of all channels together
            rows = (x.reshape(-1, x.shape[-1]) for x in (image, truth))
            psnr = [float(metrics.psnr(*rows, data_range=self.recipe.scale or 1.0))]
            report.append(f"PSNR {psnr[0]:.2f} dB")

        def arranged(shown: torch.Tensor) -> torch.Tensor:
            return shown[None]

        plausible, bounds = self._judged(result, arranged), self._bounds(result, arranged, image[None])
        return Solved(image[None], samples, (tuple(report),), result.stats, tuple(psnr), plausible, bounds)

    def read(self, slices: range) -> Read:
        """The problem of an image, and the image where the measurement is simulated."""
        (row,), std = slices, self.recipe.noise_std
        assert std is not None, "it was settled first"
        with named(row, "Image"):
            measured = torch.from_numpy(self._images.measured(row))
            operator, noise = self._operator_of(measured), Gaussian(std)
            truth = None
            if self.simulated:
                self._check_range(measured)
                truth, measured = measured, noise.sample(operator(measured), self._noise_seed(row))
            elif not self._vectors:
                self._check_range(measured)
            return Read(slices, Problem(operator, measured, noise), (), truth)

    def _operator_of(self, measured: torch.Tensor) -> LinearOperator:
        """The operator that a measurement, or a simulated one's image, goes with."""
        shape = tuple(measured.shape)
        if not self.simulated:
            shape = self._size() if self._vectors else self._measuring.image_shape(shape)
        if self._operator is None:
            self._operator = self._measuring.operator(shape)
        if shape != self._operator.domain.shape:
            raise ShapeError(
                f"The images have the shapes {self._operator.domain.shape} and {shape}; those of one run "
                "have the same: choose them by --slices."
            )
        if self._vectors and measured.shape != self._operator.range.shape:
            raise ShapeError(
                f"{self._measuring.text} of {shape[0]} x {shape[1]} pixels gives "
                f"{self._operator.range.shape[0]} measurements; {self._images.path} holds {len(measured)}."
            )
        return self._operator

    def _size(self) -> tuple[int, int]:
        size = self.recipe.image_size
        assert size is not None, "vectors take it"
        return size

    def _noise_level(self, row: int) -> float | None:
        """The estimate from an image; None of vectors, and where there is too little to estimate from."""
        if self._vectors:
            return None
        measured = torch.from_numpy(self._images.measured(row))
        found = white_noise_level(measured, self._operator_of(measured).observed)
        return None if found is None else float(found)

    def _noise_seed(self, row: int) -> int:
        """Seed of the noise of an image: its numbers are not those that samplers draw from the recipe's."""
        seeds = np.random.SeedSequence([self.recipe.seed % 2**64, row])
        return int(seeds.generate_state(1)[0])

    def _check_range(self, values: torch.Tensor) -> None:
        """Refuse images of another unit than the prior's.

        Raises
        ------
        DataError
        """
        white = self.recipe.scale
        if white is None:
            return
        low, high = float(values.min()), float(values.max())
        beyond_noise = max(_DARK * white, 4 * (self.recipe.noise_std or 0.0))
        if low < -_BEYOND * white and float((values < -beyond_noise).double().mean()) > _OFTEN:
            raise DataError(
                f"the values are from {low:.3g} to {high:.3g}, many of them below zero by more than the "
                f"noise, and to the prior 0 is black and {white:g} is white: of images from -1 to 1 give "
                "(x + 1) / 2."
            )
        room = _BEYOND * white + 6 * (self.recipe.noise_std or 0.0)
        if low < -room or high > white + room:
            raise DataError(
                f"the values are from {low:g} to {high:g}, and to the prior 0 is black and {white:g} "
                "is white: --scale gives the value that is white."
            )
