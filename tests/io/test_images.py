"""Images to learn from, in every kind of file."""

import gzip
import struct

import h5py
import nibabel
import numpy as np
import pytest
from skimage.io import imsave

from invgen.core.errors import DataError, FileError, ParameterError, ShapeError
from invgen.io import read_images, read_labels, read_pixels

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 6, 5), dtype=np.uint8)


def idx(array, kind=0x08):
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


def write(folder, kind):
    path = folder / {"folder": "pictures", "idx": "t10k-idx3-ubyte"}.get(kind, f"images.{kind}")
    if kind == "folder":
        path.mkdir()
        for i, image in enumerate(IMAGES):
            imsave(path / f"{i}.png", image, check_contrast=False)
        (path / "notes.txt").write_text("nothing to see")
    elif kind == "npy":
        np.save(path, IMAGES)
    elif kind == "npz":
        np.savez(path, IMAGES)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["scan/images"] = IMAGES
    elif kind == "idx":
        path.write_bytes(idx(IMAGES))
    elif kind == "nii.gz":
        nibabel.save(nibabel.Nifti1Image(np.moveaxis(IMAGES, 0, -1), np.eye(4)), path)
    return path


@pytest.mark.parametrize("kind", ["folder", "npy", "npz", "h5", "idx", "nii.gz"])
def test_every_kind_of_file_gives_the_same_images(tmp_path, kind):
    images = read_images(write(tmp_path, kind), dataset="scan/images" if kind == "h5" else None)
    scale = 1 if kind == "nii.gz" else 255  # volumes have units of their own
    assert np.allclose(np.stack(images), IMAGES / scale, atol=1e-6)
    assert images[0].dtype == np.float32


def test_gzipped_digits_and_their_labels(tmp_path):
    path, labels = tmp_path / "idx3.gz", tmp_path / "labels-idx1.gz"
    path.write_bytes(gzip.compress(idx(IMAGES)))
    labels.write_bytes(gzip.compress(idx(np.array([7, 2, 1], np.uint8))))
    assert np.allclose(np.stack(read_images(path)), IMAGES / 255, atol=1e-6)
    assert read_labels(labels).tolist() == [7, 2, 1]
    with pytest.raises(ShapeError, match="one integer for each"):
        read_labels(path)


def test_colours_come_first_or_become_gray(tmp_path):
    image = np.zeros((4, 5, 4), np.uint8)
    image[..., 1] = image[..., 3] = 255
    imsave(tmp_path / "green.png", image, check_contrast=False)
    (colour,), (gray,) = read_images(tmp_path / "green.png"), read_images(tmp_path / "green.png", gray=True)
    assert colour.shape == (3, 4, 5)
    assert np.array_equal(colour[:, 0, 0], [0, 1, 0])
    assert np.allclose(gray, 0.7154)


def test_numbers_that_are_no_integers_keep_their_units(tmp_path):
    np.save(tmp_path / "float.npy", 40.0 * np.ones((2, 3, 3)))
    assert read_images(tmp_path / "float.npy")[1].max() == 40


def test_what_is_damaged_or_no_image_is_refused_with_the_reason(tmp_path):
    path = write(tmp_path, "idx")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match="truncated: 89 of 90"):
        read_images(path)
    path.write_bytes(b"\x00\x00\x08")
    with pytest.raises(FileError, match="IDX"):
        read_images(path)
    path.write_bytes(struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31))
    with pytest.raises(FileError, match="its header is damaged"):
        read_images(path)
    for name in ("a.png", "a.npz", "a.nii"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(FileError, match="cannot be read"):
            read_images(tmp_path / name)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(FileError, match="of no kind"):
        read_images(tmp_path / "a.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="no pictures"):
        read_images(tmp_path / "empty")
    with pytest.raises(ParameterError, match="scan/images"):
        read_images(write(tmp_path, "h5"))
    np.save(tmp_path / "nan.npy", np.full((2, 2), np.nan))
    with pytest.raises(DataError, match=r"Image 0 of .*nan.npy holds 4 NaN.* row 0, columns 0 to 1\."):
        read_images(tmp_path / "nan.npy")
    np.save(tmp_path / "deep.npy", np.zeros((2, 2, 2, 2, 2)))
    with pytest.raises(ShapeError, match="images are"):
        read_images(tmp_path / "deep.npy")


def test_pickled_objects_are_never_executed(tmp_path):
    for name, save in (("o.npy", np.save), ("o.npz", np.savez)):
        save(tmp_path / name, np.array([{"a": 1}], dtype=object))
        with pytest.raises(FileError):
            read_images(tmp_path / name)


def test_complex_images_stay_complex(tmp_path):
    images = IMAGES * np.complex128(1j)
    np.save(tmp_path / "images.npy", images)
    found = read_images(tmp_path / "images.npy")
    assert found[0].dtype == np.complex64
    assert np.array_equal(found, images)


@pytest.mark.parametrize("kind", ["folder", "npy", "npz", "h5", "idx"])
def test_pixels_are_as_they_are_stored(tmp_path, kind):
    found = read_pixels(write(tmp_path, kind), dataset="scan/images" if kind == "h5" else None)
    assert found.dtype == np.uint8
    assert (found == IMAGES).all()


def test_pixels_of_other_types_and_sizes_are_refused(tmp_path):
    np.save(tmp_path / "wide.npy", IMAGES.astype(np.uint16))
    with pytest.raises(DataError, match="uint16"):
        read_pixels(tmp_path / "wide.npy")
    folder = write(tmp_path, "folder")
    imsave(folder / "other.png", IMAGES[0, :4], check_contrast=False)
    with pytest.raises(ShapeError, match=r"other\.png"):
        read_pixels(folder)
