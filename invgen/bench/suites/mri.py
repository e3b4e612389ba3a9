"""Cartesian MRI by eight coils, without inverse crime, of anatomy that the prior has and has not seen.

Images are drawn on a grid twice as fine, given a smooth phase, seen by the coils there, and k-space is cut to
what is measured: no image on the reconstruction's grid gives exactly these data. The truth is the image of
all of that k-space.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from scipy.ndimage import binary_closing, binary_fill_holes, map_coordinates
from torch import Tensor
from torch.nn import functional as F

from invgen import phantoms
from invgen.bench.entries import wavelets
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance
from invgen.bench.peers import peers
from invgen.bench.suite import Entry, Task, named
from invgen.bench.suites import data
from invgen.noise import Gaussian
from invgen.operators import MRI, Fourier, sampling
from invgen.problem import Problem

__all__ = ["Acquisition", "CartesianMRI", "langevin_mri", "mri_lines", "mri_r4", "mri_r8"]

Anatomy = Literal["head", "t2", "chest", "phantom"]

#: Standard deviation of real and imaginary part of the noise; the brightest tissue is about one.
_NOISE = 0.01
_COILS = 8
#: The field of view is that which `brain-mr` has learned: 256 x 192 pixels of 0.9 mm.
_SHAPE = (256, 192)

#: Images of each anatomy, by the numbers of their slices.
_TEST: dict[Anatomy, tuple[int, ...]] = {
    "head": (5, 9, 13, 17),
    "t2": (60, 75, 90, 105),
    "chest": (0, 1, 2, 3),
    "phantom": (0, 1, 2, 3),
}
#: And those that knobs are tuned on, whatever the anatomy that is reported on.
_TUNING: dict[bool, tuple[str, ...]] = {False: ("head-7", "head-15"), True: ("phantom-10", "phantom-11")}


@dataclass(frozen=True)
class Acquisition:
    """What a task measures.

    Attributes
    ----------
    acceleration : int
    pattern : str
        "poisson", a Poisson disc of two phase encodings, or "lines", random ones of one phase encoding.
    anatomy : str
        "head", T1-weighted, of a patient held out; "t2", another, T2-weighted, without the skull; "chest", a
        slice of CT taken for the magnitude of an MR image; "phantom", drawn ellipses.
    """

    acceleration: int
    pattern: Literal["poisson", "lines"] = "poisson"
    anatomy: Anatomy = "head"

    @property
    def name(self) -> str:
        """As tasks are called."""
        lines = ", lines" if self.pattern == "lines" else ""
        return f"{self.anatomy}, R = {self.acceleration}{lines}"

    @functools.lru_cache(maxsize=64)  # noqa: B019 (acquisitions are few)
    def mask(self, shape: tuple[int, int]) -> Tensor:
        """Where k-space is sampled."""
        if self.pattern == "lines":
            return sampling.random_lines(shape, self.acceleration, center_fraction=0.04, seed=0)
        return sampling.poisson_disc(shape, self.acceleration, seed=0)


@dataclass(frozen=True)
class CartesianMRI(ImageSuite):
    """Slices seen by eight coils, undersampled in several ways.

    Attributes
    ----------
    data : path
        Folder of data, which phantoms do not need.
    name, about : str
    acquisitions : tuple of Acquisition
        One for each task.
    shape : (int, int)
        Of the image; its field of view is always the same.
    images : int
        Of each anatomy, at most four.
    samples : int
        Of samplers.
    sampling : mapping
        Hyper-parameters of samplers.
    step_size : float
        Of `PreconditionedLangevin`: intervals cover 0.88 to 0.92 of the tuning images.
    methods : tuple of str
        Which compete, by their names; all where there is none.
    """

    data: Path
    name: str
    about: str
    acquisitions: tuple[Acquisition, ...]
    shape: tuple[int, int] = _SHAPE
    images: int = 4
    samples: int = 8
    sampling: Mapping[str, Any] = field(
        default_factory=lambda: {"iterations": 30, "scale": 1.0, "sigma_range": (0.002, 0.3)}
    )
    step_size: float = 0.12
    methods: tuple[str, ...] = ()
    use = "cartesian"
    prior = "brain-mr"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each acquisition."""
        return tuple(
            Task(
                each.name,
                tuple(f"{each.anatomy}-{i}" for i in _TEST[each.anatomy][: self.images]),
                _TUNING[each.anatomy == "phantom"][: self.images],
                {"acceleration": each.acceleration, "anatomy": each.anatomy},
            )
            for each in self.acquisitions
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Linear and sparse reconstructions, posterior samplers, other packages."""
        add, prior, levels = self.from_table, self.prior, self.sampling["iterations"]
        # chosen on the tuning images, as the step: a lower last level has better images, intervals too narrow
        langevin = {"iterations": 3 * levels - 1, "sigma_range": (0.014, 25.0), "step_size": self.step_size}
        every = (
            add("zero-filled"),
            add("cg-sense"),
            add("tv"),
            wavelets(),
            add("diffpir", prior),
            add("dds", prior),
            add("split-gibbs", prior, iterations=3 * levels // 2, rho_range=(0.02, 0.3), antithetic=True),
            add("preconditioned-langevin", prior, **langevin, antithetic=True),
            add("annealed-langevin", prior),
            *peers(self.use),
        )
        return named(every, self.methods)

    def quick(self) -> CartesianMRI:
        """One phantom at a coarse resolution in one task, few levels and samples."""
        sampling = {**self.sampling, "iterations": 6}
        acquisition = replace(self.acquisitions[len(self.acquisitions) // 2], anatomy="phantom")
        return replace(
            self, acquisitions=(acquisition,), shape=(64, 48), images=1, samples=2, sampling=sampling
        )

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """A slice and its k-space."""
        acquisition = next(each for each in self.acquisitions if each.name == task.name)
        mask = acquisition.mask(self.shape)
        kspace, truth, seen = _measured(self.data, image, self.shape)
        noise = Gaussian(_NOISE)
        measurement = noise.sample(kspace, data.own_seed(seed, image)) * mask
        problem = Problem(MRI(self.shape, mask, _coil_maps(self.shape)), measurement, noise)
        return Instance(problem, truth, 1.0, float(truth.abs().max()), seen)


@functools.lru_cache(maxsize=64)
def _measured(folder: Path, image: str, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """k-space of all coils without noise, the image of all of it, and where there is tissue."""
    height, width = 2 * shape[0], 2 * shape[1]
    fine, (rows, columns) = (height, width), _places((height, width))
    phase = 1.5 * torch.cos(2 * rows + columns) + math.pi * columns * rows
    drawn = torch.polar(_magnitude(folder, image, fine), phase)

    def cut(x: Tensor) -> Tensor:
        top, left = shape[0] // 2, shape[1] // 2
        return Fourier(fine)(x)[..., top : top + shape[0], left : left + shape[1]] / 2

    truth = Fourier(shape).H(cut(drawn))
    # brighter than a twentieth, and what that surrounds
    seen = binary_fill_holes(binary_closing(truth.abs().numpy() > 0.05, iterations=2))
    return cut(_coil_maps(fine) * drawn), truth, torch.from_numpy(seen)


def _magnitude(folder: Path, image: str, fine: tuple[int, int]) -> Tensor:
    """An image by its name on the fine grid, about one where tissue is brightest."""
    anatomy, _, number = image.rpartition("-")
    if anatomy == "phantom":
        phantom = phantoms.head(int(number), half_width=0.45 * fine[1])
        return phantom.image(fine, 1.0, supersample=2).clamp(0, 1).float()
    if anatomy == "chest":
        slices = data.chests(folder)[1][int(number)][None, None] / 1.5
        across = F.interpolate(slices, size=(fine[1], fine[1]), mode="bilinear", antialias=True)[0, 0]
        return F.pad(across.clamp(max=1), (0, 0, (fine[0] - fine[1]) // 2, (fine[0] - fine[1]) // 2))
    path, pixel_size = {
        "head": ("heads/i_t1_tumour.nii.gz", 0.78125),
        "t2": ("heads/c_t2_stripped.nii.gz", 1.0),
    }[anatomy]
    drawn = data.head(folder, path, pixel_size)[int(number)]
    if drawn.shape == fine:
        return drawn
    grid = torch.meshgrid(
        *(torch.arange(n) * m / n for n, m in zip(fine, _SHAPE, strict=True)), indexing="ij"
    )
    return torch.from_numpy(map_coordinates(drawn.numpy(), torch.stack(grid).numpy(), order=3))


def _places(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows and columns of pixels from -1 to 1, zero at the pixel ``N // 2``."""
    rows, columns = ((torch.arange(n) - n // 2) / (n / 2) for n in shape)
    return rows[:, None].expand(shape), columns[None].expand(shape)


@functools.lru_cache(maxsize=4)
def _coil_maps(shape: tuple[int, int]) -> Tensor:
    """Smooth maps of coils around the field of view, whose squares sum to one."""
    rows, columns = _places(shape)
    turns = [2 * math.pi * c / _COILS for c in range(_COILS)]
    maps = torch.stack(
        [
            torch.exp(-((columns - math.cos(t)) ** 2) - (rows - math.sin(t)) ** 2 + 1j * (t + columns))
            for t in turns
        ]
    )
    return maps / torch.linalg.vector_norm(maps, dim=0)


_OF_HEADS = (
    "eight coils, noise 0.01 of the brightest tissue, 256x192, drawn on a grid twice as fine: slices of a "
    "patient held out from brain-mr, tuning on others of the same patient; counted within the head"
)


def mri_r4(data: Path) -> CartesianMRI:
    """An acceleration of four."""
    return CartesianMRI(data, "mri-r4", f"MRI, Poisson disc of R = 4, {_OF_HEADS}.", (Acquisition(4),))


def mri_r8(data: Path) -> CartesianMRI:
    """An acceleration of eight."""
    return CartesianMRI(data, "mri-r8", f"MRI, Poisson disc of R = 8, {_OF_HEADS}.", (Acquisition(8),))


def mri_lines(data: Path) -> CartesianMRI:
    """Random lines of one phase encoding."""
    acquisitions = tuple(Acquisition(r, "lines") for r in (4, 8))
    about = f"MRI, random lines of one phase encoding, {_OF_HEADS}."
    return CartesianMRI(data, "mri-lines", about, acquisitions, step_size=0.08)


def langevin_mri(data: Path) -> CartesianMRI:
    """Over the acceleration, as Jalal et al. (2021), "Robust compressed sensing MRI".

    In distribution, and out of it: with another contrast and of another organ.
    """
    about = (
        "Posterior sampling by Langevin dynamics against l1 wavelets over the acceleration, as Jalal et al. "
        "(2021): eight coils, noise 0.01 of the brightest tissue, Poisson discs, 128x96 pixels, drawn on a "
        "grid twice as fine. In distribution: slices of a patient held out from brain-mr, tuning on "
        "others of the same patient. Out of distribution, with the same knobs: another head, T2-weighted and "
        "without the skull; and chests."
    )
    acquisitions = tuple(
        Acquisition(r, anatomy=anatomy) for anatomy in ("head", "t2", "chest") for r in (2, 4, 6, 8, 10, 12)
    )
    methods = ("zero-filled", "cg-sense", "tv", "wavelets", "annealed-langevin", "diffpir", "sigpy-wavelets")
    return CartesianMRI(
        data, "langevin-mri", about, acquisitions, (128, 96), images=3, samples=4, methods=methods
    )
