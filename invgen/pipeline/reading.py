"""How to read a scan, or an image: what its file does not say itself."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invgen.core.errors import ParameterError
from invgen.pipeline.measuring import Measuring, Operators, measuring, operators_in_words
from invgen.pipeline.options import given, option, validate
from invgen.pipeline.quantities import Angles, Entries, KspaceCenter, Lengths, Sizes
from invgen.pipeline.values import Choice, Flag, Name

if TYPE_CHECKING:
    from invgen.io import MeasuredImages, MRIScan, Scan

__all__ = ["Reading"]

#: The panels of the command line's help.
_ANY = "Reading the scan (what the file does not say itself)"
_CT, _MRI = "Reading a CT scan", "Reading an MRI scan"
_IMAGES = "Reading an image"

#: Options that name arrays of the file, or other files.
_FILES = ("angles", "flats", "darks", "trajectory", "mask")


@dataclass(frozen=True)
class Reading:
    """How to read a scan: each field is an option of `invgen recon` and `info`; None asks the file."""

    dataset: str | None = option(Name(), "Array of the projections, or of k-space.", panel=_ANY)
    axes: str | None = option(
        Name("ORDER"),
        "Order of its axes. Projections: angle,row,column or, for one slice, angle,column or column,angle. "
        "k-space: coil,y,x or slice,coil,y,x or coil,z,y,x or, with --trajectory, sample,shot,coil.",
        panel=_ANY,
    )
    format: str | None = option(
        Choice(
            (
                "dataexchange",
                "nxtomo",
                "hdf5",
                "npy",
                "mat",
                "tiff",
                "fastmri",
                "ismrmrd",
                "htc",
                "nikon",
                "bart",
            )
        ),
        "What the file is, if not what it looks like: dataexchange, nxtomo, htc, nikon, fastmri, ismrmrd, "
        "bart, hdf5, npy, mat or tiff.",
        panel=_ANY,
    )
    index: tuple[int, ...] | None = option(
        Entries(),
        "Entry of an array that holds several scans along a further axis, energy, echo, time, contrast or "
        "phase, as in --axes energy,angle,row,column: that one alone is reconstructed.",
        panel=_ANY,
    )
    follow_links: bool = option(
        Flag(),
        "Follow links of HDF5 files, and virtual datasets, out of the folder of the scan; within it they are "
        "followed anyway.",
        panel=_ANY,
        default=False,
    )
    angles: str | tuple[float, ...] | None = option(
        Angles(),
        "Angles of the projections, in the file's order and in --angle-unit: an array of the scan's file, "
        "else FILE[:DATASET], or a text.",
        panel=_CT,
    )
    angle_unit: str | None = option(
        Choice(("deg", "rad")), "Unit of the angles in files that do not state it: deg or rad.", panel=_CT
    )
    flats: str | None = option(
        Name("NAME|FILE"),
        "The frames without object (open beam): an array of the scan's file, else FILE[:DATASET] of any "
        "format that scans have.",
        panel=_CT,
    )
    darks: str | None = option(Name("NAME|FILE"), "Likewise, the frames without beam.", panel=_CT)
    quantity: str | None = option(
        Choice(("transmission", "absorption"), "WHAT"),
        "What projections without flats are: transmission, I / I0; or absorption, line integrals "
        "-log(I / I0).",
        panel=_CT,
    )
    rotation: str | None = option(
        Choice(("counterclockwise", "clockwise"), "SENSE"),
        "Which way the view angles turn, counterclockwise or clockwise, x to the right and y up; clockwise "
        "is for files that count the other way: images of fan and cone beams are else blurred, of parallel "
        "beams mirrored.",
        panel=_CT,
    )
    trajectory: str | None = option(
        Name("NAME|FILE"),
        "Where the samples of k-space are: an array of the file, or a NPY or MAT file; kx + i ky, or the "
        "coordinates along one axis more.",
        panel=_MRI,
    )
    trajectory_unit: str | None = option(
        Choice(("cycles/pixel", "rad/pixel", "1/m", "cycles/fov"), "UNIT"),
        "Of the trajectory: cycles/pixel (from -0.5 to 0.5, the default), rad/pixel, cycles/fov or 1/m.",
        panel=_MRI,
    )
    field_of_view: float | tuple[float, ...] | None = option(
        Lengths(), "Of the image, in m: a length, or one for each axis.", panel=_MRI
    )
    matrix: tuple[int, ...] | None = option(
        Sizes(), "Pixels of the image made of a trajectory's samples.", panel=_MRI
    )
    mask: str | None = option(
        Name(),
        "Array of the file, or a file, that marks what is sampled; by default what is not zero.",
        panel=_MRI,
    )
    remove_oversampling: str | None = option(
        Choice(("x", "y", "z"), "AXIS"),
        "Axis of the readout, x or y, that is sampled twice as densely as the image needs.",
        panel=_MRI,
    )
    kspace_center: str | tuple[int, ...] | None = option(
        KspaceCenter(),
        "Entry of the zero frequency of Cartesian k-space: its middle, its corner, or numbers along y,x or "
        "z,y,x; of ISMRMRD files the encoding step and the sample of a readout. By default as stated, unless "
        "the energy peaks elsewhere.",
        panel=_MRI,
    )
    image_center: str | None = option(
        Choice(("middle", "corner")),
        "Pixel that is the image's origin in plain arrays of k-space: middle, or corner as of fft2 without "
        "ifftshift. By default the middle, unless the object then lies at the borders.",
        panel=_MRI,
    )

    operator: str | None = option(
        Operators(),
        "How the image was measured; its values are from 0 to 1.",
        panel=_IMAGES,
    )
    simulate: bool = option(
        Flag(),
        "The file holds the image itself: it is measured by --operator first, with noise of --noise-std that "
        "follows from --seed. How near the output comes is reported.",
        panel=_IMAGES,
        default=False,
    )

    def __post_init__(self) -> None:
        validate(self)

    @property
    def measuring(self) -> Measuring | None:
        """How images were measured; None for scans."""
        return None if self.operator is None else measuring(self.operator)

    def open(self, path: Path) -> Scan | MRIScan | MeasuredImages:
        """Open the scan, or the images."""
        import numpy as np

        from invgen.io import is_picture, open_images, open_scan

        measured = self.measuring
        if measured is not None:
            for each in given(self):
                if each.name not in ("operator", "simulate", "dataset"):
                    raise ParameterError(f"{each.typed} is for scans; --operator is for images.")
            if measured.vectors and not self.simulate and (path.is_dir() or is_picture(path)):
                raise ParameterError(
                    f"--operator {measured.word} takes a file of measurements; {path} is a picture. "
                    "--simulate measures it first."
                )
            return open_images(path, dataset=self.dataset, vectors=measured.vectors and not self.simulate)
        if self.simulate:
            raise ParameterError(f"--simulate measures an image by --operator, {operators_in_words()}.")
        if is_picture(path) or (path.is_dir() and any(map(is_picture, path.iterdir()))):
            kind = "a folder of pictures" if path.is_dir() else "a picture"
            raise ParameterError(
                f"{path} is {kind}: how it was measured is stated by --operator, {operators_in_words()}."
            )
        stated = {each.name: getattr(self, each.name) for each in given(self)}
        if isinstance(self.angles, str):
            stated["angles_dataset"] = stated.pop("angles")
        elif self.angles is not None:
            stated["angles"] = np.array(self.angles)
        return open_scan(path, **stated)

    @property
    def files(self) -> dict[str, Path]:
        """Files that may be read beside the scan, by the names of their options."""
        named = {name: value for name in _FILES if isinstance(value := getattr(self, name), str)}
        found = {name: file[0] for name, value in named.items() if (file := _named(value)) is not None}
        if self.measuring is not None and self.measuring.file is not None:
            found["operator"] = Path(self.measuring.file)
        return {name: path for name, path in found.items() if path.exists()}

    def located(self, scan: Path | None = None) -> Reading:
        """Return the same with whole paths for names of files, so that they are found from any folder.

        A name that is one of an array in the file of the scan, too, means the array.
        """
        from invgen.io.source import Source, container_of

        whole: dict[str, Any] = {}
        for name in _FILES:
            value = getattr(self, name)
            if isinstance(value, str) and (file := _named(value)) is not None:
                if scan is not None:
                    with closing(Source(scan, container_of(scan), self.follow_links)) as source:
                        if source.holds(value):
                            continue
                path, array = file
                whole[name] = ":".join([os.path.abspath(path), *([] if array is None else [array])])
        if self.measuring is not None:
            whole["operator"] = self.measuring.located().text
        return replace(self, **whole)


def _named(value: str) -> tuple[Path, str | None] | None:
    """The file that a value means, if it is one."""
    from invgen.io.source import named_file

    return named_file(value)
