"""MRI scans in every layout, written as those who made the formats write them."""

import h5py
import ismrmrd
import numpy as np
import pytest

from .layouts import center_crop, centered_ifft, header, random_complex


@pytest.fixture
def fastmri(tmp_path):
    """Write a file as fastMRI's are; `left` and `right` columns are padded with zeros."""

    def write(
        name="file.h5",
        slices=2,
        coils=3,
        rows=64,
        columns=48,
        left=4,
        right=5,
        crop=(32, 30),
        mask=None,
        seed=0,
    ):
        shape = (slices, coils, rows, columns) if coils else (slices, rows, columns)
        kspace = random_complex(shape, seed)
        kspace[..., :left] = 0
        kspace[..., columns - right :] = 0
        image = np.abs(centered_ifft(kspace))
        if coils:
            image = np.sqrt((image**2).sum(1))
        lines = columns - left - right
        with h5py.File(tmp_path / name, "w") as file:
            if mask is not None:
                kspace = kspace * mask
                file["mask"] = mask.astype(np.float32)
            file["kspace"] = kspace
            file["reconstruction_rss" if coils else "reconstruction_esc"] = center_crop(image, crop)
            text = header((columns, rows), (crop[1], crop[0]), steps=((lines, columns // 2 - left),))
            file.create_dataset("ismrmrd_header", data=text.encode(), dtype=h5py.special_dtype(vlen=bytes))
            file.attrs["acquisition"] = "CORPDFS_FBK"
            file.attrs["max"], file.attrs["norm"] = image.max(), np.linalg.norm(image)
            file.attrs["patient_id"] = "0" * 64
        return tmp_path / name, kspace

    return write


@pytest.fixture
def write_ismrmrd(tmp_path):
    """Write readouts by the `ismrmrd` package; `order` shuffles them."""

    def write(readouts, text, name="file.h5", group="dataset", order=None):
        readouts = list(readouts)
        if order is not None:
            readouts = [readouts[i] for i in np.random.default_rng(order).permutation(len(readouts))]
        with ismrmrd.Dataset(tmp_path / name, group) as file:
            if text is not None:
                file.write_xml_header(text.encode())
            for one in readouts:
                file.append_acquisition(one)
        return tmp_path / name

    return write
