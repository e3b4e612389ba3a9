"""k-space in files of BART, whose dimensions have fixed meanings: see `invgen.io.mri.cfl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from invgen.core.errors import DataError, ParameterError
from invgen.io.entries import chosen_entry
from invgen.io.mri.arrays import contents_of, load_file
from invgen.io.mri.cfl import DIMENSIONS, data_file, load_cfl
from invgen.io.mri.contents import Contents
from invgen.io.mri.named import NamedArray, named
from invgen.io.options import Options
from invgen.io.source import Container, Source

__all__ = ["CONTAINER", "read", "recognize"]

CONTAINER: Container = "bart"

#: Axes by the number of their dimension; others have no place in a scan.
_GRID, _PATH = {0: "x", 1: "y", 2: "z"}, {1: "sample", 2: "shot"}
_BESIDE = {3: "coil", 5: "echo", 10: "repetition", 11: "phase", 13: "slice"}


def recognize(source: Source, options: Options) -> bool:
    """Whether it is such a file: its container is of nothing else."""
    return True


def read(source: Source, options: Options) -> Contents:
    """Read k-space of the dimensions READ, PHS1, PHS2 or, with a trajectory, of 1, samples, shots.

    COIL and SLICE are coils and slices, TIME repetitions; of echoes (TE) and cardiac phases (TIME2) one is
    chosen by ``index``. A trajectory, (3, samples, shots), is in cycles per field of view unless it is
    stated otherwise. A mask has the sizes of k-space, or one.

    Raises
    ------
    FileError
        When the file is damaged.
    DataError, ParameterError
        When a dimension has no place in a scan, or what the caller states does not fit.
    """
    if options.axes is not None or options.dataset is not None:
        raise ParameterError(
            f"{source.path} is a file of BART: it holds one array, of known axes; leave out axes and dataset."
        )
    along_path, what = options.trajectory is not None, source.path.name
    array = load_cfl(source.path)
    source.beside(source.path.with_suffix(".hdr"))
    sizes = array.shape + (1,) * (len(DIMENSIONS) - array.ndim)
    if along_path != (sizes[0] == 1):
        raise ParameterError(
            f"{what} has {sizes[0]} entries along READ: "
            + (
                "samples along a trajectory have one; leave out trajectory=... (command line: --trajectory)."
                if along_path
                else "they lie along a trajectory; give it, trajectory=... (command line: --trajectory)."
            )
        )
    names, plane = (_PATH | _BESIDE, (1, 2)) if along_path else (_GRID | _BESIDE, (0, 1))
    for number, size in enumerate(sizes):
        if size > 1 and number not in names:
            raise DataError(
                f"{what} has {size} entries along {DIMENSIONS[number]}, which have no place in a scan; "
                f"choose one of them: bart slice {number} 0 ..."
            )
    kept = [number for number in names if sizes[number] > 1 or number in plane]
    array = array.reshape([sizes[number] for number in kept], order="F")
    entry, axes = chosen_entry(array, [names[number] for number in kept], options.index, what)
    kspace = named(entry, ",".join(axes), what)

    def given(value: Any) -> np.ndarray:
        if isinstance(value, str):
            source.beside(data_file(Path(value)))
        values = _real(value)
        if along_path:
            return values.reshape(values.shape + (1,) * (3 - values.ndim))
        return _on_grid(values, kspace)

    return contents_of(kspace, options, given, format="bart", unit="cycles/fov")


def _real(given: Any) -> np.ndarray:
    """Real numbers, which files of BART have as complex ones."""
    values = np.asarray(load_file(given) if isinstance(given, str) else given)
    if values.dtype.kind == "c":
        if np.any(values.imag):
            raise DataError(
                "a trajectory or a mask holds real numbers; their imaginary parts are not zero here."
            )
        values = values.real
    return values


def _on_grid(mask: np.ndarray, kspace: NamedArray) -> np.ndarray:
    """The mask on the grid of k-space, along which it has all entries or one."""
    sizes = tuple(kspace.size[name] for name in kspace.stored)
    try:
        return np.broadcast_to(mask.reshape(mask.shape + (1,) * (len(sizes) - mask.ndim)), sizes)
    except ValueError:
        raise DataError(
            f"the mask has the sizes {mask.shape}; k-space has {','.join(kspace.stored)} of {sizes}."
        ) from None
