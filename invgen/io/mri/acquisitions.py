"""The readouts of an ISMRMRD file: a table of their headers, and their samples on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from invgen.core.errors import DataError, FileError
from invgen.io.hdf5 import Dataset
from invgen.io.mri.contents import read_block

__all__ = [
    "CALIBRATION",
    "CALIBRATION_AND_IMAGING",
    "COMPRESSED",
    "NOISE",
    "NO_IMAGING",
    "REVERSE",
    "Acquisitions",
    "Readout",
    "is_table",
]

_MAX_READOUTS = 2**21
#: Readouts whose headers are read at once: their samples are read along.
_TOGETHER = 256
_COUNTERS = (
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "slice",
    "contrast",
    "phase",
    "repetition",
    "set",
)
_NUMBERS = (
    "flags",
    "number_of_samples",
    "active_channels",
    "discard_pre",
    "discard_post",
    "center_sample",
    "encoding_space_ref",
    "trajectory_dimensions",
    "sample_time_us",
)

_VECTORS = ("position", "read_dir", "phase_dir", "slice_dir")

# numbers of the flags in the ISMRMRD standard, which counts bits from one
NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE = 19, 20, 21, 22
NO_IMAGING = {
    23: "navigator",
    24: "phase correction",
    26: "feedback",
    27: "dummy",
    28: "real-time feedback",
    29: "surface coil correction",
    30: "phase stabilization",
    31: "phase stabilization",
}
COMPRESSED = (53, 54)


@dataclass(frozen=True)
class Readout:
    """One readout: its place in the file, samples (channels, n), and trajectory (n, dimensions)."""

    index: int
    samples: np.ndarray
    trajectory: np.ndarray


class Acquisitions:
    """Headers of all readouts, and the readouts themselves.

    Parameters
    ----------
    dataset : Dataset
        Of compounds with ``head``, ``traj`` and ``data``.

    Raises
    ------
    FileError
        When it is of another type, or damaged.
    """

    def __init__(self, dataset: Dataset):
        self.what = f"{dataset.file.filename}: {dataset.name}"
        self._dataset = dataset
        dtype = dataset.dtype
        if not is_table(dataset) or any(_element(dtype, part) is None for part in ("traj", "data")):
            raise FileError(
                f"{self.what} should hold readouts with head, traj and data as ISMRMRD has them; "
                f"it holds {str(dtype)[:200]}."
            )
        if dataset.ndim != 1 or not 0 < len(dataset) <= _MAX_READOUTS:
            raise FileError(
                f"{self.what} should be a list of up to {_MAX_READOUTS} readouts; its shape is "
                f"{dataset.shape}."
            )
        heads, total = dataset.fields("head"), len(dataset)
        head = np.concatenate(
            [
                read_block(heads, slice(k, min(k + _TOGETHER, total)), self.what)
                for k in range(0, total, _TOGETHER)
            ]
        )
        counters = head.dtype["idx"] if "idx" in (head.dtype.names or ()) else None
        missing = set(_NUMBERS) - set(head.dtype.names or ())
        missing |= set(_COUNTERS) - set((counters and counters.names) or ())
        if missing:
            raise FileError(f"{self.what} lacks {', '.join(sorted(missing))} in its headers.")
        self._numbers = {name: _integers(head[name]) for name in _NUMBERS if name != "sample_time_us"}
        self._numbers |= {name: _integers(head["idx"][name]) for name in _COUNTERS}
        self._vectors = {name: _vectors(head, name) for name in _VECTORS}
        self.dwell = np.asarray(head["sample_time_us"], dtype=np.float64)

    def __len__(self) -> int:
        return len(self.dwell)

    def __getitem__(self, name: str) -> np.ndarray:
        """A number of all headers, int64."""
        return self._numbers[name]

    def vectors(self, name: str) -> np.ndarray:
        """A vector of all headers, float64 (n, 3)."""
        return self._vectors[name]

    def flagged(self, *numbers: int) -> np.ndarray:
        """Which readouts have one of these flags."""
        bits = sum(1 << (number - 1) for number in numbers)
        return (self["flags"] & bits) != 0

    def read(self, indices: np.ndarray) -> Iterator[Readout]:
        """Readouts of increasing indices, without the samples that are to be discarded at their ends."""
        for run in np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1):
            if not len(run):
                continue
            where = f"{self.what}, readout {run[0]} and following,"
            block = read_block(self._dataset.fields(["traj", "data"]), slice(run[0], run[-1] + 1), where)
            for index, row in zip(run.tolist(), block, strict=True):
                yield self._readout(index, row["data"], row["traj"])

    def _readout(self, index: int, data: np.ndarray, trajectory: np.ndarray) -> Readout:
        n, channels, dimensions = (
            int(self[name][index])
            for name in ("number_of_samples", "active_channels", "trajectory_dimensions")
        )
        if data.size != 2 * n * channels or trajectory.size != n * dimensions:
            raise DataError(
                f"{self.what}, readout {index}: its header states {n} samples of {channels} channels with "
                f"{dimensions} coordinates each, {2 * n * channels} and {n * dimensions} numbers; there are "
                f"{data.size} and {trajectory.size}."
            )
        pairs = np.ascontiguousarray(data, dtype=np.float32).view(np.complex64)
        keep = slice(int(self["discard_pre"][index]), n - int(self["discard_post"][index]))
        return Readout(index, pairs.reshape(channels, n)[:, keep], trajectory.reshape(n, dimensions)[keep])


def is_table(dataset: object) -> bool:
    """Whether this is a list of compounds with a head and data, as ISMRMRD's readouts are."""
    return isinstance(dataset, Dataset) and {"head", "data"} <= set(dataset.dtype.names or ())


def _element(dtype: np.dtype, part: str) -> np.dtype | None:
    """Type of the numbers in a field of variable length; None where it is no such field."""
    if part not in (dtype.names or ()):
        return None
    element = h5py.check_vlen_dtype(dtype[part])
    return element if isinstance(element, np.dtype) and element.kind == "f" else None


def _integers(values: np.ndarray) -> np.ndarray:
    if values.ndim != 1 or values.dtype.kind not in "ui":
        raise FileError(
            f"a counter of the readouts is {values.dtype} of shape {values.shape}, no whole number."
        )
    return values.astype(np.int64)


def _vectors(head: np.ndarray, name: str) -> np.ndarray:
    """Vectors of the headers; zero where they have none that is finite."""
    values = head[name] if name in (head.dtype.names or ()) else np.zeros(0)
    if values.shape != (len(head), 3) or values.dtype.kind != "f":
        return np.zeros((len(head), 3))
    return np.where(np.isfinite(values), values, 0).astype(np.float64)
