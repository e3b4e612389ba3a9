"""What MRI files are made of, and what NumPy makes of them."""

import ismrmrd
import numpy as np

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <acquisitionSystemInformation>
  <relativeReceiverNoiseBandwidth>{bandwidth}</relativeReceiverNoiseBandwidth>
 </acquisitionSystemInformation>
 <experimentalConditions><H1resonanceFrequency_Hz>123194105</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding>
  <encodedSpace>
   <matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize>
   <fieldOfView_mm><x>{fov_x}</x><y>{fov_y}</y><z>{fov_z}</z></fieldOfView_mm>
  </encodedSpace>
  <reconSpace>
   <matrixSize><x>{recon_x}</x><y>{recon_y}</y><z>{z}</z></matrixSize>
   <fieldOfView_mm><x>{recon_fov_x}</x><y>{recon_fov_y}</y><z>{fov_z}</z></fieldOfView_mm>
  </reconSpace>
  <trajectory>{trajectory}</trajectory>
  <encodingLimits>{limits}</encodingLimits>
 </encoding>
</ismrmrdHeader>
"""
LIMIT = "<{name}><minimum>0</minimum><maximum>{maximum}</maximum><center>{center}</center></{name}>"


def header(matrix=(48, 64), recon=None, pixel=2.0, steps=None, trajectory="cartesian", bandwidth=1.0):
    """XML header: `matrix` and `recon` are (z,) y, x; `steps` number and middle of encoding steps 1, 2."""
    z, y, x = (1, *matrix)[-3:]
    recon_y, recon_x = recon or (y, x // 2)
    steps = steps or ((y, y // 2), (z, z // 2))
    limits = "".join(
        LIMIT.format(name=f"kspace_encoding_step_{i}", maximum=lines - 1, center=center)
        for i, (lines, center) in enumerate(steps, 1)
    )
    sizes = {"x": x, "y": y, "z": z, "recon_x": recon_x, "recon_y": recon_y}
    lengths = {f"fov_{name}": size * pixel for name, size in (("x", x), ("y", y), ("z", z))}
    lengths |= {"recon_fov_x": recon_x * pixel, "recon_fov_y": recon_y * pixel}
    return HEADER.format(**sizes, **lengths, limits=limits, trajectory=trajectory, bandwidth=bandwidth)


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


def readout(data, *, flags=(), trajectory=None, **counters):
    """A readout (coils, n) as the `ismrmrd` package has it; `flags` by their names there, without ACQ."""
    data = np.ascontiguousarray(data, dtype=np.complex64)
    center = counters.pop("center_sample", data.shape[1] // 2)
    numbers = {n: counters.pop(n) for n in ("discard_pre", "discard_post", "sample_time_us") if n in counters}
    trajectory = None if trajectory is None else np.ascontiguousarray(trajectory, dtype=np.float32)
    found = ismrmrd.Acquisition.from_array(data, trajectory, center_sample=center, **numbers)
    found.encoding_space_ref = counters.pop("encoding_space_ref", 0)
    for name, value in counters.items():
        setattr(found.idx, name, value)
    for flag in flags:
        found.setFlag(getattr(ismrmrd, f"ACQ_{flag}"))
    return found


def lines(kspace, **counters):
    """All lines of k-space (coils, H, W) or (coils, D, H, W), one readout each."""
    kspace = kspace[:, None] if kspace.ndim == 3 else kspace
    for z in range(kspace.shape[1]):
        for y in range(kspace.shape[2]):
            yield readout(kspace[:, z, y], kspace_encode_step_1=y, kspace_encode_step_2=z, **counters)
