"""Linear problems of InverseBench (Zheng et al. 2025) on its data and weights, where a user has them.

As github.com/devzhk/InverseBench has them, arXiv:2503.11043:

- Inverse scattering. Cells of 128x128 pixels, values from 0 to 1, in a square of 0.18 m; a wavelength of six
  pixels; 20 transmitters and 360, 180 or 60 receivers on a circle of 1.6 m, at angles from 0 to 359 degrees,
  both included. The field of a transmitter is conjugated, as in its ``full_propagate_to_sensor``. Noise of
  1e-4 is that of ``torch.randn_like`` of complex data: real and imaginary part have 1e-4 / sqrt(2) each.
- MRI. Knees of fastMRI, 320x320 pixels, by all coils, with the ESPIRiT maps that are stored beside; image and
  k-space are over the 99 % quantile of the image's modulus. Random lines of one phase encoding, R = 4 with
  8 % and R = 8 with 4 % in the middle; k-space as it was measured, or simulated by the maps without noise.
  The seed of a problem is that of its mask: 0, the protocol's, unless others are asked for.

PSNR and SSIM are those of piq after images are clipped to between zero and the range, which is one in
scattering and the largest modulus of the truth in MRI. SSIM has a Gaussian window of 1.5 pixels.

What is different: methods see complex MR images, and cells as values from 0 to 1. In MRI they are told of the
noise that `MRI.estimate_noise` finds in the data, and of 0.001 where there is none.

The folder of data holds ``inversebench/inv-scatter-test`` and ``inv-scatter-val``, ``knee_test_lmdb`` and
``knee_val_lmdb``, all of LMDB, and the weights, converted as the entries say that miss them.
"""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from invgen.bench.entries import entry, wavelets
from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import Instance, shown
from invgen.bench.peers import peers
from invgen.bench.suite import Entry, Task
from invgen.bench.suites import data
from invgen.core.errors import CapabilityError, DataError, FileError
from invgen.metrics import ssim
from invgen.noise import Gaussian
from invgen.operators import MRI, Fourier, LinearScattering, cylindrical_waves
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction

__all__ = ["Acquisition", "InverseBench", "KneeMRI", "Scattering", "lines"]

#: Pixels a side, and the side in meters, of the square with the cell.
_PIXELS, _SIDE = 128, 0.18
#: Wavelength in pixels, and radius in meters of the circle of transmitters and receivers.
_WAVELENGTH, _RADIUS, _TRANSMITTERS = 6, 1.6, 20
#: Standard deviation of the complex noise of scattering.
_NOISE = 1e-4

#: Size of the knees.
_KNEE = (320, 320)
#: What methods are told of the noise of k-space that was simulated without, the image being about one.
_TOLD = 1e-3

#: What piq adds to the mean squared error of images of range one.
_PIQ = 1e-8


@dataclass(frozen=True)
class InverseBench(ImageSuite):
    """What both problems share.

    Attributes
    ----------
    data : path
        Folder of data, with "inversebench" in it.
    images : int
        The first of the test images.
    samples : int
    sampling : mapping
        Hyper-parameters of samplers.
    """

    data: Path
    images: int = 100
    samples: int = 1
    sampling: Mapping[str, Any] = field(default_factory=lambda: {"iterations": 100, "scale": 1.0})
    #: The published weights, and what is to be said of them when they are converted.
    weights: ClassVar[str]
    settings: ClassVar[str] = ""

    @property
    @abstractmethod
    def entries(self) -> tuple[Entry, ...]:
        """Its baselines, and those of its diffusion methods that are here."""

    def learned(self, *names: str) -> tuple[Entry, ...]:
        """Samplers with the published prior; where it is not there, they say how it is made."""
        published = self.data / "inversebench" / self.weights
        converted = published.with_suffix(".safetensors")
        missing = (
            None
            if converted.is_file()
            else f"there are no weights {converted}: convert {self.weights} of "
            "https://github.com/devzhk/InverseBench/releases/tag/diffusion-prior by "
            f"invgen.priors.load({str(published)!r}{self.settings}).save({str(converted)!r})"
        )
        more = {"dps": {"iterations": 10 * self.sampling["iterations"]}}
        every = (self.from_table(name, str(converted), **more.get(name, {})) for name in names)
        return tuple(replace(each, missing=missing) for each in every)

    def measures(self, result: Reconstruction, given: Instance, seed: int) -> dict[str, float]:
        """As of any image, but PSNR and SSIM of images that are clipped to the range."""
        x, truth = (shown(y).clamp(0, given.data_range) / given.data_range for y in (result.x, given.truth))
        own = {
            "psnr": -10 * math.log10(float((x - truth).square().mean()) + _PIQ),
            "ssim": float(ssim(x, truth, data_range=1.0)),
        }
        return {**super().measures(result, given, seed), **own}

    def split(self, place: str, tuning: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the test images, and of this number of validation images to tune on, of two LMDBs."""
        test, val = (
            tuple(f"{name}/{i}" for i in range(min(most, _count(self.data, place.format(name)))))
            for name, most in (("test", self.images), ("val", tuning))
        )
        return test, val


@dataclass(frozen=True)
class Scattering(InverseBench):
    """Linear inverse scattering.

    Attributes
    ----------
    receivers : tuple of int
        A task for each number.
    """

    receivers: tuple[int, ...] = (360, 180, 60)
    name = "inversebench-scattering"
    about = (
        "InverseBench (Zheng et al. 2025), linear inverse scattering of cells, 20 transmitters and 360, 180 "
        "and 60 receivers, noise 1e-4: its test images, tuning on the first three of its validation images."
    )
    use = "imaging"
    weights = "in-scatter-5m.pt"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each number of receivers.

        Raises
        ------
        FileError
            Where there are no images.
        CapabilityError
            Where the package lmdb is not installed.
        """
        test, tuning = self.split("inv-scatter-{}", 3)
        return tuple(Task(f"{n} receivers", test, tuning, {"receivers": n}) for n in self.receivers)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Of its samplers DDRM and DDNM need singular vectors, which take hours for each image."""
        slow = "the singular value decomposition for 128x128 pixels takes too long to be made for each image"
        add = self.from_table
        return (
            add("cg"),
            add("tv", nonnegative=True),
            wavelets(),
            entry("pnp-hqs", self.use, "non-local-means"),
            *self.learned("dps", "daps", "diffpir", "pigdm", "red-diff", "split-gibbs", "dds"),
            *(replace(each, missing=slow) for each in self.learned("ddrm", "ddnm")),
        )

    def quick(self) -> Scattering:
        """One image and the fewest receivers."""
        sampling = {**self.sampling, "iterations": 6}
        return replace(self, images=1, receivers=self.receivers[-1:], sampling=sampling)

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """A cell, and the fields that it scatters."""
        truth = _cell(self.data, image)
        A = LinearScattering(*_fields(int(task.axes["receivers"])))
        noise = Gaussian(_NOISE / math.sqrt(2))
        measurement = noise.sample(A(truth.double()), data.own_seed(seed, image)).to(torch.complex64)
        return Instance(Problem(A, measurement, noise), truth, 1.0, 1.0)


@dataclass(frozen=True)
class Acquisition:
    """What a task of MRI measures.

    Attributes
    ----------
    acceleration : int
    simulated : bool
        By the maps, from the image; else as the scanner measured it.
    """

    acceleration: int
    simulated: bool

    @property
    def name(self) -> str:
        """As tasks are called."""
        return f"R = {self.acceleration}, {self.axes['k-space']}"

    @property
    def axes(self) -> dict[str, float | str]:
        """Of the task."""
        return {"acceleration": self.acceleration, "k-space": "simulated" if self.simulated else "measured"}


@dataclass(frozen=True)
class KneeMRI(InverseBench):
    """Multi-coil MRI of knees.

    Attributes
    ----------
    acquisitions : tuple of Acquisition
        One for each task.
    """

    acquisitions: tuple[Acquisition, ...] = tuple(
        Acquisition(r, simulated) for simulated in (True, False) for r in (4, 8)
    )
    name = "inversebench-mri"
    about = (
        "InverseBench (Zheng et al. 2025), knees of fastMRI by all coils, random lines of R = 4 and 8, "
        "k-space as simulated and as measured: its test slices, tuning on six of its validation slices."
    )
    use = "cartesian"
    weights = "mri-knee.pt"
    settings = ", field='complex'"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each acquisition.

        Raises
        ------
        FileError
            Where there are no slices.
        CapabilityError
            Where the package lmdb is not installed.
        """
        test, tuning = self.split("knee_{}_lmdb/mvue", 6)
        return tuple(Task(each.name, test, tuning, each.axes) for each in self.acquisitions)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Annealed Langevin dynamics are its CSGM-MRI, the predictor-corrector its ScoreMRI."""
        add = self.from_table
        return (
            add("zero-filled"),
            add("cg-sense"),
            add("tv"),
            wavelets(),
            *self.learned("annealed-langevin", "predictor-corrector", "dps", "daps", "diffpir"),
            *self.learned("red-diff", "split-gibbs", "dds"),
            *peers(self.use),
        )

    def quick(self) -> KneeMRI:
        """One slice, as it was measured, by the least acceleration."""
        sampling = {**self.sampling, "iterations": 6}
        measured = tuple(each for each in self.acquisitions if not each.simulated)
        return replace(self, images=1, acquisitions=measured[:1], sampling=sampling)

    def instance(self, task: Task, image: str, seed: int) -> Instance:
        """A slice, and its k-space on the lines of a mask."""
        acquisition = next(each for each in self.acquisitions if each.name == task.name)
        truth, maps, measured = _knee(self.data, image)
        kspace = Fourier(_KNEE)(maps * truth) if acquisition.simulated else measured
        mask = lines(_KNEE[1], acquisition.acceleration, seed)
        A, y = MRI(_KNEE, mask, maps), kspace * mask
        noise = _TOLD if acquisition.simulated else A.estimate_noise(y)
        assert noise is not None  # there are samples enough
        peak = float(truth.abs().max())
        return Instance(Problem(A, y, Gaussian(float(noise))), truth, peak, peak)


def lines(count: int, acceleration: int, seed: int) -> Tensor:
    """Its mask, ``MultiCoilMRI.get_mask``: lines in the middle, and others drawn without replacement.

    Parameters
    ----------
    count : int
        Of all lines.
    acceleration : int
        R: ``count // R`` lines are measured, 8 % in the middle up to R = 6, then 4 %.
    seed : int
        Of NumPy's old generator, whose draws are part of the protocol.

    Returns
    -------
    bool tensor, shape (count,)
    """
    middle = math.floor((0.08 if acceleration <= 6 else 0.04) * count)
    center = np.arange((count - middle) // 2, (count + middle) // 2)
    outer = np.setdiff1d(np.arange(count), center)
    drawn = np.random.RandomState(seed).choice(outer, count // acceleration - middle, replace=False)
    mask = torch.zeros(count, dtype=torch.bool)
    mask[np.concatenate([center, drawn])] = True
    return mask


@functools.lru_cache(maxsize=3)
def _fields(receivers: int) -> tuple[Tensor, Tensor]:
    """Conjugated fields of the transmitters, and Green's functions of the receivers.

    The latter times the squared wavenumber and the area of a pixel.
    """
    pixel = _SIDE / _PIXELS
    wavelength = _WAVELENGTH * pixel

    def around(count: int) -> Tensor:
        angles = np.radians(np.linspace(0, 359, count))
        places = _RADIUS * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        return cylindrical_waves((_PIXELS, _PIXELS), pixel, wavelength, places)

    return around(_TRANSMITTERS).conj(), (2 * math.pi / wavelength * pixel) ** 2 * around(receivers)


@functools.lru_cache(maxsize=32)
def _cell(folder: Path, image: str) -> Tensor:
    """A cell, shape (128, 128)."""
    split, _, key = image.partition("/")
    found = _stored(folder, f"inv-scatter-{split}", key, np.float32, (_PIXELS, _PIXELS), one=True)[0]
    if not bool(((found >= -1e-3) & (found <= 1 + 1e-3)).all()):
        raise DataError(f"The cell {image} of InverseBench has values outside of 0 to 1.")
    return found


@functools.lru_cache(maxsize=4)
def _knee(folder: Path, image: str) -> tuple[Tensor, Tensor, Tensor]:
    """A slice (320, 320) over the 99 % quantile of its modulus; maps; and its k-space (coils, 320, 320)."""
    split, _, key = image.partition("/")
    place = f"knee_{split}_lmdb"
    whole = _stored(folder, f"{place}/mvue", key, np.complex64, _KNEE, one=True)[0]
    maps, kspace = (
        _stored(folder, f"{place}/{part}", key, np.complex64, _KNEE) for part in ("s_maps", "kspace")
    )
    if maps.shape != kspace.shape:
        raise DataError(f"The slice {image} of InverseBench has {len(maps)} maps of {len(kspace)} coils.")
    scale = float(np.quantile(whole.abs().numpy(), 0.99))
    if not scale > 0:
        raise DataError(f"The slice {image} of InverseBench is empty: its 99 % quantile is {scale}.")
    return whole / scale, maps, kspace / scale


def _database(folder: Path, name: str) -> Any:
    """An LMDB of the folder of data, open."""
    place = data.file(folder, f"inversebench/{name}/data.mdb").parent
    try:
        import lmdb
    except ImportError:
        raise CapabilityError(
            f"{place} is read by the package lmdb: pip install 'invgen[inversebench]'."
        ) from None
    try:
        return lmdb.open(str(place), readonly=True, lock=False, create=False)
    except lmdb.Error as error:
        raise FileError(f"{place} is no LMDB that can be read: {error}.") from None


def _count(folder: Path, name: str) -> int:
    with _database(folder, name) as database:
        return int(database.stat()["entries"])


def _stored(
    folder: Path, name: str, key: str, dtype: type, shape: tuple[int, int], *, one: bool = False
) -> Tensor:
    """The arrays (n, *shape) of an entry, which are stored as plain bytes."""
    with _database(folder, name) as database, database.begin() as transaction:
        content = transaction.get(key.encode())
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not content or len(content) % size or (one and len(content) != size):
        what, has = ("an array" if one else "arrays"), (f"{len(content)} bytes" if content else "nothing")
        raise DataError(
            f"inversebench/{name} should hold {what} of {shape} {np.dtype(dtype)} by the key {key}; it has "
            f"{has} there."
        )
    found = torch.from_numpy(np.frombuffer(content, dtype).reshape(-1, *shape).copy())
    if not bool(torch.isfinite(found).all()):
        raise DataError(f"inversebench/{name} has NaN or infinite values by the key {key}.")
    return found
