"""Parallel-beam CT without inverse crime: few views, a limited angle, few photons; and score-based CT.

Objects are projected in closed form, chests on a finer grid than that of the reconstruction.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from torch.nn import functional as F

from invgen import phantoms
from invgen.bench.entries import entry, wavelets
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance
from invgen.bench.peers import peers
from invgen.bench.suite import Entry, Task, named
from invgen.bench.suites import data
from invgen.noise import Gaussian, Transmission
from invgen.operators import Radon
from invgen.problem import Problem

__all__ = ["CT", "Chests", "Objects", "Scan", "ct_limited", "ct_low_dose", "ct_sparse", "score_ct"]

#: Of Gaussian noise, in parts of the largest line integral.
_NOISE = 0.01
#: Of all entries those that take most of the time.
_SLOWEST = ("odl-tv", "deepinv-tv")
#: Seeds of objects from here on were not learned from by `ct-phantoms`.
_HELD_OUT = 1_000_000


@dataclass(frozen=True)
class Scan:
    """How a task scans.

    Attributes
    ----------
    views : int
        Equispaced over the arc, its end excluded.
    degrees : float
        The arc, from 0 on.
    photons : float, optional
        Counts without the object; without it, noise is Gaussian, 1 % of the largest line integral.
    """

    views: int
    degrees: float = 180.0
    photons: float | None = None

    @property
    def angles(self) -> tuple[float, ...]:
        """In radians."""
        return tuple(math.radians(self.degrees) * k / self.views for k in range(self.views))

    def noisy(self, clean: Tensor, seed: int) -> tuple[Tensor, Gaussian]:
        """Line integrals with noise, and what is known of it; of counts, their logarithms and weights."""
        if self.photons is None:
            noise = Gaussian(_NOISE * float(clean.max()))
            return noise.sample(clean, seed), noise
        counting = Transmission(self.photons)
        return counting.nearest_linear(counting.sample(clean, seed))


class Subject(Protocol):
    """Images of a kind, and their line integrals in units of the attenuation length."""

    @property
    def size(self) -> int:
        """Pixels of a side of the reconstruction."""

    @property
    def width(self) -> float:
        """Side of the image in attenuation lengths of the value one."""

    @property
    def data_range(self) -> float:
        """Largest value that there is; the smallest is zero."""

    @property
    def prior(self) -> str:
        """Which has learned such images."""

    @property
    def test(self) -> tuple[str, ...]:
        """Names of those reported on."""

    @property
    def tuning(self) -> tuple[str, ...]:
        """Names of those that knobs are tuned on."""

    def measured(self, folder: Path, image: str, angles: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        """Line integrals (views, detector) without noise, and the image (size, size)."""


@dataclass(frozen=True)
class Objects:
    """Random objects of seeds that no prior has learned from, and their projections in closed form."""

    images: int = 20
    size: int = 128
    width: float = 5.0
    data_range: float = 1.0
    prior: str = "ct-phantoms"

    @property
    def test(self) -> tuple[str, ...]:
        """The seeds from 200 on of those held out."""
        return tuple(f"object-{_HELD_OUT + 200 + i}" for i in range(self.images))

    @property
    def tuning(self) -> tuple[str, ...]:
        """Others: as many, at most four."""
        return tuple(f"object-{_HELD_OUT + 100 + i}" for i in range(min(self.images, 4)))

    def measured(self, folder: Path, image: str, angles: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        """The means over bins and over pixels."""
        return _object(int(image.removeprefix("object-")), self.size, self.width, angles)


@functools.lru_cache(maxsize=64)
def _object(seed: int, size: int, width: float, angles: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    thing = phantoms.random(seed, half_width=width / 2)
    g = _operator(size, width, angles).geometry
    clean = thing.sinogram(g.angles, g.detector_count, g.detector_spacing)
    return clean.float(), thing.image((size, size), g.pixel_size).float()


@dataclass(frozen=True)
class Chests:
    """Slices of patients on a grid twice as fine as the image's; values are attenuation over water's.

    `chest-ct` has not learned from the six patients reported on. The knobs are tuned on patients that it has
    learned from, which is no advantage of its entries: what is best there trusts it too much.
    """

    images: int = 6
    size: int = 256
    width: float = 7.2
    data_range: float = 2.5
    prior: str = "chest-ct"

    @property
    def test(self) -> tuple[str, ...]:
        """Of patients held out."""
        return tuple(f"chest-held-out-{i}" for i in range(self.images))

    @property
    def tuning(self) -> tuple[str, ...]:
        """Of two others."""
        return ("chest-learned-1", "chest-learned-5")[: self.images]

    def measured(self, folder: Path, image: str, angles: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        """Projections of the finer grid, and its means over the image's pixels."""
        return _chest(folder, image, self.size, self.width, angles)


@functools.lru_cache(maxsize=64)
def _chest(
    folder: Path, image: str, size: int, width: float, angles: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    kind, _, number = image.removeprefix("chest-").rpartition("-")
    learned, held_out = data.chests(folder)
    fine = (held_out if kind == "held-out" else learned)[int(number)]
    fine = F.avg_pool2d(fine[None], len(fine) // (2 * size))[0]
    g = _operator(size, width, angles).geometry
    scanner = Radon(
        (2 * size, 2 * size), angles, g.detector_count, g.detector_spacing, pixel_size=g.pixel_size / 2
    )
    return scanner(fine), F.avg_pool2d(fine[None], 2)[0]


def _operator(size: int, width: float, angles: tuple[float, ...]) -> Radon:
    return Radon((size, size), angles, pixel_size=width / size)


@dataclass(frozen=True)
class CT(ImageSuite):
    """Images of a subject, scanned in several ways.

    Attributes
    ----------
    data : path
        Folder of data, which only measured subjects need.
    name, about : str
    axis : str
        What sets its tasks apart: "views", "degrees" or "photons".
    subject : Objects or Chests
    scans : tuple of Scan
        One for each task.
    samples : int
        Of samplers.
    sampling : mapping
        Hyper-parameters of samplers.
    methods : tuple of str
        Which compete, by their names; all where there is none.
    """

    data: Path
    name: str
    about: str
    axis: str
    subject: Subject
    scans: tuple[Scan, ...]
    samples: int = 8
    sampling: Mapping[str, Any] = field(
        default_factory=lambda: {"iterations": 30, "scale": 1.0, "sigma_range": (0.003, 0.5)}
    )
    methods: tuple[str, ...] = ()
    use = "parallel"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each scan."""
        return tuple(
            Task(f"{value:g} {self.axis}", self.subject.test, self.subject.tuning, {self.axis: value})
            for value in (getattr(scan, self.axis) for scan in self.scans)
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Classical methods, plug-and-play and posterior samplers by the subject's prior, other packages."""
        prior, add, levels = self.subject.prior, self.from_table, self.sampling["iterations"]
        guided = {"iterations": 4 * levels, "sigma_range": None}
        langevin = {"iterations": 3 * levels - 1, "sigma_range": None}
        every = (
            add("fbp"),
            add("cg"),
            add("sirt"),
            add("tv", nonnegative=True),
            wavelets(),
            entry("pnp-hqs", "imaging", "non-local-means", scale=1.0),
            entry("pnp-hqs", "imaging", prior, scale=1.0),
            add("diffpir", prior),
            add("dds", prior),
            add("dps", prior, **guided),
            add("split-gibbs", prior, iterations=3 * levels // 2, rho_range=(0.04, 5.0), antithetic=True),
            add("preconditioned-langevin", prior, **langevin, antithetic=True),
            add("predictor-corrector", prior),
            *peers(self.use),
        )
        return named(every, self.methods)

    def quick(self) -> CT:
        """One image at a coarse resolution in one task, few levels and samples, without the slowest peers."""
        return replace(
            self,
            subject=replace(self.subject, size=64, images=1),  # type: ignore[type-var]
            scans=self.scans[1:2],
            samples=2,
            sampling={**self.sampling, "iterations": 6},
            methods=tuple({each.name: None for each in self.entries if each.name not in _SLOWEST}),
        )

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """An image and its scan."""
        scan = self.scans[[known.name for known in self.tasks].index(task.name)]
        clean, truth = self.subject.measured(self.data, image, scan.angles)
        measurement, noise = scan.noisy(clean, data.own_seed(seed, image))
        A = _operator(self.subject.size, self.subject.width, scan.angles)
        problem = Problem(A, measurement, noise)
        return Instance(problem, truth, self.subject.data_range, float(truth.max()))


_OF_OBJECTS = (
    "random objects of 128x128 pixels, projected in closed form; of seeds that ct-phantoms has not learned "
    "from, tuning on other seeds"
)


def ct_sparse(data: Path) -> CT:
    """From few views."""
    about = f"CT from few views over 180 degrees, noise 1 % of the largest line integral: {_OF_OBJECTS}."
    return CT(data, "ct-sparse", about, "views", Objects(), tuple(map(Scan, (15, 30, 60, 120))))


def ct_limited(data: Path) -> CT:
    """From a limited angle."""
    about = (
        "CT from a limited angle, a view for every degree, noise 1 % of the largest line integral: "
        f"{_OF_OBJECTS}."
    )
    scans = tuple(Scan(int(arc), arc) for arc in (60.0, 90.0, 120.0, 150.0))
    return CT(data, "ct-limited", about, "degrees", Objects(), scans)


def ct_low_dose(data: Path) -> CT:
    """From few photons."""
    about = (
        "CT from few photons, 180 views, Poisson counts I0 exp(-line integral); methods see the logarithms, "
        f"weighted by the counts: {_OF_OBJECTS}."
    )
    scans = tuple(Scan(180, photons=count) for count in (1e2, 1e3, 1e4))
    return CT(data, "ct-low-dose", about, "photons", Objects(), scans)


def score_ct(data: Path) -> CT:
    """Over the number of views, Song et al. (2022), "Solving inverse problems in medical imaging"."""
    about = (
        "Score-based CT over the number of views, as Song et al. (2022): slices of patients held out from "
        "chest-ct, 256x256, projected on a grid twice as fine, noise 1 % of the largest line integral; "
        "tuning on two other patients."
    )
    methods = ("fbp", "tv", "wavelets", "pnp-hqs", "diffpir", "dds", "predictor-corrector", "astra-sirt")
    scans = tuple(map(Scan, (10, 20, 40, 80)))
    return CT(data, "score-ct", about, "views", Chests(images=3), scans, samples=4, methods=methods)
