"""DICOM series: one file for each slice (PS3.3 of the standard, Information Object Definitions)."""

from __future__ import annotations

import json
from contextlib import ExitStack
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from invgen.core.errors import CapabilityError, FileError
from invgen.core.files import atomic_folder, atomic_path
from invgen.io.formats.volume import SliceWriter

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

__all__ = ["DicomWriter"]

_MOST = 2**16 - 1
_COMMENT = 10240  # characters of the type LT
_GROUP = 0x0077  # of the private elements


class DicomWriter(SliceWriter):
    """Write a folder of files, one for each slice, as one series; a single slice also to a file, .dcm.

    Values have 16 bits, of which ``RescaleSlope`` and ``RescaleIntercept`` make those of the images, the same
    for the whole series, up to half a step: the range of the values over 131,070. Slices have position and
    orientation, in mm, and an ``InstanceNumber`` from 1 in their order. CT and MR images are of the storage
    classes of their modality; attenuation is no Hounsfield unit, and its ``RescaleType`` says so. Images
    whose size in mm is not known are a secondary capture, in which a pixel counts as 1 mm wide and a
    comment says so. No patient is named. ``ImageComments`` has the command that makes the images again, and a
    private element, (0077,1001) of the creator "invgen", all that is known of them as JSON.

    Raises
    ------
    CapabilityError
        Without the package pydicom.
    FileError
        When several slices are to be one file.
    """

    holds_color = False

    @classmethod
    def check(cls, path: Path, slices: int) -> None:
        """Refuse several slices in one file, and a folder that exists."""
        if find_spec("pydicom") is None:
            raise CapabilityError("DICOM files are written by pydicom: pip install 'invgen[dicom]'.")
        if _is_file(path) and slices > 1:
            raise FileError(
                f"{path} would hold {slices} slices, and a DICOM file has one: give the name of a folder "
                "with --image-format dicom, or one slice by --slices."
            )
        if not _is_file(path) and path.exists():
            raise FileError(f"{path} exists; a DICOM series is written to a new folder.")

    @classmethod
    def bytes_per_value(cls, path: Path, complex: bool) -> int:
        """Of float32, and of the 16 bits that it becomes."""
        return 6

    def _open(self, stack: ExitStack) -> tuple[BinaryIO, int]:
        make = atomic_path if _is_file(self._path) else atomic_folder
        self._target = stack.enter_context(make(self._path))
        return self._scratch(stack), 0

    def _finish(self) -> None:
        from pydicom.valuerep import format_number_as_ds

        least, most, content = np.inf, -np.inf, sha256()
        content.update(f"{self._volume.quantity} {self._volume.origin['settings']}".encode())
        for index in range(self._volume.slices):
            image = self._read(index)
            least, most = min(least, float(image.min())), max(most, float(image.max()))
            content.update(image.data)
        slope = format_number_as_ds((most - least) / _MOST) if most > least else "1"
        intercept = format_number_as_ds(least)
        series = self._series(content.hexdigest())
        series.RescaleSlope, series.RescaleIntercept, series.RescaleType = slope, intercept, "US"
        digits = len(str(self._volume.slices))
        for index in range(self._volume.slices):
            steps = (self._read(index).astype(np.float64) - float(intercept)) / float(slope)
            series.PixelData = steps.round().clip(0, _MOST).astype("<u2").tobytes()
            self._place(series, index, content.hexdigest())
            path = self._target if _is_file(self._path) else self._target / f"{index + 1:0{digits}d}.dcm"
            series.save_as(path, enforce_file_format=True)

    def _place(self, series: Dataset, index: int, content: str) -> None:
        """Say which slice of the series a file is."""
        series.InstanceNumber = index + 1
        series.SOPInstanceUID = series.file_meta.MediaStorageSOPInstanceUID = _uid(content, str(index))
        series.ImagePositionPatient = _decimals(self._volume.placement.positions[index])

    def _series(self, content: str) -> Dataset:
        """What all files have in common. What has no value is required to be there, and unknown."""
        from pydicom import Dataset, uid
        from pydicom.dataset import FileMetaDataset

        volume, place = self._volume, self._volume.placement
        source = volume.origin["source"]
        sizes = place.unit == "mm" and volume.modality != "image"
        found = Dataset()
        found.file_meta = FileMetaDataset()
        found.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        found.SpecificCharacterSet = "ISO_IR 192"
        found.SOPClassUID = uid.SecondaryCaptureImageStorage
        found.Modality = "OT" if volume.modality == "image" else volume.modality
        found.ImageType = ["DERIVED", "PRIMARY"]
        if not sizes:
            found.ConversionType = "SYN"
        elif volume.modality == "CT":
            found.SOPClassUID = uid.CTImageStorage
            found.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
            found.KVP = found.AcquisitionNumber = None
        else:
            found.SOPClassUID = uid.MRImageStorage
            found.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
            found.ScanningSequence, found.SequenceVariant = "RM", "NONE"
            found.ScanOptions = found.MRAcquisitionType = ""
            found.RepetitionTime = found.EchoTime = found.EchoTrainLength = None
        found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID
        for unknown in (
            *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientPosition"),
            *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
            *("PositionReferenceIndicator", "Laterality"),
        ):
            setattr(found, unknown, "")
        found.Manufacturer = "invgen"
        found.SoftwareVersions = json.loads(volume.origin["versions"])["invgen"]
        found.StudyInstanceUID = _uid("study", source)
        found.FrameOfReferenceUID = _uid("frame of reference", source)
        found.SeriesInstanceUID = _uid("series", content)
        found.SeriesNumber = 1 if volume.quantity == "image" else 2
        found.SeriesDescription = f"invgen: {volume.quantity}"
        command = str(json.loads(volume.origin["settings"]).get("command") or "made by invgen")
        remark = "" if sizes else "The size of pixels in mm is not known: one counts as 1 mm. "
        found.ImageComments = (remark + command)[:_COMMENT]
        found.PixelSpacing = _decimals(place.pixel_size)
        found.ImageOrientationPatient = _decimals([*place.right, *place.down])
        depth = float(np.linalg.norm(place.step))
        found.SpacingBetweenSlices, found.SliceThickness = _decimals([depth, place.thickness])
        found.Rows, found.Columns = volume.image_shape
        found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
        found.BitsAllocated = found.BitsStored = 16
        found.HighBit, found.PixelRepresentation = 15, 0
        found.private_block(_GROUP, "invgen", create=True).add_new(0x01, "UT", volume.description)
        return found


def _is_file(path: Path) -> bool:
    """Whether the name is one of a file, and not of a folder."""
    return path.suffix.lower() == ".dcm"


def _uid(*of: str) -> UID:
    """Unique identifier that follows from what it is of."""
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=list(of))


def _decimals(values: Any) -> list[Any]:
    """Numbers in the sixteen characters of the type DS."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(float(value), auto_format=True) for value in values]
