"""The simulated MR scanner: coils, sampling, noise and file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invgen.core.checks import as_count, is_count
from invgen.core.errors import ParameterError
from invgen.core.files import atomic_hdf5
from invgen.operators import Fourier
from invgen.simulate import ismrmrd
from invgen.simulate.coils import fit, on_grid
from invgen.simulate.geometry import check_positive
from invgen.simulate.readouts import Sampling, half_cycles, plan
from invgen.simulate.signal import MRISource, Signal, signal_of

if TYPE_CHECKING:
    import h5py

__all__ = ["simulate_mri"]

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
    partial_fourier: float = 1.0,
    noise: float = 0.005,
    noise_scan: bool = True,
    slices: int = 1,
    pixel_size: float | None = None,
    seed: int = 0,
) -> None:
    """Simulate a raw MRI scan and write it as ISMRMRD HDF5, with the truth in ``/truth``.

    The signal of ellipses is the exact Fourier integral, coil sensitivities included, without the pixels of a
    reconstruction (Guerquin-Kern et al. 2012, Realistic analytical phantoms for parallel magnetic resonance
    imaging). Readouts run along x and are oversampled twice, as by scanners.

    Parameters
    ----------
    path : str or Path
        The file to write; it appears under this name only when it is complete.
    source : {"head", "shepp-logan"}, Ellipses or Tensor of shape (h, w)
        The object. `Ellipses` are in mm around the middle of the image. An image is scaled to fit into the
        field of view; its pixels are square, and divided until they are less than half of the scan's.
    size : int or (int, int)
        Shape (H, W) of the true image, in pixels.
    coils : int
        Number of receivers around the object; a single one is equally sensitive everywhere.
    sampling : {"equispaced", "random", "gaussian", "radial", "spiral"}
        Lines along x, by `invgen.operators.sampling`; spokes by the golden angle; spirals, which are denser
        in the middle.
    acceleration : float
        Nominal: lines, spokes or interleaves of a full scan over those that are measured.
    calibration : int
        Number of lines in the middle of k-space that are all measured.
    partial_fourier : float
        Part of k-space along y that is measured, above 1/2, such as 5/8: the lowest frequencies are left out.
    noise : float
        Standard deviation of the real and of the imaginary part of the noise, on average over the coils,
        relative to the largest signal of the true image: that of a fully sampled coil image. The receivers'
        noise is correlated. Zero for none.
    noise_scan : bool
        Precede the scan by readouts of noise alone, from which its covariance can be estimated.
    slices : int
        Number of slices through the object, which is smaller away from the middle one.
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
    ``/truth/image`` (slices, H, W), complex, is the image of a full scan without noise: the object, of smooth
    phase, band-limited to k-space of that size, Gibbs ringing included, times the root sum of squares of the
    sensitivities, whose mean square over the field is one. ``/truth/coils`` (slices, coils, H, W) are the
    sensitivities divided by it. The pixel ``N // 2`` of each axis is the origin, and the data are in the
    scale of unitary transforms. Attributes of ``/truth`` hold the rest, among them ``noise_std``, in the
    data's unit, and ``noise_covariance``, ``E[n n.H] / 2`` of the coils.
    """
    sizes = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sizes) != 2 or not all(map(is_count, sizes)):
        raise ParameterError(f"size is a number of pixels, or (H, W); got {size}.")
    shape = (int(sizes[0]), int(sizes[1]))
    coils, slices = as_count(coils, "coils"), as_count(slices, "slices")
    pixel_size = _FIELD / shape[1] if pixel_size is None else pixel_size
    check_positive(pixel_size=pixel_size)
    if not (0 <= noise < math.inf):
        raise ParameterError(f"noise is a relative standard deviation, at least zero; got {noise}.")
    readouts = plan(sampling, shape, acceleration, calibration, seed, partial_fourier)
    random = torch.Generator().manual_seed(seed)
    neighbors = torch.randn(coils, coils, generator=random, dtype=torch.complex128)
    coupling = torch.eye(coils) + _COUPLING * neighbors
    coupling /= (coupling.abs() ** 2).sum(1).mean().sqrt()

    def receivers(shape: tuple[int, ...], std: float) -> Tensor:
        """Draw noise, (readouts, coils, samples); both parts of a complex `randn` have variance 1/2."""
        plain = torch.randn(shape, generator=random, dtype=torch.complex128)
        return std * math.sqrt(2) * (coupling @ plain)

    header = ismrmrd.header(
        encoded=readouts.encoded,
        recon=shape,
        pixel_size=pixel_size,
        thickness=_THICKNESS,
        slices=slices,
        coils=coils,
        steps=readouts.steps,
        step_center=readouts.center,
        trajectory=readouts.trajectory,
        acceleration=acceleration,
        calibration=calibration,
    )
    # the file has (kx, ky)
    trajectory = None if readouts.k is None else readouts.k.flip(-1)
    std = 0.0
    with atomic_hdf5(path) as file:
        images, maps = _truth(file, slices, coils, shape, pixel_size)
        acquisitions = ismrmrd.Acquisitions(file, header, readouts.center_sample, _DWELL)
        for number in range(slices):
            place = 0.0 if slices == 1 else 1.2 * (number / (slices - 1) - 0.5)  # of the object's radius
            signal = signal_of(source, shape, math.sqrt(1 - place**2), pixel_size, seed)
            phase, weights = fit(coils, place, shape[0] / shape[1], seed)
            y, x = ((torch.arange(n) - n // 2).double() / n for n in shape)
            sensitivities = on_grid(weights, y, x) / on_grid(phase[None], y, x)
            root = sensitivities.abs().square().sum(0).sqrt()
            truth = root * _full_scan(signal, phase)
            images[number] = truth.to(torch.complex64).numpy()
            maps[number] = (sensitivities / root).to(torch.complex64).numpy()
            if number == 0:
                std = noise * float(truth.abs().max())
                if noise and noise_scan:
                    silence = receivers((_NOISE_READOUTS, coils, readouts.samples), std)
                    acquisitions.append(silence, flags=ismrmrd.NOISE)
            data = readouts.measure(signal, weights)
            acquisitions.append(
                data + receivers(tuple(data.shape), std),
                flags=readouts.flags,
                steps=readouts.lines.numpy(),
                slice=number,
                position=number * _THICKNESS,
                trajectory=trajectory,
            )
        file["truth"].attrs.update(
            source=source if isinstance(source, str) else type(source).__name__.lower(),
            sampling=sampling,
            acceleration=acceleration,
            calibration=calibration,
            partial_fourier=partial_fourier,
            noise=noise,
            noise_std=std,
            noise_covariance=(std**2 * coupling @ coupling.mH).numpy(),
            seed=seed,
        )


def _full_scan(signal: Signal, phase: Tensor) -> Tensor:
    """The image of one uniform coil and all of k-space, without the half that oversampling adds."""
    height, width = signal.shape
    kspace = signal.on_grid(phase[None], half_cycles(height), torch.arange(-width, width))[0]
    image = Fourier((height, 2 * width)).H(kspace) / math.sqrt(kspace.numel())
    return image[:, width - width // 2 :][:, :width]


def _truth(
    file: h5py.File, slices: int, coils: int, shape: tuple[int, int], pixel_size: float
) -> tuple[h5py.Dataset, h5py.Dataset]:
    images = file.create_dataset("truth/image", (slices, *shape), "c8", chunks=(1, *shape))
    images.attrs.update(pixel_size=pixel_size, units="relative signal")
    return images, file.create_dataset("truth/coils", (slices, coils, *shape), "c8", chunks=(1, 1, *shape))
