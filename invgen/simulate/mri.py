"""The simulated MR scanner: coils, sampling, noise and file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, get_args

import h5py
import numpy as np
import torch
from torch import Tensor

from invgen.errors import ParameterError
from invgen.files import atomic_hdf5
from invgen.simulate import ismrmrd
from invgen.simulate.coils import fit, on_grid
from invgen.simulate.geometry import check_positive
from invgen.simulate.signal import MRISource, signal_of

Sampling = Literal["equispaced", "random", "gaussian", "radial", "spiral"]

_FIELD = 240.0  # mm, width of the field of view by default
_THICKNESS = 5.0  # mm
_DWELL = 5.0  # microseconds between samples
_NOISE_READOUTS = 64
_COUPLING = 0.2  # of the receivers' noise


def simulate_mri(
    path: str | Path,
    source: MRISource = "head",
    *,
    size: int | tuple[int, int] = 256,
    coils: int = 8,
    sampling: Sampling = "equispaced",
    acceleration: float = 4.0,
    calibration: int = 24,
    noise: float = 0.01,
    noise_scan: bool = True,
    slices: int = 1,
    pixel_size: float | None = None,
    seed: int = 0,
) -> None:
    """Simulate a raw MRI scan and write it as ISMRMRD HDF5, with the truth in ``/truth``.

    The signal of ellipses is the exact Fourier integral, coil sensitivities included, free of the pixels that
    a reconstruction is made of (Guerquin-Kern et al. 2012, Realistic analytical phantoms for parallel
    magnetic resonance imaging). Readouts run along x and are sampled twice as densely as the field of view
    asks for, as scanners do.

    Parameters
    ----------
    path : str or Path
        The file to write; it appears under this name only when it is complete.
    source : {"head", "shepp-logan"}, Ellipses or Tensor of shape (h, w)
        The object. `Ellipses` are in mm around the middle of the image. An image is scaled to fit into the
        field of view; its pixels are squares, cut to less than half of the scan's.
    size : int or (int, int)
        Shape (H, W) of the true image, in pixels.
    coils : int
        Receivers around the object; one sees all of it equally.
    sampling : {"equispaced", "random", "gaussian", "radial", "spiral"}
        Lines along x, by `invgen.operators.sampling`; spokes by the golden angle; interleaved spirals.
    acceleration : float
        Nominal, by which fewer lines, spokes or interleaves are measured than a full scan has.
    calibration : int
        Lines in the middle of k-space that are all measured.
    noise : float
        Standard deviation of the real and of the imaginary part of the noise, on average over the coils,
        relative to the largest signal of the true image: what a fully sampled coil image would show. The
        receivers' noise is coupled. Zero for none.
    noise_scan : bool
        Put readouts of noise alone before the scan, from which the coupling can be found.
    slices : int
        Slices through the object, which becomes smaller away from the middle one.
    pixel_size : float, optional
        Side of a pixel in mm; by default the field of view is 240 mm wide.
    seed : int
        Same seed and arguments, same file.

    Raises
    ------
    ParameterError
        If a number makes no physical sense or the source is not known.
    ShapeError, DataError
        If an image is not two-dimensional, or empty or not finite.
    FileError
        If the file cannot be written.

    Notes
    -----
    ``/truth/image`` (slices, H, W), complex, is the object band-limited to k-space of that size: what a full
    scan without noise by one uniform coil would give, Gibbs ringing included. Its phase is smooth.
    ``/truth/coils`` (slices, coils, H, W) are the sensitivities. The pixel ``N // 2`` of each axis is the
    origin, and the data are in the scale of unitary transforms. Attributes of ``/truth`` tell the rest, among
    them ``noise_std``, in the data's unit, and ``noise_covariance``, ``E[n n.H] / 2`` of the coils.
    """
    shape = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    pixel_size = _FIELD / shape[1] if pixel_size is None else pixel_size
    check_positive(
        height=shape[0], width=shape[1], coils=coils, slices=slices, acceleration=acceleration,
        pixel_size=pixel_size,
    )  # fmt: skip
    if not (0 <= noise < math.inf):
        raise ParameterError(f"noise is a relative standard deviation, at least zero; got {noise}.")
    if sampling not in get_args(Sampling):
        raise ParameterError(f"The sampling is one of {', '.join(get_args(Sampling))}; got {sampling!r}.")
    height, width = shape
    lines = _lines(sampling, height, acceleration, calibration, seed)
    random = torch.Generator().manual_seed(seed)
    coupling = torch.eye(coils) + _COUPLING * torch.randn(
        coils, coils, generator=random, dtype=torch.complex128
    )
    coupling /= (coupling.abs() ** 2).sum(1).mean().sqrt()

    def noise_of(shape: tuple[int, ...], std: float) -> Tensor:
        """Draw the receivers' noise, (coils, ...); a complex standard normal has parts of variance 1/2."""
        plain = torch.randn(coils, *shape, generator=random, dtype=torch.complex128)
        return std * math.sqrt(2) * torch.tensordot(coupling, plain, 1)

    rows, columns = _half_cycles(height)[lines], torch.arange(-width, width)
    flags = np.zeros(len(lines), np.uint64)
    middle = (lines >= (height - calibration + 1) // 2) & (lines < (height + calibration + 1) // 2)
    flags[middle.numpy()] = ismrmrd.CALIBRATION_AND_IMAGING
    flags[0] |= ismrmrd.FIRST_IN_SLICE
    flags[-1] |= ismrmrd.LAST_IN_SLICE
    header = ismrmrd.header(
        encoded=(height, 2 * width),
        recon=shape,
        pixel_size=pixel_size,
        thickness=_THICKNESS,
        slices=slices,
        coils=coils,
        steps=height,
        step_center=height // 2,
        trajectory="cartesian",
        acceleration=acceleration,
        calibration=calibration,
    )
    std = 0.0
    with atomic_hdf5(path) as file:
        images, maps = _truth(file, slices, coils, shape, pixel_size)
        acquisitions = ismrmrd.Acquisitions(file, header, ismrmrd.Readout(2 * width, width, _DWELL))
        for number in range(slices):
            place = 0.0 if slices == 1 else 1.2 * (number / (slices - 1) - 0.5)  # of the object's radius
            signal = signal_of(source, shape, math.sqrt(1 - place**2), pixel_size, seed)
            phase, weights = fit(coils, place, height / width, seed)
            full = signal.on_grid(phase[None], _half_cycles(height), _half_cycles(width))[0]
            truth = _image(full)
            images[number] = truth.to(torch.complex64).numpy()
            y, x = ((torch.arange(n) - n // 2).double() / n for n in shape)
            maps[number] = (on_grid(weights, y, x) / on_grid(phase[None], y, x)).to(torch.complex64).numpy()
            if number == 0:
                std = noise * float(truth.abs().max())
                if noise and noise_scan:
                    silence = noise_of((_NOISE_READOUTS, 2 * width), std).transpose(0, 1)
                    acquisitions.append(silence, flags=ismrmrd.NOISE)
            data = signal.on_grid(weights, rows, columns) / math.sqrt(2 * height * width)
            data += noise_of(tuple(data.shape[1:]), std)
            acquisitions.append(
                data.transpose(0, 1), flags=flags, steps=lines.numpy(), slice=number,
                position=number * _THICKNESS,
            )  # fmt: skip
        file["truth"].attrs.update(
            source=source if isinstance(source, str) else type(source).__name__.lower(),
            sampling=sampling,
            acceleration=acceleration,
            calibration=calibration,
            noise=noise,
            noise_std=std,
            noise_covariance=(std**2 * coupling @ coupling.mH).numpy(),
            seed=seed,
        )


def _lines(sampling: str, height: int, acceleration: float, calibration: int, seed: int) -> Tensor:
    """Numbers of the lines to measure."""
    from invgen.operators import sampling as masks

    if not 0 <= calibration <= height:
        raise ParameterError(f"calibration is a number of lines from 0 to {height}; got {calibration}.")
    draw = {
        "equispaced": masks.equispaced_lines,
        "random": masks.random_lines,
        "gaussian": masks.gaussian,
    }[sampling]
    return draw((height,), acceleration, calibration / height, seed=seed).nonzero().flatten()


def _half_cycles(n: int) -> Tensor:
    """Places of the n samples of a full scan along an axis, in half cycles per field of view."""
    return 2 * (torch.arange(n) - n // 2)


def _image(kspace: Tensor) -> Tensor:
    """The image of k-space samples ``sum_n x[n] exp(-2 pi i k n)``."""
    from invgen.operators import Fourier

    return Fourier(tuple(kspace.shape)).H(kspace) / math.sqrt(kspace.numel())


def _truth(
    file: h5py.File, slices: int, coils: int, shape: tuple[int, int], pixel_size: float
) -> tuple[h5py.Dataset, h5py.Dataset]:
    images = file.create_dataset("truth/image", (slices, *shape), "c8", chunks=(1, *shape))
    images.attrs.update(pixel_size=pixel_size, units="relative signal")
    return images, file.create_dataset("truth/coils", (slices, coils, *shape), "c8", chunks=(1, 1, *shape))
