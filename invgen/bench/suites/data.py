"""The folder of data that suites read, and where to get what is not in it.

Of a frozen suite with a field ``data``, which is `folder()` of what the user gave::

    path = file(self.data, "ct/htc2022_ta_full.mat")
    truth = picture(self.data, "kodim01", gray=True)
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from invgen.core.errors import FileError
from invgen.core.fingerprint import fingerprint
from invgen.io import read_images

__all__ = ["SOURCES", "absent", "chests", "digits", "file", "folder", "head", "own_seed", "picture"]

#: Where files come from, by how their names begin: what they are, and how each is named.
SOURCES: dict[str, str] = {
    "images/kodim": "the photographs of Kodak's lossless suite, kodim01.png and so on, of "
    "https://r0k.us/graphics/kodak",
    "images/skimage_": "the pictures of scikit-image, skimage_camera.png being camera.png of "
    "https://github.com/scikit-image/scikit-image",
    "digits/mnist8k": "the test digits of MNIST, t10k-images-idx3-ubyte.gz of "
    "https://yann.lecun.com/exdb/mnist, of which the first 8,000 are used",
    "ct_slices/tcga_chest": "slices of 24 patients of TCGA-LUAD and TCGA-LUSC in Hounsfield units, the array "
    "hu of shape (8, 512, 512) in each file, of dicom_dir in "
    "https://github.com/ChrisKalahiki/CT-Image-Analysis-using-DWT",
    "heads/i_t1_tumour": "data/brain2_image.nrrd of https://github.com/AIM-Harvard/pyradiomics, as NIfTI",
    "heads/c_t2_stripped": "M2208_T2w.nii.gz of https://github.com/niivue/niivue-demo-images",
    "dm4ct/lodochallenge": "the slices of preprocess_lodochallenge.py of https://github.com/DM4CT/DM4CT",
    "dm4ct/lodoind": "the slices of preprocess_lodoind.py of https://github.com/DM4CT/DM4CT",
    "inversebench/inv-scatter": "a folder of LMDB of https://data.caltech.edu/records/zg89b-mpv16, see "
    "https://github.com/devzhk/InverseBench",
    "inversebench/knee": "one of the folders of LMDB kspace, s_maps and mvue, which MultiCoilMRILMDBData of "
    "https://github.com/devzhk/InverseBench reads, of https://data.caltech.edu/records/zg89b-mpv16",
    "weights/mnist_vae": "mnist_vae/weights/vae_epoch_25.pth of "
    "https://github.com/csinva/gan-vae-pretrained-pytorch",
    "weights/mnist_gan": "mnist_gan_mlp/weights/G--300.ckpt of "
    "https://github.com/csinva/gan-vae-pretrained-pytorch",
}


def folder(given: str | Path | None = None) -> Path:
    """The given folder of data, else ``INVGEN_DATA``, else ``../shared/data`` beside the checkout."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(given or os.environ.get("INVGEN_DATA") or beside)


def file(data: Path, name: str) -> Path:
    """A file of the folder of data.

    Raises
    ------
    FileError
        Where it is not there, with where to get it.
    """
    path = data / name
    if not path.is_file():
        raise absent(data, name)
    return path


def absent(data: Path, name: str) -> FileError:
    """The error for a file, or for files of a pattern, that are not there."""
    source = next((SOURCES[start] for start in SOURCES if name.startswith(start)), None)
    return FileError(
        f"There is no {name} in the folder of data {data}"
        + (f"; it is of {source}" if source else "")
        + ". Put it there, or name the folder that has it by --data, or in the variable INVGEN_DATA."
    )


def picture(data: Path, name: str, gray: bool) -> Tensor:
    """A picture ``images/name.png``, shape (H, W) in gray or (3, H, W), from 0 to 1."""
    return _picture(file(data, f"images/{name}.png"), gray)


@functools.lru_cache(maxsize=64)
def _picture(path: Path, gray: bool) -> Tensor:
    return torch.from_numpy(read_images(path, gray=gray)[0])


def digits(data: Path) -> Tensor:
    """Test digits of MNIST, shape (n, 28, 28), from 0 to 1."""
    return _digits(file(data, "digits/mnist8k-images-idx3-ubyte.gz"))


@functools.lru_cache(maxsize=1)
def _digits(path: Path) -> Tensor:
    return torch.from_numpy(np.stack(read_images(path)))


def own_seed(seed: int, *names: str) -> int:
    """A seed for what is drawn of one image: with the same noise on all, errors were not independent."""
    return int(fingerprint(seed, *names)[:12], 16)


def chests(data: Path) -> tuple[Tensor, Tensor]:
    """Slices (n, 512, 512) that `chest-ct` has learned from, and those of six patients held out.

    Attenuation over that of water, from that of air to 1500 HU.
    """
    return _chests(tuple(file(data, f"ct_slices/tcga_chest_train_{i}.npz") for i in range(3)))


@functools.lru_cache(maxsize=1)
def _chests(paths: tuple[Path, ...]) -> tuple[Tensor, Tensor]:
    hounsfield = np.concatenate([np.load(path)["hu"] for path in paths])
    slices = torch.from_numpy(hounsfield).div(1000).add(1).clamp(0, 2.5)
    held_out = torch.arange(len(slices)) % 4 == 3
    return slices[~held_out], slices[held_out]


def head(data: Path, name: str, pixel_size: float) -> Tensor:
    """Axial slices (n, 256, 192) of a head with pixels of 0.9 mm, the front at the top, around its center.

    Over the percentile 99.8 of the volume, as `brain-mr` learned its heads.

    Parameters
    ----------
    data, name
        Of a volume in NIfTI whose axes are sideways, to the front, and up.
    pixel_size : float
        The side of its pixels in mm.
    """
    return _head(file(data, name), pixel_size)


@functools.lru_cache(maxsize=4)
def _head(path: Path, pixel_size: float) -> Tensor:
    volume = np.stack(read_images(path))
    volume = volume / np.percentile(volume, 99.8)
    center = [np.average(n, weights=volume > 0.2) for n in np.indices(volume.shape)[1:]]
    rows, columns = ((np.arange(n) - (n - 1) / 2) * 0.9 / pixel_size for n in (256, 192))
    places = np.meshgrid(center[1] - rows, center[0] + columns, indexing="ij")
    slices = [map_coordinates(each.T, places, order=3).clip(0) for each in volume]
    return torch.from_numpy(np.stack(slices)).float()
