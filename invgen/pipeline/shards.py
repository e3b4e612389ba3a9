"""Shards: what slices came to, in files that are whole or not there, and whose damage is noticed.

A shard is a ZIP archive without compression, of NPY arrays, as NumPy's ``.npz`` is, and of what is no array,
as JSON; each part has a checksum (CRC-32). ``numpy.load(shard)`` shows what is in it.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from invgen.core.disk import OnDisk, room_on_disk, slabs
from invgen.core.errors import FileError
from invgen.core.files import atomic_path
from invgen.core.text import brief
from invgen.pipeline.calibrations import Bounds
from invgen.pipeline.judging import Judged
from invgen.pipeline.slices import Solved

__all__ = ["Kept", "bytes_of", "names_in", "read_solved", "write_shard"]

_ABOUT = "about.json"

#: Bytes that are read at a time.
_BLOCK = 2**24


@dataclass(frozen=True)
class Kept:
    """Slices whose results are in a shard.

    Parameters
    ----------
    path : Path
    name : str
        Of the slices, by which they are found in it.
    """

    path: Path
    name: str


def write_shard(path: Path, results: Mapping[str, Solved]) -> None:
    """Write results, by the names of their slices.

    Raises
    ------
    FileError
        When the file cannot be written, or the disk is full.
    """
    with atomic_path(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        archive.writestr(_ABOUT, json.dumps({name: _about(each) for name, each in results.items()}))
        for name, each in results.items():
            for what, tensor in _tensors(each).items():
                with archive.open(f"{name}.{what}.npy", "w", force_zip64=True) as part:
                    _write_tensor(part, tensor)


def names_in(path: Path) -> list[str]:
    """Names of the slices whose results are in a shard, which is read whole and compared with its checksums.

    Empty where it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = list(json.loads(archive.read(_ABOUT)))
        for name in names:
            read_solved(Kept(path, name))
        return names
    except MemoryError:
        raise
    except Exception:  # whatever zipfile and json run into in what is damaged
        return []


def read_solved(kept: Kept) -> Solved:
    """Read results from a shard.

    Raises
    ------
    FileError
        Where it is not there, or damaged.
    """
    try:
        with zipfile.ZipFile(kept.path) as archive:
            about = json.loads(archive.read(_ABOUT))[kept.name]
            tensors = {name: _tensor(archive, f"{kept.name}.{name}.npy") for name in about["tensors"]}
        return _solved(about, tensors)
    except MemoryError:
        raise
    except Exception as error:
        raise FileError(
            f"{kept.path}, which holds finished slices, cannot be read ({brief(error)}): delete it, and they "
            "are computed again."
        ) from error


def bytes_of(solved: Solved) -> int:
    """Size of results."""
    return sum(tensor.nbytes for tensor in _tensors(solved).values())


def _tensors(solved: Solved) -> dict[str, torch.Tensor]:
    judged, bounds = solved.plausibility, solved.bounds
    found = {
        "images": solved.images,
        "samples": solved.samples,
        "map": None if judged is None else judged.map,
        "lower": None if bounds is None else bounds.lower,
        "upper": None if bounds is None else bounds.upper,
    }
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _about(solved: Solved) -> dict[str, Any]:
    """What is no tensor; numbers in JSON are read again as they were, NaN too."""
    judged, bounds = solved.plausibility, solved.bounds
    return {
        "tensors": list(_tensors(solved)),
        "reports": solved.reports,
        "iterations": solved.iterations,
        "psnr": solved.psnr,
        "judged": None
        if judged is None
        else {
            "p_values": judged.p_values,
            "deviations": judged.deviations,
            "calibration": judged.calibration,
            "remark": judged.remark,
        },
        "remark": None if bounds is None else bounds.remark,
    }


def _solved(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Solved:
    judged, remark = about["judged"], about["remark"]
    return Solved(
        tensors["images"],
        tensors.get("samples"),
        tuple(map(tuple, about["reports"])),
        {"iterations": about["iterations"]},
        tuple(about["psnr"]),
        None if judged is None else Judged(map=tensors.get("map"), **judged),
        None if remark is None else Bounds(tensors["lower"], tensors["upper"], remark),
    )


def _write_tensor(part: IO[bytes], tensor: torch.Tensor) -> None:
    """Write an array, of one that is kept on disk some slices at a time."""
    if not isinstance(tensor, OnDisk):
        array = tensor.detach().contiguous().numpy()
        np.lib.format.write_array(part, array, version=(1, 0), allow_pickle=False)
        return
    descr = np.lib.format.dtype_to_descr(tensor.read(0, 1).numpy().dtype)
    about = {"descr": descr, "fortran_order": False, "shape": tuple(tensor.shape)}
    np.lib.format.write_array_header_1_0(part, about)
    for first, stop in slabs(len(tensor), tensor.nbytes / len(tensor), tensor.room):
        part.write(tensor.read(first, stop).numpy().data)


def _tensor(archive: zipfile.ZipFile, name: str) -> torch.Tensor:
    """A part of an archive, read to its end, where its checksum is compared.

    A volume of more than a slab is kept on disk, where there is room for such.
    """
    size = archive.getinfo(name).file_size
    with archive.open(name) as part:
        if np.lib.format.read_magic(part) != (1, 0):
            raise ValueError(f"{name} is of another version")
        shape, _, dtype = np.lib.format.read_array_header_1_0(part)
        if math.prod(shape) * dtype.itemsize != size - part.tell():  # before that memory is asked for
            raise ValueError(f"{name} has another size than its shape")
        room, nbytes = room_on_disk(), math.prod(shape) * dtype.itemsize
        if room is None or len(shape) != 3 or nbytes <= room.slab:
            return torch.from_numpy(_filled(part, shape, dtype, last=True))
        kept = OnDisk(room, shape, torch.from_numpy(np.empty(0, dtype)).dtype)
        for first, stop in slabs(shape[0], nbytes / shape[0], room):
            block = _filled(part, (stop - first, *shape[1:]), dtype, last=stop == shape[0])
            kept.write(torch.from_numpy(block), first)
        return kept


def _filled(part: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], last: bool) -> np.ndarray:
    """The next array of a part, the last one to the end of the part, where its checksum is compared."""
    array = np.empty(shape, dtype)
    view, done = array.reshape(-1).view(np.uint8).data, 0
    while done < len(view) and (block := part.read(min(_BLOCK, len(view) - done))):
        view[done : done + len(block)] = block
        done += len(block)
    if done < len(view) or (last and part.read(1)):
        raise ValueError("a part is too short or too long")
    return array
