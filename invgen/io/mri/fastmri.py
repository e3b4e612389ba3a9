"""HDF5 files of fastMRI: Zbontar et al. (2018), An open dataset and benchmarks for accelerated MRI."""

from __future__ import annotations

import numpy as np
import torch

from invgen.core.errors import DataError, FileError, InvgenError
from invgen.core.text import printable
from invgen.io.hdf5 import Dataset, File, describe_datasets, find_object, get_dataset, text_attribute
from invgen.io.mri.contents import Contents, KSpace, central, check_size, read_block, samples_of
from invgen.io.mri.header import Limit, read_header
from invgen.io.mri.origin import Origin, find_origin, given_center
from invgen.io.mri.oversampling import remove_oversampling
from invgen.io.options import Options
from invgen.io.source import Container, Source

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "hdf5"

_KSPACE, _HEADER = "kspace", "ismrmrd_header"
_REFERENCES = ("reconstruction_rss", "reconstruction_esc")


def recognize(source: Source, options: Options) -> bool:
    """Whether the file has k-space under the name that fastMRI gives it, and no array is named."""
    return options.dataset is None and isinstance(find_object(source.hdf5, _KSPACE), Dataset)


def read(source: Source, options: Options) -> Contents:
    """Read k-space (slices, coils, H, W), or (slices, H, W) of a single coil.

    Rows, along H, are the readout, sampled twice as densely as the field of view needs; columns are the phase
    encodes. Columns that the header says were padded with zeros are not measured.

    Raises
    ------
    FileError
        When the header is missing, or what is there is not what fastMRI's files hold.
    """
    file = source.hdf5
    what = f"{file.filename}: kspace"
    dataset = get_dataset(file, _KSPACE)
    shape = tuple(dataset.shape or ())
    if find_object(file, _HEADER) is None:
        order = {4: "slice,coil,y,x", 3: "coil,y,x (or slice,y,x)", 2: "y,x"}.get(len(shape), "coil,y,x")
        raise FileError(
            f"{file.filename} holds 'kspace' {shape} as fastMRI's files do, but not their 'ismrmrd_header', "
            "which states the matrix, the field of view and the padding. Read it as a plain array: "
            f'dataset="kspace", axes="{order}" (command line: --dataset kspace --axes {order.split()[0]}).'
        )
    if len(shape) not in (3, 4) or 0 in shape or dataset.dtype.kind != "c":
        raise FileError(
            f"{what} should be complex, of shape (slices, coils, rows, columns) or, of a single coil, "
            f"(slices, rows, columns); it is {dataset.dtype} of shape {shape}. {describe_datasets(file)}"
        )
    slices, rows, columns = shape[0], shape[-2], shape[-1]
    coils = shape[1] if len(shape) == 4 else 1
    check_size(coils, rows * columns, what)
    header = read_header(file, _HEADER)
    encoding = header.encodings[0]
    if encoding.trajectory not in ("cartesian", "epi"):
        raise FileError(f"{file.filename}: the header says {encoding.trajectory!r}; fastMRI's is Cartesian.")
    reference = _reference(file, slices)
    wanted = encoding.recon.matrix[:2] if reference is None else reference.shape[1:]
    image_shape = (min(wanted[0], rows), min(wanted[1], columns))
    columns_measured, notes = _measured_columns(file, columns, encoding.limits)
    acquisition = text_attribute(file, "acquisition")
    if acquisition:
        notes += (f"acquisition {printable(acquisition, 40)}",)

    def stored(slice: int) -> KSpace:
        block = read_block(dataset, slice, f"{what}, slice {slice},")
        names = ("coil", "ky", "kx")
        return _slice(samples_of(block, f"{what}, slice {slice},", names), columns_measured, slice)

    center = given_center(options.kspace_center, (rows, columns))
    try:
        middle = stored(slices // 2)
        assert middle.mask is not None, "it is Cartesian"
        origin = find_origin(middle.data, middle.mask.expand(rows, columns), center, "middle")
    except InvgenError:  # it is said where the slice is used
        origin = Origin((rows, columns), center or (rows // 2, columns // 2), (False, False))

    def read_slice(slice: int, _: int) -> KSpace:
        return _crop_readout(origin.centered(stored(slice)), image_shape[0])

    def read_reference(slice: int) -> torch.Tensor | None:
        if reference is None:
            return None
        block = read_block(reference, slice, f"{file.filename}: {reference.name}")
        return torch.from_numpy(np.array(block, dtype=np.float32))

    pixel_size = (encoding.recon.pixel(0), encoding.recon.pixel(1))
    return Contents(
        format="fastmri",
        dataset=_KSPACE,
        slices=slices,
        coils=coils,
        trajectory="cartesian",
        encoded_shape=(rows, columns),
        image_shape=image_shape,
        dtype=dataset.dtype,
        read=read_slice,
        reference=read_reference,
        pixel_size=pixel_size if min(pixel_size) > 0 else None,
        thickness=encoding.recon.pixel(2) or None,
        oversampling=rows / image_shape[0],
        notes=notes,
        contradictions=origin.found,
        options=("kspace_center",),
    )


def _measured_columns(
    file: File, columns: int, limits: dict[str, Limit]
) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Columns that are neither padding nor left out by the mask of a test file; and remarks."""
    measured = torch.ones(columns, dtype=torch.bool)
    notes: tuple[str, ...] = ()
    limit = limits.get("kspace_encoding_step_1")
    if limit is not None:
        # padding_left and padding_right of fastMRI's data/mri_data.py, but around the middle of what is there
        left = columns // 2 - limit.center
        right = left + limit.maximum + 1
        if 0 <= left < right <= columns:
            measured[:left], measured[right:] = False, False
        else:
            notes = (
                f"the header places lines {left} to {right - 1} in k-space of {columns} columns; "
                "it is not followed: what is not zero is taken as measured",
            )
    mask = find_object(file, "mask")
    if isinstance(mask, Dataset):
        if mask.size != columns or mask.dtype.kind not in "uifb":
            raise DataError(
                f"{file.filename}: the mask is {mask.dtype} of shape {mask.shape}; k-space has {columns} "
                "columns, and fastMRI's mask one number for each."
            )
        values = read_block(mask, (), f"{file.filename}: the mask")
        measured &= torch.from_numpy(values.reshape(-1) != 0)
    return measured, notes


def _reference(file: File, slices: int) -> Dataset | None:
    for name in _REFERENCES:
        found = find_object(file, name)
        if isinstance(found, Dataset) and found.ndim == 3 and len(found) == slices and 0 not in found.shape:
            return found if found.dtype.kind == "f" else None
    return None


def _slice(data: torch.Tensor, measured: torch.Tensor, slice: int) -> KSpace:
    """k-space of a slice, and which of its columns hold anything."""
    data = data if data.ndim == 3 else data[None]
    filled = (data != 0).any(dim=0).any(dim=0)
    mask = measured & filled
    if not bool(mask.any()):
        raise DataError(f"slice {slice} holds only zeros: it was not measured.")
    return KSpace(
        data=data * mask,
        image_shape=tuple(data.shape[1:]),
        mask=mask,
        report=(f"{int(mask.sum())} of {len(mask)} columns are measured",),
    )


def _crop_readout(kspace: KSpace, rows: int) -> KSpace:
    """Remove the oversampling of the rows, where the crop is the one that fastMRI makes of the image."""
    n = kspace.image_shape[0]
    same = central(n, rows).start == (n - rows) // 2
    return remove_oversampling(kspace, -2, rows) if n > rows and same else kspace
