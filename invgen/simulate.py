"""Raw CT scans made up from an object that is known: what a beamline would write, and the truth beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from invgen import phantoms
from invgen.errors import DataError, ParameterError, ShapeError
from invgen.files import atomic_hdf5

if TYPE_CHECKING:
    import h5py

Source = Literal["foam", "shepp-logan"] | phantoms.Ellipses | Tensor

# The camera: 16 bit, a pedestal so that noise does not clip at zero, a little dark current, and a pixel
# response that differs from pixel to pixel.
_FULL = 48_000  # mean counts of the brightest pixel without sample
_PEDESTAL = 100.0  # counts
_DARK_CURRENT = 1e-4  # of the beam
_RESPONSE = 0.02  # standard deviation of the pixels' sensitivity


def simulate_ct(
    path: str | Path,
    source: Source = "foam",
    *,
    size: int = 512,
    views: int = 60,
    angular_range: float = math.pi,
    detector_count: int | None = None,
    pixel_size: float | None = None,
    absorption: float = 2.0,
    photons: float = 1e5,
    center_offset: float | None = None,
    stripes: float = 0.0,
    flats: int = 10,
    darks: int = 10,
    slices: int = 1,
    seed: int = 0,
) -> None:
    """Simulate a parallel-beam scan and write it as Data Exchange HDF5, with the truth in ``/truth``.

    The measurement is made from a finer object than any reconstruction can hold: an `Ellipses` phantom
    is projected in closed form, averaged over each detector bin; an image on a grid (and a detector) at
    least twice as fine. The counts are ``pedestal + gain * Poisson(dark + beam * exp(-projection))``,
    rounded to 16 bit, with a beam and a pixel response that are not uniform.

    Parameters
    ----------
    path : str or Path
        The file to write; it appears under this name only when it is complete.
    source : {"foam", "shepp-logan"}, Ellipses or Tensor of shape (h, w)
        The object. Named phantoms fill the image (foam with the given seed); `Ellipses` are in length
        units (see `pixel_size`); an image, not negative, is centered, scaled to fill the square, and cut
        to a disc a little smaller than the one that every view sees.
    size : int
        The truth is an image of (size, size) pixels.
    views : int
        Projections, at ``angular_range * k / views``.
    angular_range : float
        In radians.
    detector_count : int, optional
        Detector columns; by default `size`, or what it takes to see 94 % of the image's width in every view.
    pixel_size : float, optional
        Side of an image pixel and width of a detector column, in millimeters; by default the file tells
        no size and the length unit is the pixel.
    absorption : float
        Optical depth of the densest ray of the scan; it scales the object's values.
    photons : float
        Mean photons in the brightest pixel without sample.
    center_offset : float, optional
        Columns from the detector's middle to the rotation axis, to the right where positive; by
        default ``size / 80``, so that a reconstruction about the middle is visibly wrong.
    stripes : float
        Relative standard deviation of each pixel's drift between flat fields and projections: rings.
    flats, darks : int
        Frames without sample, and without beam.
    slices : int
        Detector rows. The object fades linearly along them, to half its attenuation at the far end.
    seed : int
        Same seed and arguments, same file.

    Raises
    ------
    ParameterError
        If a number makes no physical sense or the source is not known.
    ShapeError, DataError
        If an image is not two-dimensional, or is negative, empty or not finite.
    FileError
        If the file cannot be written.

    Notes
    -----
    ``/truth/image`` (slices, size, size) is the mean of the object over each pixel, in 1/length: what a
    perfect reconstruction would give. ``/truth`` has the geometry and the beam as attributes, among
    them `rotation_center` (column) and `detector_offset` (length).
    """
    unit, pixel_size = ("pixel", 1.0) if pixel_size is None else ("mm", pixel_size)
    center_offset = size / 80 if center_offset is None else center_offset
    if not math.isfinite(center_offset):
        raise ParameterError(f"center_offset is a finite number of columns; got {center_offset}.")
    if detector_count is None:
        detector_count = max(size, 2 * math.ceil(0.47 * size + abs(center_offset)))
    _check(size=size, views=views, detector_count=detector_count, flats=flats, darks=darks, slices=slices)
    _check(angular_range=angular_range, pixel_size=pixel_size, absorption=absorption, photons=photons)
    if not (0 <= stripes < 0.3):
        raise ParameterError(f"stripes is a relative deviation from 0 to 0.3; got {stripes}.")
    if not abs(center_offset) < detector_count / 2:
        raise ParameterError(
            f"The rotation axis must fall on the detector: |center_offset| < {detector_count / 2}; "
            f"got {center_offset}."
        )

    angles = torch.arange(views, dtype=torch.float64) * (angular_range / views)
    offset = -center_offset * pixel_size
    if isinstance(source, Tensor):
        truth, sinogram = _from_image(source, size, angles, detector_count, pixel_size, offset)
    else:
        phantom = _phantom(source, size * pixel_size / 2, seed)
        truth = phantom.image((size, size), pixel_size)
        sinogram = phantom.sinogram(angles, detector_count, pixel_size, offset)
    densest = float(sinogram.max())
    if not densest > 0:
        raise DataError("The object attenuates nowhere on the detector; give one that is inside the field.")
    scale = absorption / densest
    gain = _FULL / photons
    attributes = {
        "source": source if isinstance(source, str) else type(source).__name__.lower(),
        "rotation_center": (detector_count - 1) / 2 + center_offset,
        "detector_offset": offset,
        "detector_spacing": pixel_size,
        "length_unit": unit,
        "absorption": absorption,
        "photons": photons,
        "counts_per_photon": gain,
        "stripes": stripes,
        "seed": seed,
    }

    random = torch.Generator().manual_seed(seed)

    def camera(received: Tensor):
        """Draw 16-bit counts of pixels that receive a mean number of photons."""
        drawn = torch.poisson(received + _DARK_CURRENT * photons, generator=random)
        return (_PEDESTAL + gain * drawn).round().clamp(0, 65535).numpy().astype("uint16")

    with atomic_hdf5(path) as file:
        data, white, dark, images = _layout(file, angles, slices, detector_count, size, flats, darks)
        file["truth"].attrs.update(attributes)
        images.attrs.update(units=f"1/{unit}", pixel_size=pixel_size)
        if unit != "pixel":
            for axis in "xy":
                file[f"measurement/instrument/detector/actual_pixel_size_{axis}"] = pixel_size
                file[f"measurement/instrument/detector/actual_pixel_size_{axis}"].attrs["units"] = unit
        for row in range(slices):
            fade = scale * (1 - 0.5 * row / max(1, slices - 1))
            beam = photons * _beam(detector_count, random)
            drift = 1 + stripes * torch.randn(detector_count, generator=random, dtype=torch.float64)
            images[row] = (fade * truth).float().numpy()
            data[:, row] = camera(beam * drift.clamp_min(0) * (-fade * sinogram).exp())
            white[:, row] = camera(beam.expand(flats, -1))
            dark[:, row] = camera(torch.zeros(darks, detector_count, dtype=torch.float64))


def _layout(file: h5py.File, angles: Tensor, slices: int, columns: int, size: int, flats: int, darks: int):
    """Create the datasets of a raw scan (De Carlo et al., J. Synchrotron Rad. 21, 2014), and the truth's."""
    file["implements"] = "exchange:measurement"
    file["measurement/instrument/detector/bit_depth"] = 16
    datasets = []
    for name, frames in (("data", len(angles)), ("data_white", flats), ("data_dark", darks)):
        dataset = file.create_dataset(f"exchange/{name}", (frames, slices, columns), "uint16")
        dataset.attrs.update(units="counts", axes="theta:y:x")
        datasets.append(dataset)
    file["exchange/theta"] = angles.rad2deg().numpy()
    file["exchange/theta"].attrs["units"] = "degrees"
    return *datasets, file.create_dataset("truth/image", (slices, size, size), "float32")


def _beam(columns: int, random: torch.Generator) -> Tensor:
    """Relative white field of one detector row: a wide, lopsided beam seen by uneven pixels."""
    place = torch.linspace(-1, 1, columns, dtype=torch.float64)
    response = 1 + _RESPONSE * torch.randn(columns, generator=random, dtype=torch.float64)
    return (-0.3 * (place - 0.2) ** 2).exp() * response.clamp(1 - 4 * _RESPONSE, 1 + 4 * _RESPONSE)


def _phantom(source: object, half_width: float, seed: int) -> phantoms.Ellipses:
    if isinstance(source, phantoms.Ellipses):
        return source
    if source == "foam":
        return phantoms.foam(seed, half_width)
    if source == "shepp-logan":
        return phantoms.shepp_logan(half_width)
    raise ParameterError(
        "The source of a scan is 'foam', 'shepp-logan', an Ellipses phantom or an image tensor; "
        f"got {source!r}."
    )


def _from_image(
    image: Tensor, size: int, angles: Tensor, detector_count: int, pixel_size: float, offset: float
) -> tuple[Tensor, Tensor]:
    """Project an image on a grid and a detector `fine` times finer than the truth and the scan."""
    from invgen.operators import Radon

    if image.ndim != 2 or image.numel() == 0:
        raise ShapeError(f"A source image has shape (h, w); got {tuple(image.shape)}. Give one grey slice.")
    image = image.detach().cpu().double()
    peak = float(image.max())
    if not bool(torch.isfinite(image).all()) or not peak > 0 or float(image.min()) < -1e-6 * peak:
        raise DataError("A source image is finite, not negative and not zero everywhere: it attenuates.")
    image = image.clamp_min(0)  # the rounding of whatever made the image

    side = max(image.shape)
    down, right = side - image.shape[0], side - image.shape[1]
    square = torch.nn.functional.pad(image, (right // 2, right - right // 2, down // 2, down - down // 2))
    fine = max(2, math.ceil(side / size))
    if side != fine * size:
        square = torch.nn.functional.interpolate(
            square[None, None], size=(fine * size,) * 2, mode="bilinear"
        )[0, 0]
    # What some views see and others do not cannot be reconstructed, so the object ends inside of that disc.
    place = (torch.arange(fine * size, dtype=torch.float64) + 0.5) / fine - size / 2
    # One percent of air shows that no projection is cut.
    seen = 0.49 * detector_count - abs(offset) / pixel_size
    square = torch.where(torch.hypot(place[:, None], place) <= seen, square, 0.0)

    radon = Radon(
        (fine * size, fine * size),
        angles,
        detector_count=fine * detector_count,
        detector_spacing=pixel_size / fine,
        detector_offset=offset,
        pixel_size=pixel_size / fine,
    )
    truth = square.reshape(size, fine, size, fine).mean((1, 3))
    return truth, radon(square).reshape(len(angles), detector_count, fine).mean(2)


def _check(**numbers: float) -> None:
    for name, number in numbers.items():
        if not (number > 0 and math.isfinite(number)):
            raise ParameterError(f"{name} is a positive number; got {number}.")
