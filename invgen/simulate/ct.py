"""The simulated CT scanner: beam, camera and file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import DataError, ParameterError
from invgen.core.files import atomic_hdf5
from invgen.simulate.geometry import Geometry, Setup, arrange, check_positive
from invgen.simulate.scene import Source, observe

if TYPE_CHECKING:
    import h5py

__all__ = ["simulate_ct"]

# The camera: 16 bit, with a pedestal so that noise does not clip at zero, a small dark current, and a
# response that differs from pixel to pixel.
_FULL = 48_000  # mean counts of the brightest pixel without sample
_PEDESTAL = 100.0  # counts
_DARK_CURRENT = 1e-4  # of the beam
_RESPONSE = 0.02  # standard deviation of the pixels' sensitivity

_MEASURED = 8  # slices of a sparse scan


def simulate_ct(
    path: str | Path,
    source: Source = "foam",
    *,
    geometry: Geometry = "parallel",
    size: int = 512,
    views: int = 60,
    angular_range: float | None = None,
    detector_count: int | None = None,
    pixel_size: float | None = None,
    source_origin: float | None = None,
    source_detector: float | None = None,
    curved: bool = False,
    absorption: float = 2.0,
    photons: float = 1e5,
    center_offset: float | None = None,
    stripes: float = 0.0,
    flats: int = 10,
    darks: int = 10,
    slices: int | None = None,
    sparse: bool = False,
    seed: int = 0,
) -> None:
    """Simulate a CT scan and write it as Data Exchange HDF5, with the truth in ``/truth``.

    The measured object is finer than the grid of any reconstruction: a phantom is projected in closed form,
    averaged over each detector bin; an image on a grid (and a detector) at least twice as fine. The counts
    are ``pedestal + gain * Poisson(dark + beam * exp(-projection))``, rounded to 16 bit,
    with a beam and a pixel response that are not uniform.

    Parameters
    ----------
    path : str or Path
        The file to write; it appears under this name only when it is complete.
    source : {"foam", "random", "shepp-logan"}, Ellipses, Assembly, Ellipsoids or Tensor of shape (h, w)
        The object. Named phantoms fill the image, or the volume of a cone-beam scan; foam and the random
        objects, see `invgen.phantoms.random`, are those of the given seed. `Ellipses`, an `Assembly` and
        `Ellipsoids` are in length units, see `pixel_size`; a cone beam takes the last only, a random object
        and an `Assembly` are for parallel beams. An image, not negative, is centered, scaled to fill the
        square, and cut to a disc a little smaller than the one that every view sees; a cone beam cannot scan
        it.
    geometry : {"parallel", "fan", "cone"}
        Shape of the beam. Fan and cone come from a point source that turns around the object; view angle
        and detector are those of `Ellipses.fan_sinogram` and `Ellipsoids.cone_sinogram`.
    size : int
        The truth is an image of (size, size) pixels, or a volume of such slices.
    views : int
        Number of projections, at ``angular_range * k / views``.
    angular_range : float, optional
        In radians; by default half a turn for a parallel beam, else a whole turn.
    detector_count : int, optional
        Detector columns; by default `size`, or as wide as to see 94 % of the image's width in every view.
    pixel_size : float, optional
        Side of an image pixel (voxels are cubes), in millimeters; by default the file states no size and the
        length unit is the pixel of the image. A detector pixel has this width at the rotation axis: on the
        detector itself, ``pixel_size * source_detector / source_origin``.
    source_origin, source_detector : float, optional
        Fan and cone: distances from the source to the rotation axis and to the detector, in length units; by
        default four times the image's width, and 1.5 times that.
    curved : bool
        Whether the detector of a fan beam is an arc around the source, its columns at equal fan angles.
    absorption : float
        Line integral of the densest ray of the scan, to which the object's values are scaled.
    photons : float
        Mean number of photons in the brightest pixel without the object.
    center_offset : float, optional
        Columns from the detector's middle to where the rotation axis projects, to the right where positive;
        by default ``size / 80``, so that a reconstruction about the middle is visibly wrong.
    stripes : float
        Relative standard deviation of each pixel's drift between flat fields and projections: rings.
    flats, darks : int
        Number of frames without the object, and without the beam.
    slices : int, optional
        Number of slices of the truth. Parallel and fan: detector rows, by default one; the object fades
        linearly along them, to half its attenuation at the far end. Cone: by default a quarter of `size`; the
        detector has more rows, so that all slices are seen.
    sparse : bool
        Of a parallel or fan beam of more than eight slices: measure eight, which the others repeat as virtual
        datasets of the same file. So a scan of any number of slices takes little time and space.
    seed : int
        Same seed and arguments, same file.

    Raises
    ------
    ParameterError
        If a number makes no physical sense or the source is not known.
    ShapeError, DataError
        If an image is not two-dimensional or meets a cone beam, or is negative, empty or not finite.
    FileError
        If the file cannot be written.

    Notes
    -----
    ``/truth/image`` (slices, size, size) is the mean of the object over each pixel, in 1/length: the perfect
    reconstruction. ``/truth`` has the geometry and the beam as attributes, among them `rotation_center`
    (column) and `detector_offset` (length, on the detector itself).

    Fan and cone: ``/measurement/instrument`` has `geometry` (text), ``source/distance`` (source to rotation
    axis), ``detector/distance`` (rotation axis to detector) and ``detector/actual_pixel_size_x`` and ``_y``
    (on the detector itself), with their `units`: mm, or pixel where there is no `pixel_size`; and
    ``detector/shape``, "curved", where it is.
    """
    unit, pixel_size = ("pixel", 1.0) if pixel_size is None else ("mm", pixel_size)
    setup = arrange(
        geometry,
        size=size,
        views=views,
        slices=slices,
        angular_range=angular_range,
        detector_count=detector_count,
        pixel_size=pixel_size,
        center_offset=center_offset,
        source_origin=source_origin,
        source_detector=source_detector,
        curved=curved,
    )
    flats, darks = as_count(flats, "flats"), as_count(darks, "darks")
    check_positive(absorption=absorption, photons=photons)
    whole = setup
    if sparse:
        if geometry == "cone":
            raise ParameterError("A cone beam sees all slices at once: none of its rows repeats another.")
        measured = min(setup.slices, _MEASURED)
        setup = replace(setup, slices=measured, rows=measured)
    if not (0 <= stripes < 0.3):
        raise ParameterError(f"stripes is a relative deviation from 0 to 0.3; got {stripes}.")

    truth, projections = observe(source, setup, seed)
    densest = float(projections.max())
    if not densest > 0:
        raise DataError("The object attenuates nowhere on the detector; give one that is inside the field.")
    gain = _FULL / photons
    random = torch.Generator().manual_seed(seed)
    rows, columns = setup.rows, setup.columns

    def camera(received: Tensor):
        """Draw 16-bit counts of pixels that receive a mean number of photons."""
        drawn = torch.poisson(received + _DARK_CURRENT * photons, generator=random)
        return (_PEDESTAL + gain * drawn).round().clamp(0, 65535).numpy().astype("uint16")

    def scale(row: int) -> float:
        """Attenuation for a unit of the object's value: slices of one object fade."""
        fade = 1.0 if geometry == "cone" else 1 - 0.5 * row / max(1, setup.slices - 1)
        return fade * absorption / densest

    with atomic_hdf5(path) as file:
        data, white, dark, images = _layout(file, setup, unit, flats, darks, sparse)
        file["truth"].attrs.update(
            source=source if isinstance(source, str) else type(source).__name__.lower(),
            absorption=absorption,
            photons=photons,
            counts_per_photon=gain,
            stripes=stripes,
            seed=seed,
        )
        for row in range(setup.slices):
            images[row] = (scale(row) * truth[row]).float().numpy()
        for row in range(rows):
            beam = photons * _beam(columns, random)
            drift = 1 + stripes * torch.randn(columns, generator=random, dtype=torch.float64)
            data[:, row] = camera(beam * drift.clamp_min(0) * (-scale(row) * projections[row]).exp())
            white[:, row] = camera(beam.expand(flats, -1))
            dark[:, row] = camera(torch.zeros(darks, columns, dtype=torch.float64))
        if whole.rows > rows:
            for name, axis in ((data.name, 1), (white.name, 1), (dark.name, 1), (images.name, 0)):
                _repeat(file, name, axis, whole.rows)


def _layout(file: h5py.File, setup: Setup, unit: str, flats: int, darks: int, sparse: bool):
    """Write what describes a raw scan (De Carlo et al., J. Synchrotron Rad. 21, 2014); create its arrays."""
    file["implements"] = "exchange:measurement"
    file["measurement/instrument/detector/bit_depth"] = 16
    datasets = []
    for name, frames in (("data", len(setup.angles)), ("data_white", flats), ("data_dark", darks)):
        dataset = file.create_dataset(f"exchange/{name}", (frames, setup.rows, setup.columns), "uint16")
        dataset.attrs.update(units="counts", axes="theta:y:x")
        datasets.append(dataset)
    file["exchange/theta"] = setup.angles.rad2deg().numpy()
    file["exchange/theta"].attrs["units"] = "degrees"

    shape = (setup.slices, setup.size, setup.size)
    packed = {"chunks": (1, *shape[1:]), "compression": 1} if sparse else {}
    images = file.create_dataset("truth/image", shape, "float32", **packed)
    images.attrs.update(units=f"1/{unit}", pixel_size=setup.pixel_size)
    file["truth"].attrs.update(
        geometry=setup.geometry,
        rotation_center=(setup.columns - 1) / 2 + setup.center_offset,
        detector_offset=setup.detector_offset,
        detector_spacing=setup.detector_spacing,
        length_unit=unit,
    )
    lengths: dict[str, float] = {}
    if setup.geometry != "parallel" or unit != "pixel":  # else there is nothing to state
        lengths |= {f"detector/actual_pixel_size_{axis}": setup.detector_spacing for axis in "xy"}
    if setup.geometry != "parallel":
        source = {"source_origin": setup.source_origin, "source_detector": setup.source_detector}
        file["truth"].attrs.update(source, curved=setup.curved)
        lengths["source/distance"] = setup.source_origin
        lengths["detector/distance"] = setup.source_detector - setup.source_origin
        file["measurement/instrument/geometry"] = setup.geometry
        if setup.curved:
            file["measurement/instrument/detector/shape"] = "curved"
    for name, length in lengths.items():
        file[f"measurement/instrument/{name}"] = length
        file[f"measurement/instrument/{name}"].attrs["units"] = unit
    return *datasets, images


def _repeat(file: h5py.File, name: str, axis: int, count: int) -> None:
    """Put a virtual dataset in the place of one, which it repeats along an axis up to a length."""
    import h5py

    moved = f"measured/{name.rpartition('/')[2]}"
    file.move(name, moved)
    source = file[moved]
    shape = list(source.shape)
    depth, shape[axis] = shape[axis], count
    layout = h5py.VirtualLayout(tuple(shape), source.dtype)
    before = (slice(None),) * axis
    for first in range(0, count, depth):
        rows = min(depth, count - first)
        part = h5py.VirtualSource(".", moved, source.shape)[(*before, slice(0, rows))]
        layout[(*before, slice(first, first + rows))] = part
    virtual = file.create_virtual_dataset(name, layout)
    virtual.attrs.update(source.attrs)


def _beam(columns: int, random: torch.Generator) -> Tensor:
    """Relative white field of one detector row: a wide, lopsided beam seen by uneven pixels."""
    place = torch.linspace(-1, 1, columns, dtype=torch.float64)
    response = 1 + _RESPONSE * torch.randn(columns, generator=random, dtype=torch.float64)
    return (-0.3 * (place - 0.2) ** 2).exp() * response.clamp(1 - 4 * _RESPONSE, 1 + 4 * _RESPONSE)
