"""The protocol of DM4CT (Shi, Pelt and Batenburg 2026) on its data and weights, where a user has them.

As github.com/DM4CT/DM4CT has it: slices of 512x512 pixels with values from -1 to 1; n views from 0 to pi,
both included; a detector of as many bins as pixels, which does not see the corners; no noise, or counts
behind an object that is scaled to a transmittance of one half, whose logarithms are the data; the model that
reconstructs made the data. PSNR and SSIM are scikit-image's with the range 2, SSIM in square windows of 7
pixels: here the measures "psnr" and "ssim_fastmri".

What is different: methods see images as ``(x + 1) / 2``, which all priors and penalties here expect, and
measurements of these. Rays are Joseph's, which are those of ASTRA's GPU code up to its interpolation by
textures. Where there is no noise, methods are told of one of a thousandth.

The folder of data holds ``dm4ct/<name>/test`` and ``train``, the slices as the repository's
``preprocess_<name>.py`` writes them, and the weights as ``dm4ct/<name>_pixel_diffusion``, a folder of
diffusers of huggingface.co/jiayangshi.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from invgen.bench.entries import wavelets
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance, shown
from invgen.bench.peers import peers
from invgen.bench.suite import Entry, Task
from invgen.bench.suites import data
from invgen.core.errors import DataError
from invgen.noise import Gaussian
from invgen.operators import Radon
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["DM4CT", "Configuration", "lodochallenge", "lodoind"]

#: Mean of the line integrals that the object is scaled to: a transmittance of one half.
_MEAN = math.log(2)
#: What methods are told of the noise where there is none, in parts of the largest line integral.
_TOLD = 1e-3


@dataclass(frozen=True)
class Configuration:
    """Views, and counts without the object; None is no noise."""

    views: int
    photons: float | None = None

    @property
    def name(self) -> str:
        """As tasks are called."""
        return f"{self.views} views" + (f", {self.photons:g} photons" if self.photons else "")

    @property
    def axes(self) -> dict[str, float | str]:
        """Of the task."""
        return {"views": self.views, "photons": self.photons or math.inf}

    def operator(self, size: int) -> Radon:
        """Projections of all of the image, of which the detector sees its own width."""
        angles = np.linspace(0, math.pi, self.views)
        return Radon((size, size), angles, detector_count=size, fov="image", method="joseph")

    def measured(self, image: Tensor, seed: int) -> tuple[Tensor, Gaussian]:
        """Line integrals of an image with values from -1 to 1, and what is known of their noise."""
        clean = self.operator(len(image))(image)
        if self.photons is None:
            return clean, Gaussian(_TOLD * float(clean.abs().max()))
        scale = _MEAN / clean.double().mean()
        generator = torch.Generator().manual_seed(seed)
        counts = torch.poisson(self.photons * torch.exp(-scale * clean.double()), generator=generator).clamp(
            1
        )
        noisy = -torch.log(counts / self.photons) / scale
        return noisy.float(), Gaussian((1 / (scale.abs() * counts.sqrt())).float())


@dataclass(frozen=True)
class DM4CT(ImageSuite):
    """One of its data sets.

    Attributes
    ----------
    data : path
        Folder of data, with "dm4ct" in it.
    dataset : str
        "lodochallenge" or "lodoind".
    images : int
        The first of the test slices.
    pooling : int
        How many pixels a side are averaged; the protocol has one.
    configurations : tuple of Configuration
    samples : int
    sampling : mapping
        Hyper-parameters of samplers.
    """

    data: Path
    dataset: str
    images: int = 10
    pooling: int = 1
    configurations: tuple[Configuration, ...] = (
        Configuration(20),
        Configuration(40),
        Configuration(40, 10000.0),
        Configuration(40, 5000.0),
    )
    samples: int = 1
    sampling: Mapping[str, Any] = field(default_factory=lambda: {"iterations": 100, "scale": 1.0})
    use = "parallel"

    @property
    def name(self) -> str:  # type: ignore[override]
        """As on the command line."""
        return f"dm4ct-{self.dataset}"

    @property
    def about(self) -> str:  # type: ignore[override]
        """The split is that of the repository."""
        return (
            f"DM4CT (Shi et al. 2026), {self.dataset}: CT by its model, from 20 and 40 views and from "
            "counts; its test slices, tuning on two of its training slices."
        )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each configuration.

        Raises
        ------
        FileError
            Where there are no slices.
        """
        test, training = self._slices("test")[: self.images], self._slices("train")[:2]
        return tuple(Task(each.name, test, training, each.axes) for each in self.configurations)

    def _slices(self, split: str) -> tuple[str, ...]:
        folder = self.data / "dm4ct" / self.dataset / split
        found = tuple(f"{split}/{path.stem}" for path in sorted(folder.glob("*.tif")))
        if not found:
            raise data.absent(self.data, f"dm4ct/{self.dataset}/{split}/*.tif")
        return found

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its baselines, those of its diffusion methods that are here, and other packages."""
        weights = self.data / "dm4ct" / f"{self.dataset}_pixel_diffusion"
        missing = (
            None
            if weights.is_dir()
            else f"there are no weights {weights}: they are jiayangshi/{weights.name} on huggingface.co"
        )
        add = self.from_table
        learned = [
            add("dps", str(weights), iterations=10 * self.sampling["iterations"]),
            *(add(name, str(weights)) for name in ("pigdm", "red-diff", "dds", "diffpir")),
        ]
        return (
            add("fbp"),
            add("sirt"),
            add("tv", nonnegative=True),
            wavelets(),
            *(replace(entry, missing=missing) for entry in learned),
            *peers(self.use),
        )

    def quick(self) -> DM4CT:
        """One image of one configuration, at an eighth of the resolution."""
        sampling = {**self.sampling, "iterations": 6}
        return replace(self, images=1, pooling=8, configurations=self.configurations[1:2], sampling=sampling)

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """A slice and its measurement, both as of values from 0 to 1."""
        configuration = next(each for each in self.configurations if each.name == task.name)
        truth = _read(data.file(self.data, f"dm4ct/{self.dataset}/{image}.tif"), self.pooling)
        measurement, noise = configuration.measured(truth, data.own_seed(seed, image))
        A = configuration.operator(len(truth))
        shifted = (measurement + A(torch.ones_like(truth))) / 2
        return Instance(Problem(A, shifted, noise.scaled(0.5)), (truth + 1) / 2, 1.0, 1.0)

    def measures(self, result: Reconstruction, given: Instance, seed: int) -> dict[str, float]:
        """As of any image, but SSIM of values from -1 to 1: it is not the same where all are moved."""
        from skimage.metrics import structural_similarity

        pair = [(2 * shown(image) - 1).numpy() for image in (given.truth, result.x)]
        similarity = float(structural_similarity(*pair, data_range=2.0))
        return {**super().measures(result, given, seed), "ssim_fastmri": similarity}


@functools.lru_cache(maxsize=32)
def _read(path: Path, pooling: int) -> Tensor:
    """A slice, values from -1 to 1.

    Raises
    ------
    DataError
        For values of another range, and for slices that are not square.
    """
    import tifffile

    found = torch.from_numpy(np.asarray(tifffile.imread(path), dtype=np.float32)).squeeze()
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise DataError(f"{path} is no square slice: its shape is {tuple(found.shape)}.")
    if not bool((found.abs() <= 1 + 1e-4).all()):
        raise DataError(f"{path} has values outside of -1 to 1, to which DM4CT scales its slices.")
    return F.avg_pool2d(found[None], pooling)[0]


def lodochallenge(data: Path) -> DM4CT:
    """Chests and abdomens of the Low Dose CT Grand Challenge."""
    return DM4CT(data, "lodochallenge")


def lodoind(data: Path) -> DM4CT:
    """Industrial CT of LoDoInd."""
    return DM4CT(data, "lodoind")
