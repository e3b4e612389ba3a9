"""Scans of objects that priors have and have not seen, as different protocols measure them."""

from __future__ import annotations

import functools
import itertools
import math
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor
from torch.nn import functional as F

import invgen as ig
from examples.training.heads import Head, HeadSlices, in_random_contrast
from invgen.bench.suites import data as sources
from invgen.io import read_images
from invgen.noise import Gaussian
from invgen.operators import MRI, Fourier, Radon, sampling

__all__ = [
    "abdomen",
    "chest",
    "ct_scan",
    "head",
    "learned_slices",
    "mri_scan",
    "phantom",
    "raw_ct",
    "raw_seeds",
    "shrunk",
]

#: Seeds of random objects that `ct-phantoms` has not learned from.
_HELD_OUT = 1_000_000

#: Slices of the abdomen that are compared.
_ABDOMEN = slice(3, 27)

_SIDE = 128  # pixels of CT
_SHAPE = (256, 192)  # of MRI, of pixels of 0.9 mm, as `brain-mr` learned from
_COILS = 8


def _between(random: Random, low: float, high: float) -> float:
    """A number between two, uniform in its logarithm."""
    return low * math.exp(random.random() * math.log(high / low))


def ct_scan(seed: int, image: Tensor | None = None) -> ig.Problem:
    """A scan of parallel beams, 128 x 128 pixels: of a random object, or of an image in [0, 1].

    Of 20 to 180 views and 10^4 to 10^6 quanta a ray, uniform in the logarithm; projections in closed form, or
    of an image on a grid and a detector twice as fine. The noise is that of the logarithm of the counts.
    """
    random = Random(seed)
    views, quanta = round(_between(random, 20, 180)), _between(random, 1e4, 1e6)
    value = _between(random, 0.015, 0.04)  # attenuation of a pixel of what is densest
    A = Radon((_SIDE, _SIDE), angles=views)
    bins = A.range.shape[-1]
    if image is None:
        phantom = ig.phantoms.random(_HELD_OUT + seed, half_width=_SIDE / 2).scaled(value=value)
        projected = phantom.sinogram([k * math.pi / views for k in range(views)], bins).float()
    else:
        fine = Radon(
            image.shape,
            angles=views,
            detector_count=2 * bins,
            pixel_size=_SIDE / len(image),
            detector_spacing=0.5,
        )
        projected = fine(value * image).unflatten(-1, (bins, 2)).mean(-1)
    drawn = torch.Generator().manual_seed(seed)
    counts = torch.poisson(quanta * torch.exp(-projected.double()), generator=drawn).clamp(min=1)
    return ig.Problem(A, -(counts / quanta).log().float(), Gaussian(counts.rsqrt().float()))


def raw_ct(path: Path, seed: int, source: Tensor | str = "random", averaged: float = 1.0) -> Path:
    """A raw scan, as of `invgen simulate ct`, 128 x 128 pixels: of a random object, or of an image.

    Of 20 to 180 views, 10^4 to 10^6 quanta in the brightest pixel of the flats and a line integral of 0.5 to
    3 along the densest ray, uniform in the logarithm; the rotation axis is up to three columns from the
    middle of the detector.

    Each flat field is the mean of `averaged` frames, of which the file says nothing: the noise of the views,
    which is estimated from that of the flat fields, is then stated too small by its root.
    """
    settings = _settings(seed)
    ig.simulate.simulate_ct(path, source, **settings)
    if averaged != 1:
        settings["photons"] *= averaged
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder) / "flats.h5"
            ig.simulate.simulate_ct(other, source, **settings)
            with h5py.File(other) as flats, h5py.File(path, "r+") as file:
                file["exchange/data_white"][...] = flats["exchange/data_white"][...]
    return path


def raw_seeds(first: int, count: int) -> list[int]:
    """The first seeds whose raw scans have at most half a million quanta in the brightest pixel.

    Of more, the errors of pixels exceed the noise, and scans of the same protocol differ by them.
    """
    few = (seed for seed in itertools.count(first) if _settings(seed)["photons"] <= 5e5)
    return list(itertools.islice(few, count))


def _settings(seed: int) -> dict[str, Any]:
    random = Random(seed)
    return {
        "size": _SIDE,
        "views": round(_between(random, 20, 180)),
        "photons": _between(random, 1e4, 1e6),
        "absorption": _between(random, 0.5, 3),
        "center_offset": random.uniform(-3, 3),
        "seed": _HELD_OUT + seed,
    }


def chest(index: int) -> Tensor:
    """A slice of the 24 chests, 256 x 256, within the disc that a scanner sees, from 0 to 1."""
    slices = torch.cat(sources.chests(sources.folder()))
    image = F.avg_pool2d(slices[index][None], 2)[0] / 2.0
    return image.clamp(max=1) * _disc(len(image))


@functools.lru_cache(maxsize=1)
def _abdomen() -> Tensor:
    volume = read_images(sources.file(sources.folder(), "volumes/example_ct_sm.nii.gz"))
    return torch.from_numpy(np.stack(volume)).float()[_ABDOMEN]


def abdomen(index: int) -> Tensor:
    """A slice of an abdomen, 256 x 256, of pixels that were 3 mm, within the same disc, from 0 to 1."""
    image = _abdomen()[index].div(1000).add(1).clamp(0, 2).mT.flip(0)[None, None] / 2
    width = image.shape[-1] - image.shape[-2]
    square = F.pad(image, (0, 0, width // 2, width - width // 2))
    fine = F.interpolate(square, size=(256, 256), mode="bicubic")[0, 0].clamp(0, 1)
    return fine * _disc(256)


def _disc(side: int) -> Tensor:
    """Ones within what all views see, but for its edge."""
    places = torch.linspace(-1, 1, side)
    return (places[:, None] ** 2 + places**2 < 0.96).float()


#: Heads that `brain-mr` has not seen: file, and side of a pixel in mm.
_HEADS = {"i": ("heads/i_t1_tumour.nii.gz", 0.78125), "chris": ("volumes/chris_t1.nii.gz", 0.88)}


#: Heads that it has learned from.
_LEARNED = ("a_flair", "a_t1_sagittal", "b_t1", "f_t1", "g_flair")


@functools.lru_cache(maxsize=2)
def _slices(name: str) -> Tensor:
    """Slices that show more than a little of a head, 256 x 192."""
    found = sources.head(sources.folder(), *_HEADS[name])
    return found[(found > 0.2).float().mean((1, 2)) > 0.12]


def head(name: str, seed: int, turn: float = 0.0) -> Tensor:
    """A slice of a head on the fine grid, 512 x 384, in a random pose and contrast, turned by degrees."""
    random, slices = Random(seed), _slices(name)
    image = slices[random.randrange(len(slices))]
    angle = math.radians(turn + random.gauss(0, 6))
    size, shift = math.exp(random.gauss(0, 0.05)), (random.gauss(0, 4), random.gauss(0, 4))
    fine = (2 * n for n in _SHAPE)
    rows, columns = (
        ((torch.arange(n) + 0.5) / n - 0.5) * whole * size for n, whole in zip(fine, _SHAPE, strict=True)
    )
    rows, columns = torch.meshgrid(rows, columns, indexing="ij")
    places = (
        math.cos(angle) * rows - math.sin(angle) * columns + (_SHAPE[0] - 1) / 2 + shift[0],
        math.sin(angle) * rows + math.cos(angle) * columns + (_SHAPE[1] - 1) / 2 + shift[1],
    )
    drawn = torch.from_numpy(map_coordinates(image.numpy(), torch.stack(places).numpy(), order=3)).clamp(
        min=0
    )
    value = drawn.clamp(min=1e-4) ** math.exp(random.gauss(0, 0.15))
    return math.exp(random.gauss(0, 0.15)) * value if random.random() < 0.5 else value.flip(-1)


def learned_slices(count: int) -> Tensor:
    """Slices of the heads that `brain-mr` has learned from, in its poses and contrasts, (count, 128, 96)."""
    generator = np.random.default_rng(77)
    some = HeadSlices([Head(sources.file(sources.folder(), f"heads/{name}.nii.gz")) for name in _LEARNED])
    images = torch.stack([some(generator, step=2) for _ in range(count)])
    return in_random_contrast(images[:, None], torch.Generator().manual_seed(0))[:, 0]


def shrunk(image: Tensor) -> Tensor:
    """An image of a head as one of CT: square, within the disc that a scanner sees, from 0 to 1."""
    height, width = image.shape
    square = F.pad(image, ((height - width) // 2,) * 2)[None, None]
    return (square[0, 0] / square.max()) * _disc(height)


def phantom(kind: str, index: int) -> Tensor:
    """What is no head, on the fine grid: a chest, or drawn ellipses."""
    fine = (2 * _SHAPE[0], 2 * _SHAPE[1])
    if kind == "chest":
        image = F.interpolate(chest(index)[None, None], size=(fine[1], fine[1]), mode="bilinear")[0, 0]
        return F.pad(image, (0, 0, (fine[0] - fine[1]) // 2, (fine[0] - fine[1]) // 2))
    return (
        ig.phantoms.head(index, half_width=0.45 * fine[1]).image(fine, 1.0, supersample=2).clamp(0, 1).float()
    )


def _places(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    rows, columns = ((torch.arange(n) - n // 2) / (n / 2) for n in shape)
    return rows[:, None].expand(shape), columns[None].expand(shape)


@functools.lru_cache(maxsize=8)
def _coil_maps(shape: tuple[int, int], turned: float = 0.0) -> Tensor:
    """Smooth maps of coils around the field of view, whose squares sum to one; turned by degrees."""
    rows, columns = _places(shape)
    turns = [2 * math.pi * c / _COILS for c in range(_COILS)]
    maps = []
    for t in turns:
        place = t + math.radians(turned)
        near = torch.exp(-((columns - math.cos(place)) ** 2) - (rows - math.sin(place)) ** 2)
        maps.append(torch.polar(near, t + columns))
    found = torch.stack(maps)
    return found / torch.linalg.vector_norm(found, dim=0)


def _as_received(image: Tensor, seed: int) -> Tensor:
    """A complex image, of a smooth random phase."""
    random, (rows, columns) = Random(seed), _places(tuple(image.shape))
    a, b, c, d = (random.gauss(0, 1) for _ in range(4))
    return torch.polar(
        image, math.pi * a + 1.5 * b * torch.cos(2 * rows + columns) + 2 * c * columns + 2 * d * rows
    )


def mri_scan(seed: int, image: Tensor, turned: float = 0.0) -> ig.Problem:
    """A scan by eight coils, 256 x 192 pixels, of an image of twice the size.

    By Poisson discs or random lines of R = 2 to 6, with noise of 0.003 to 0.03 of the brightest tissue,
    uniform in the logarithm. Coil maps of the problem can be turned by degrees, which is wrong.
    """
    random, fine = Random(seed), (2 * _SHAPE[0], 2 * _SHAPE[1])
    rate, std = _between(random, 2, 6), _between(random, 0.003, 0.03)
    if random.random() < 0.5:
        mask = sampling.poisson_disc(_SHAPE, rate, seed=seed)
    else:
        mask = sampling.random_lines(_SHAPE, rate, center_fraction=0.06, seed=seed)
    top, left = _SHAPE[0] // 2, _SHAPE[1] // 2
    kspace = Fourier(fine)(_coil_maps(fine) * _as_received(image, seed))
    kspace = kspace[..., top : top + _SHAPE[0], left : left + _SHAPE[1]] / 2
    noise = Gaussian(std)
    return ig.Problem(MRI(_SHAPE, mask, _coil_maps(_SHAPE, turned)), noise.sample(kspace, seed) * mask, noise)
