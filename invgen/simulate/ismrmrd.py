"""Raw MRI data in the ISMRMRD format, as HDF5, as converters of vendor data write it.

Inati et al. (2017), ISMRM raw data format: a proposed standard for MRI raw datasets; schema and memory layout
as in github.com/ismrmrd/ismrmrd, version 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    import h5py

__all__ = [
    "CALIBRATION_AND_IMAGING",
    "FIRST_IN_SLICE",
    "LAST_IN_SLICE",
    "NOISE",
    "Acquisitions",
    "header",
]

FIRST_IN_SLICE, LAST_IN_SLICE = 1 << 6, 1 << 7
NOISE, CALIBRATION_AND_IMAGING = 1 << 18, 1 << 20

_COUNTERS = np.dtype(
    [
        (name, "<u2")
        for name in (
            "kspace_encode_step_1",
            "kspace_encode_step_2",
            "average",
            "slice",
            "contrast",
            "phase",
            "repetition",
            "set",
            "segment",
        )
    ]
    + [("user", "<u2", (8,))]
)
_HEAD = np.dtype(
    [
        ("version", "<u2"),
        ("flags", "<u8"),
        ("measurement_uid", "<u4"),
        ("scan_counter", "<u4"),
        ("acquisition_time_stamp", "<u4"),
        ("physiology_time_stamp", "<u4", (3,)),
        ("number_of_samples", "<u2"),
        ("available_channels", "<u2"),
        ("active_channels", "<u2"),
        ("channel_mask", "<u8", (16,)),
        ("discard_pre", "<u2"),
        ("discard_post", "<u2"),
        ("center_sample", "<u2"),
        ("encoding_space_ref", "<u2"),
        ("trajectory_dimensions", "<u2"),
        ("sample_time_us", "<f4"),
        ("position", "<f4", (3,)),
        ("read_dir", "<f4", (3,)),
        ("phase_dir", "<f4", (3,)),
        ("slice_dir", "<f4", (3,)),
        ("patient_table_position", "<f4", (3,)),
        ("idx", _COUNTERS),
        ("user_int", "<i4", (8,)),
        ("user_float", "<f4", (8,)),
    ]
)


class Acquisitions:
    """Appends acquisitions to the group ``dataset`` of a file.

    Parameters
    ----------
    file : h5py.File
    header : str
        XML.
    center_sample : int
        Sample of each readout at the center of k-space.
    dwell : float
        Microseconds between samples.
    """

    def __init__(self, file: h5py.File, header: str, center_sample: int, dwell: float):
        import h5py

        group = file.create_group("dataset")
        xml = group.create_dataset("xml", (1,), h5py.special_dtype(vlen=bytes))
        xml[0] = header.encode()
        floats = h5py.special_dtype(vlen=np.dtype("<f4"))
        dtype = np.dtype([("head", _HEAD), ("traj", floats), ("data", floats)])
        self._data = group.create_dataset("data", (0,), dtype, maxshape=(None,), chunks=(16,))
        self._center_sample, self._dwell = center_sample, dwell

    def append(
        self,
        data: Tensor,
        *,
        flags: np.ndarray | int = 0,
        steps: np.ndarray | int = 0,
        slice: int = 0,
        position: float = 0.0,
        trajectory: Tensor | None = None,
    ) -> None:
        """Append readouts.

        Parameters
        ----------
        data : complex Tensor, shape (readouts, coils, samples)
        flags, steps : integers, for all or one for each readout
            Bits of the header, and the first encoding step.
        slice, position : int, float
            Number of the slice, and its place in mm.
        trajectory : Tensor, shape (readouts, samples, 2), optional
            (kx, ky), in cycles per pixel.
        """
        readouts, coils, samples = data.shape
        first = len(self._data)
        rows = np.zeros(readouts, self._data.dtype)
        head = rows["head"]
        head["version"], head["flags"] = 1, flags
        head["scan_counter"] = head["acquisition_time_stamp"] = first + np.arange(readouts)
        head["number_of_samples"], head["center_sample"] = samples, self._center_sample
        head["available_channels"] = head["active_channels"] = coils
        head["sample_time_us"] = self._dwell
        head["position"][:, 2] = position
        head["read_dir"][:, 0] = head["phase_dir"][:, 1] = head["slice_dir"][:, 2] = 1
        head["idx"]["kspace_encode_step_1"], head["idx"]["slice"] = steps, slice
        values = data.numpy().astype("<c8").reshape(readouts, -1).view("<f4")
        places = np.zeros((readouts, 0), "<f4")
        if trajectory is not None:
            head["trajectory_dimensions"] = trajectory.shape[-1]
            places = trajectory.numpy().astype("<f4").reshape(readouts, -1)
        for row, value, place in zip(rows, values, places, strict=True):
            row["data"], row["traj"] = value, place
        self._data.resize(first + readouts, axis=0)
        self._data[first:] = rows


def header(
    *,
    encoded: tuple[int, int],
    recon: tuple[int, int],
    pixel_size: float,
    thickness: float,
    slices: int,
    coils: int,
    steps: int,
    step_center: int,
    trajectory: str,
    acceleration: float,
    calibration: int,
) -> str:
    """Write the XML header of a scan in the plane.

    Parameters
    ----------
    encoded, recon : (int, int)
        Matrices (y, x) of k-space and of the image; pixels are square, and of one size in both.
    pixel_size, thickness : float
        In mm.
    slices, coils : int
    steps, step_center : int
        Number of first encoding steps of a full scan, and the one at the center of k-space.
    trajectory : str
        ``"cartesian"``, ``"radial"`` or ``"spiral"``.
    acceleration : float
        Along the first encoding step.
    calibration : int
        Lines in the middle of k-space that are all sampled.
    """

    def space(matrix: tuple[int, int]) -> dict[str, Any]:
        height, width = matrix
        size = {"x": width * pixel_size, "y": height * pixel_size, "z": thickness}
        return {"matrixSize": {"x": width, "y": height, "z": 1}, "fieldOfView_mm": size}

    def limit(count: int, center: int) -> dict[str, int]:
        return {"minimum": 0, "maximum": count - 1, "center": center}

    encoding: dict[str, Any] = {
        "encodedSpace": space(encoded),
        "reconSpace": space(recon),
        "encodingLimits": {
            "kspace_encoding_step_1": limit(steps, step_center),
            "slice": limit(slices, slices // 2),
        },
        "trajectory": trajectory,
    }
    if trajectory == "cartesian":
        encoding["parallelImaging"] = {
            "accelerationFactor": {
                "kspace_encoding_step_1": round(acceleration),
                "kspace_encoding_step_2": 1,
            },
            "calibrationMode": "embedded" if calibration else "other",
        }
    return _xml(
        {
            "acquisitionSystemInformation": {
                "systemVendor": "invgen",
                "systemModel": "simulated",
                "receiverChannels": coils,
            },
            "experimentalConditions": {"H1resonanceFrequency_Hz": 127_740_000},  # of 3 T
            "encoding": encoding,
        }
    )


def _xml(content: dict[str, Any]) -> str:
    root = ElementTree.Element("ismrmrdHeader", xmlns="http://www.ismrm.org/ISMRMRD")

    def add(parent: ElementTree.Element, entries: dict[str, Any]) -> None:
        for name, value in entries.items():
            child = ElementTree.SubElement(parent, name)
            if isinstance(value, dict):
                add(child, value)
            else:
                child.text = str(value)

    add(root, content)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")
