"""Pairs of files of BART: ``x.hdr``, text that has the dimensions, and ``x.cfl``, the numbers.

Uecker et al. (2015), Berkeley advanced reconstruction toolbox, ISMRM 23, 2486. As ``misc/io.c`` of BART has
it, the sizes stand in the line below ``# Dimensions``, and numbers are complex64, little-endian, the first
dimension fastest.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from invgen.core.errors import FileError
from invgen.core.files import check_regular

__all__ = ["DIMENSIONS", "data_file", "load_cfl"]

#: Names of the dimensions, as in ``misc/mri.h``.
DIMENSIONS = (
    *("READ", "PHS1", "PHS2", "COIL", "MAPS", "TE", "COEFF", "COEFF2", "ITER", "CSHIFT"),
    *("TIME", "TIME2", "LEVEL", "SLICE", "AVG", "BATCH"),
)
_LONGEST_HEADER = 2**16
_MAX_SIZE = 2**40


def data_file(path: Path) -> Path:
    """The file of the numbers, where one of the pair or their common name is given; else the same path."""
    beside = path.with_suffix(".cfl") if path.suffix == ".hdr" else path.with_name(f"{path.name}.cfl")
    wanted = path.suffix == ".hdr" or not path.exists()
    return beside if wanted and beside.is_file() else path


def load_cfl(path: str | Path) -> np.ndarray:
    """Map the numbers into memory, complex64, without the dimensions of one entry at the end.

    Raises
    ------
    FileError
        When one of the pair is missing or damaged, or they do not fit each other.
    """
    path = data_file(Path(path))
    check_regular(path)
    sizes = _sizes(path.with_suffix(".hdr"))
    needed, there = 8 * math.prod(sizes), path.stat().st_size
    if there != needed:
        kind = "truncated" if there < needed else "another file than its header is of"
        raise FileError(
            f"{path} is {kind}: it has {there} bytes, and {' x '.join(map(str, sizes))} complex numbers, as "
            f"{path.stem}.hdr states, are {needed}."
        )
    return np.memmap(path, "<c8", "r", shape=sizes, order="F")


def _sizes(header: Path) -> tuple[int, ...]:
    check_regular(header)
    with header.open("rb") as file:
        lines = file.read(_LONGEST_HEADER).decode("latin-1").splitlines()
    titles = [number for number, line in enumerate(lines) if line.split() == ["#", "Dimensions"]]
    words = lines[titles[0] + 1].split() if titles and titles[0] + 1 < len(lines) else []
    if not words or not all(word.isdecimal() and len(word) < 14 for word in words):
        raise FileError(f"{header} is no header of BART: it has no line of sizes below '# Dimensions'.")
    sizes = [int(word) for word in words]
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) > len(DIMENSIONS) or not 0 < math.prod(sizes) < _MAX_SIZE:
        raise FileError(
            f"{header} claims {' x '.join(words[:20])} numbers, which no scan has; "
            "BART has up to 16 dimensions."
        )
    return tuple(sizes)
