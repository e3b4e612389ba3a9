"""Images to learn from or to restore: folders, arrays, IDX files and volumes."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invgen.core.checks import nonfinite
from invgen.core.errors import DataError, FileError, InvgenError, ParameterError, ShapeError
from invgen.core.files import check_regular
from invgen.core.memory import require_memory
from invgen.core.text import brief, quoted
from invgen.io.arrays import load_npy
from invgen.io.checksums import BAD, check_png, read_npz, read_rest, require_bytes, unpacked
from invgen.io.hdf5 import describe_datasets, get_dataset, open_hdf5, read_all

__all__ = [
    "check_picture",
    "is_nifti",
    "is_picture",
    "picture_files",
    "read_images",
    "read_label_image",
    "read_labels",
    "read_pixels",
    "read_vectors",
]

_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

#: Types of the numbers in an IDX file, LeCun's format.
_IDX = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_images(path: str | Path, *, dataset: str | None = None, gray: bool = False) -> list[np.ndarray]:
    """Read images of one kind, each ``(H, W)`` or ``(C, H, W)``, float32 or complex64.

    Integers are divided by the largest of their type, so that images lie in [0, 1]; other numbers are not
    changed.

    Parameters
    ----------
    path : path
        A folder of pictures; a picture; a NPY, NPZ, IDX (MNIST's, gzipped or not), HDF5 or NIfTI file of one
        image ``(H, W)``, of many ``(n, H, W)``, or of many in color ``(n, H, W, 3)``. The images of a NIfTI
        volume are the slices along its last axis.
    dataset : str, optional
        Which array of an HDF5 or NPZ file; needed where there are several.
    gray : bool
        Convert colors to gray, by their luminance.

    Raises
    ------
    FileError, ShapeError, DataError
        When the file is of another kind, or holds no images, or NaN.
    """
    path = Path(path)
    if path.is_dir():
        files = picture_files(path)
        require_memory(sum(map(check_picture, files)), f"All of {path}")
        arrays = list(map(_picture, files))
    else:
        arrays = _images(path, dataset)
    images = [_channels(_unit(image), gray) for image in arrays]
    for i, image in enumerate(images):
        _require_finite(image, f"Image {i} of {path}", "channel", "row", "column")
    return images


def read_pixels(path: str | Path, *, dataset: str | None = None) -> np.ndarray:
    """Read images of 8 bits as they are stored: uint8, (H, W), (n, H, W), (H, W, 3) or (n, H, W, 3).

    Parameters
    ----------
    path, dataset
        As of `read_images`, but for NIfTI files. NPY files are mapped into memory. The pictures of a folder
        have one size.

    Raises
    ------
    FileError, ShapeError, DataError
        When the file is of another kind, or holds other numbers.
    """
    path = Path(path)
    if path.is_dir():
        files = picture_files(path)
        require_memory(sum(map(check_picture, files)), f"All of {path}")
        pictures = [_picture(file) for file in files]
        for file, picture in zip(files, pictures, strict=True):
            if (picture.shape, picture.dtype) != (pictures[0].shape, pictures[0].dtype):
                raise ShapeError(
                    f"The pictures of {path} are of one size and type; {files[0].name} is "
                    f"{pictures[0].shape} {pictures[0].dtype}, {file.name} {picture.shape} {picture.dtype}."
                )
        array = np.stack(pictures)
    elif path.suffix.lower() in _PICTURES:
        array = _picture(path)
    else:
        array = load_npy(path) if path.suffix.lower() == ".npy" else _array(path, dataset)
    if array.dtype != np.uint8:
        raise DataError(f"{path} holds {array.dtype}; images of 8 bits are expected, uint8.")
    return array


def read_labels(path: str | Path) -> np.ndarray:
    """Read the classes of images from an IDX or NPY file: integers, shape (n,)."""
    path = Path(path)
    labels = load_npy(path) if path.suffix == ".npy" else _idx(path)
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise ShapeError(f"{path} should hold one integer for each image; got {labels.shape} {labels.dtype}.")
    return labels.astype(np.int64)


def read_label_image(path: str | Path) -> np.ndarray:
    """Read the label of each pixel of an image or a volume: int64, as it is stored, zero or more.

    Parameters
    ----------
    path : path
        A picture in shades of gray; a NPY, NPZ, IDX or NIfTI file.

    Raises
    ------
    FileError, DataError
        When the file is of another kind, or holds colors, fractions or negative numbers.
    """
    path = Path(path)
    if path.suffix.lower() in _PICTURES:
        array = _picture(path)
    else:
        array = _nifti(path) if is_nifti(path) else _array(path, None)
    if array.dtype.kind not in "buif" or (array.ndim == 3 and path.suffix.lower() in _PICTURES):
        raise DataError(f"{path} should hold one label for each pixel; got {array.shape} {array.dtype}.")
    with np.errstate(invalid="ignore"):  # NaN is found below
        labels: np.ndarray = array.astype(np.int64)
    if not (np.array_equal(labels, array) and (labels >= 0).all()):
        raise DataError(f"{path} should hold whole numbers from zero on, one for each pixel.")
    return labels


def read_vectors(path: str | Path, *, dataset: str | None = None) -> list[np.ndarray]:
    """Read vectors of measurements, each ``(m,)``, in float32, without a change of their values.

    Parameters
    ----------
    path : path
        A NPY, NPZ, IDX or HDF5 file of one vector ``(m,)``, or of many ``(n, m)``.
    dataset : str, optional
        Which array of an HDF5 or NPZ file; needed where there are several.

    Raises
    ------
    FileError, ShapeError, DataError
        When the file is of another kind, or holds no vectors, or NaN.
    """
    path = Path(path)
    array = _array(path, dataset)
    if array.ndim not in (1, 2) or not array.size or array.dtype.kind == "c":
        raise ShapeError(
            f"{path} holds {array.shape} {array.dtype}; measurements are real vectors, (m,) or (n, m)."
        )
    vectors = list(np.atleast_2d(array).astype(np.float32))
    for i, vector in enumerate(vectors):
        _require_finite(vector, f"Vector {i} of {path}", "entry")
    return vectors


def _require_finite(values: np.ndarray, what: str, *names: str) -> None:
    if found := nonfinite(torch.from_numpy(values), names):
        raise DataError(f"{what} holds {found}. Mask or repair them first.")


def is_picture(path: str | Path) -> bool:
    """Whether a file's name is that of a picture; TIFF files do not count, as they may be scans."""
    suffix = Path(path).suffix.lower()
    return suffix in _PICTURES and suffix not in (".tif", ".tiff")


def is_nifti(path: str | Path) -> bool:
    """Whether a file is a NIfTI file by its name."""
    return Path(path).name.lower().endswith((".nii", ".nii.gz"))


def picture_files(folder: Path) -> tuple[Path, ...]:
    """The pictures in a folder and the folders in it, sorted.

    Raises
    ------
    FileError
        Where there are none.
    """
    found = tuple(sorted(p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES))
    if not found:
        raise FileError(f"{folder} holds no pictures ({', '.join(_PICTURES)}).")
    return found


def _images(path: Path, dataset: str | None) -> list[np.ndarray]:
    """Images of a file, as it stores them."""
    if path.suffix.lower() in _PICTURES:
        return [_picture(path)]
    if is_nifti(path):
        volume = _nifti(path)
        return list(np.moveaxis(volume, -1, 0)) if volume.ndim == 3 else [volume]
    array = _array(path, dataset)
    if array.ndim == 2:
        return [array]
    if array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4)):
        return list(array)
    raise ShapeError(f"{path} holds {array.shape}; images are (H, W), (n, H, W) or (n, H, W, 3).")


def _array(path: Path, dataset: str | None) -> np.ndarray:
    """The numbers in a file that is no picture, as it stores them."""
    name = path.name.lower()
    if name.endswith(".npy"):
        array = load_npy(path)
        require_memory(array.size * 4, str(path))
    elif name.endswith(".npz"):
        array = _npz(path, dataset)
    elif name.endswith((".h5", ".hdf5")):
        array = _hdf5(path, dataset)
    elif "idx" in name and not name.endswith(".png"):
        array = _idx(path)
    else:
        raise FileError(
            f"{path} is of no kind that images are read from: a folder, {', '.join(_PICTURES)}, .npy, .npz, "
            ".h5, .nii, .nii.gz, or an IDX file with idx in its name."
        )
    if array.dtype.kind not in "buifc":
        raise DataError(f"{path} holds {array.dtype}; images are numbers.")
    return array


def check_picture(path: Path) -> int:
    """Test the checksums of a picture, and that there is memory for it, before it is read.

    Returns
    -------
    int
        Bytes of the image in single precision.

    Raises
    ------
    FileError, MemoryLimitError
        When it is damaged, is no picture, or is too large.
    """
    import tifffile
    from PIL import Image

    check_regular(path)
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            with tifffile.TiffFile(path) as pages:
                count, stored = pages.series[0].size, pages.series[0].dtype.itemsize
        else:
            if path.suffix.lower() == ".png":
                check_png(path)
            with Image.open(path) as picture:
                count = math.prod(picture.size) * getattr(picture, "n_frames", 1)
                count *= len(picture.getbands()) if picture.mode != "P" else 4
                stored = 4 if picture.mode in "IF" else 1
    except InvgenError:
        raise
    except Exception as error:  # the readers raise whatever they meet
        raise _no_picture(path, error) from error
    require_memory((stored + 4) * count, f"The picture {path}")
    return 4 * count


def _no_picture(path: Path, error: Exception) -> FileError:
    return FileError(f"{path} cannot be read as a picture: {brief(error)}.")


def _picture(path: Path) -> np.ndarray:
    from skimage.io import imread

    check_picture(path)
    try:
        return np.asarray(imread(path))
    except MemoryError:
        raise
    except Exception as error:  # the readers raise whatever they meet
        raise _no_picture(path, error) from error


def _unit(image: np.ndarray) -> np.ndarray:
    if image.dtype == bool:
        return image.astype(np.float32)
    if image.dtype.kind in "ui":
        return (image / np.float32(np.iinfo(image.dtype).max)).astype(np.float32)
    return image.astype(np.complex64 if image.dtype.kind == "c" else np.float32)


def _channels(image: np.ndarray, gray: bool) -> np.ndarray:
    """Drop transparency, and put colors first or convert them to gray, by Rec. 709's luminance."""
    if image.ndim == 3 and image.shape[-1] in (3, 4):
        image = image[..., :3]
        return image @ np.array([0.2125, 0.7154, 0.0721], np.float32) if gray else np.moveaxis(image, -1, 0)
    if image.ndim == 3 and image.shape[-1] in (1, 2):
        image = image[..., 0]
    if image.ndim != 2:
        raise ShapeError(f"Images are (H, W) or (H, W, 3); got {image.shape}.")
    return image


def _npz(path: Path, dataset: str | None) -> np.ndarray:
    check_regular(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
        if dataset is None and len(names) == 1:
            dataset = names[0]
        if dataset is None or dataset not in names:
            listed = quoted(", ".join(names))
            raise ParameterError(f"{path} holds the arrays {listed}: name one of them.")
        return read_npz(path, dataset)
    except InvgenError:
        raise
    except (*BAD, AttributeError, SyntaxError, TypeError, NotImplementedError, RuntimeError) as error:
        raise FileError(f"{path} cannot be read as a NPZ file of numbers: {brief(error)}.") from error


def _hdf5(path: Path, dataset: str | None) -> np.ndarray:
    with open_hdf5(path) as file:
        if dataset is None:
            raise ParameterError(
                f"Name the dataset of {path} that holds the images. {describe_datasets(file)}"
            )
        found = get_dataset(file, dataset)
        size = found.size or 0
        require_memory(size * (found.dtype.itemsize + 4), f"{quoted(dataset)} of {path}")
        return read_all(found, size * found.dtype.itemsize)


def _nifti(path: Path) -> np.ndarray:
    import nibabel

    check_regular(path)
    try:
        image: Any = nibabel.load(path)
        shape, stored = image.shape, image.get_data_dtype().itemsize
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise ShapeError(f"{path} holds {shape}; a volume has three axes.")
        end = int(image.dataobj.offset) + math.prod(shape) * stored
        require_bytes(path, end, 8 * math.prod(shape))
        with unpacked(path) as file:
            content = file.read(end)
            read_rest(path, file, max(end, 2**20))
        return np.asarray(type(image).from_bytes(content).get_fdata(dtype=np.float32))
    except InvgenError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # the reader raises whatever it meets
        raise FileError(f"{path} cannot be read as a NIfTI file: {brief(error)}.") from error


def _idx(path: Path) -> np.ndarray:
    check_regular(path)
    try:
        with unpacked(path) as file:
            zero, kind, axes = struct.unpack(">HBB", file.read(4))
            shape = struct.unpack(f">{axes}I", file.read(4 * axes))
            dtype = np.dtype(_IDX[kind])
            count = math.prod(shape) * dtype.itemsize
            if zero != 0 or not 1 <= axes <= 4:
                raise ValueError("its header makes no sense")
            require_bytes(path, count, 4 * math.prod(shape))
            content = file.read(count)
            read_rest(path, file, 0)
    except BAD as error:
        raise FileError(f"{path} cannot be read as an IDX file: {brief(error)}.") from error
    if len(content) != count:
        raise FileError(f"{path} is truncated: {len(content)} of {count} bytes of {shape} are there.")
    return np.frombuffer(content, dtype).reshape(shape)
