"""MRI scans in every layout, written as those who made the formats write them."""

import h5py
import numpy as np
import pytest

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <experimentalConditions><H1resonanceFrequency_Hz>123194105</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding>
  <encodedSpace>
   <matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize>
   <fieldOfView_mm><x>{fov_x}</x><y>{fov_y}</y><z>{fov_z}</z></fieldOfView_mm>
  </encodedSpace>
  <reconSpace>
   <matrixSize><x>{recon_x}</x><y>{recon_y}</y><z>{recon_z}</z></matrixSize>
   <fieldOfView_mm><x>{recon_fov_x}</x><y>{recon_fov_y}</y><z>{fov_z}</z></fieldOfView_mm>
  </reconSpace>
  <trajectory>{trajectory}</trajectory>
  <encodingLimits>
   <kspace_encoding_step_1>
    <minimum>0</minimum><maximum>{maximum}</maximum><center>{center}</center>
   </kspace_encoding_step_1>
  </encodingLimits>
 </encoding>
</ismrmrdHeader>
"""


def header(
    x=64, y=48, z=1, recon_x=None, recon_y=None, pixel=2.0, lines=None, center=None, trajectory="cartesian"
):
    """XML header of a scan: `lines` phase encodes were measured, `center` of them is k-space's middle."""
    recon_x, recon_y = recon_x or x // 2, recon_y or y
    lines = lines or y
    return HEADER.format(
        x=x,
        y=y,
        z=z,
        fov_x=x * pixel,
        fov_y=y * pixel,
        fov_z=z * pixel,
        recon_x=recon_x,
        recon_y=recon_y,
        recon_z=z,
        recon_fov_x=recon_x * pixel,
        recon_fov_y=recon_y * pixel,
        trajectory=trajectory,
        maximum=lines - 1,
        center=y // 2 if center is None else center,
    )


def centered_fft(x, axes=(-2, -1)):
    """The unitary transform with the origin in the middle of both domains, by NumPy alone."""
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(x, axes), axes=axes, norm="ortho"), axes)


def centered_ifft(x, axes=(-2, -1)):
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(x, axes), axes=axes, norm="ortho"), axes)


def center_crop(x, shape):
    """fastMRI's, along the last two axes."""
    a, b = ((n - m) // 2 for n, m in zip(x.shape[-2:], shape, strict=True))
    return x[..., a : a + shape[0], b : b + shape[1]]


def random_complex(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


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
            text = header(rows, columns, 1, *crop, lines=lines, center=columns // 2 - left)
            file.create_dataset("ismrmrd_header", data=text.encode(), dtype=h5py.special_dtype(vlen=bytes))
            file.attrs["acquisition"] = "CORPDFS_FBK"
            file.attrs["max"], file.attrs["norm"] = image.max(), np.linalg.norm(image)
            file.attrs["patient_id"] = "0" * 64
        return tmp_path / name, kspace

    return write
