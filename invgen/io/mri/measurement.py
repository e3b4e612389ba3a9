"""The purpose of each readout of an ISMRMRD file."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from invgen.core.errors import DataError, FileError
from invgen.io.mri import acquisitions as flags
from invgen.io.mri.acquisitions import Acquisitions
from invgen.io.mri.header import Encoding, Header
from invgen.io.placement import Orientation
from invgen.operators.mri.coils import noise_covariance

__all__ = ["Measurement"]

_FRAME = ("repetition", "contrast", "phase", "set")
_ROUNDING = 1e-3  # of unit vectors, and of positions in mm
_SHOWN = 12  # numbers in a note
_MAX_NOISE = 2**26  # samples, all coils: enough for any covariance


class Measurement:
    """Readouts by their purpose: images, calibration, noise, or nothing that is used here.

    Attributes
    ----------
    table : Acquisitions
    encoding : Encoding
        Encoding of the images: the one of most of their readouts.
    imaging, calibration : bool arrays
        Which readouts are of images, and which of coil calibration; some belong to both.
    coils : int
    slices : array
        Values of the counter of slices that occur, in the order of the slices' positions where these are
        stated.
    orientation : Orientation or None
        As the headers state it.
    frames : array, shape (frames, 4)
        Values of the counters of repetition, contrast, phase and set that occur.
    has_noise : bool
    notes : tuple of str
    """

    def __init__(self, table: Acquisitions, header: Header):
        self.table, self._bandwidth = table, header.noise_bandwidth
        if table.flagged(*flags.COMPRESSED).any():
            raise FileError(f"{table.what}: its readouts are compressed; write them without compression.")
        self.notes: tuple[str, ...] = ()
        noise = table.flagged(flags.NOISE)
        apart = self._leave_out(noise)
        calibration = table.flagged(flags.CALIBRATION, flags.CALIBRATION_AND_IMAGING) & ~apart
        imaging = ~apart & (~calibration | table.flagged(flags.CALIBRATION_AND_IMAGING))
        if not imaging.any():
            raise DataError(
                f"{table.what} has no readout of an image among {len(table)}: {noise.sum()} are of noise, "
                f"{calibration.sum()} of calibration."
            )
        space = table["encoding_space_ref"]
        main = int(np.bincount(space[imaging]).argmax())
        if main >= len(header.encodings):
            raise DataError(
                f"{table.what}: readouts are of encoding {main}; the header has {len(header.encodings)}."
            )
        self.encoding: Encoding = header.encodings[main]
        others = (imaging | calibration) & (space != main)
        self._note(others, "are left out: they have another matrix than the image")
        self.imaging, self.calibration = imaging & (space == main), calibration & (space == main)
        channels = np.unique(table["active_channels"][self.imaging | self.calibration])
        if len(channels) != 1 or channels[0] < 1:
            raise DataError(
                f"{table.what}: readouts have {channels.tolist()} channels; all should have the same number."
            )
        self.coils = int(channels[0])
        self._noise = noise & (table["active_channels"] == self.coils)
        self.has_noise = bool(self._noise.any())
        self._note(noise & ~self._noise, f"of noise are left out: they have other channels than {self.coils}")
        self.slices, firsts = np.unique(table["slice"][self.imaging], return_index=True)
        self.orientation = self._oriented(np.flatnonzero(self.imaging)[firsts])
        self.frames = np.unique(np.stack([table[n][self.imaging] for n in _FRAME], axis=-1), axis=0)

    def _oriented(self, firsts: np.ndarray) -> Orientation | None:
        """Orientation by a readout of each slice, and `slices` in the order of their positions."""
        names = ("read_dir", "phase_dir", "slice_dir")
        axes = np.stack([self.table.vectors(name)[firsts] for name in names], axis=1)
        gram = axes[:, :2] @ axes[:, :2].transpose(0, 2, 1)
        if np.abs(gram - np.eye(2)).max() > _ROUNDING:
            return None
        if np.abs(axes - axes[:1]).max() > _ROUNDING:
            self.notes += ("slices have several orientations, which images of one stack cannot state",)
            return None
        read, phase, across = axes[0]
        normal = np.cross(read, phase)
        normal *= -1 if across @ normal < 0 else 1
        directions = np.stack([read, phase, normal])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        centers = self.table.vectors("position")[firsts]
        places = centers @ directions[2]
        order = np.argsort(places)
        if len(places) > 1 and np.diff(places[order]).min() < _ROUNDING:
            self.notes += ("several slices have one position, which is not followed",)
            return None
        if (order != np.arange(len(order))).any():
            self.notes += (
                "slices are in the order of their positions, in which the file counts them "
                + ", ".join(map(str, self.slices[order][:_SHOWN].tolist()))
                + (", ..." if len(order) > _SHOWN else ""),
            )
            self.slices = self.slices[order]
        return Orientation(centers[order], directions)

    def _leave_out(self, noise: np.ndarray) -> np.ndarray:
        """Readouts that belong to no image, noise included."""
        apart = noise.copy()
        for kind in dict.fromkeys(flags.NO_IMAGING.values()):
            numbers = [number for number, name in flags.NO_IMAGING.items() if name == kind]
            found = self.table.flagged(*numbers) & ~noise
            self._note(found, f"are left out: {kind}")
            apart |= found
        return apart

    def _note(self, rows: np.ndarray, what: str) -> None:
        if rows.any():
            self.notes += (f"{rows.sum()} readouts {what}",)

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Name of each frame, by the counters that vary."""
        varying = [i for i in range(len(_FRAME)) if np.ptp(self.frames[:, i])] or [0]
        return tuple(", ".join(f"{_FRAME[i]} {row[i]}" for i in varying) for row in self.frames.tolist())

    def of(self, slice: int, frame: int) -> np.ndarray:
        """Places of the readouts of an image.

        Raises
        ------
        DataError
            When there are none.
        """
        found = np.flatnonzero(self.imaging & self._in(slice, frame))
        if not len(found):
            names = f"slice {self.slices[slice]}, {self.frame_names[frame]}"
            raise DataError(f"{self.table.what} has no readout of {names}.")
        return found

    def calibrating(self, slice: int, frame: int) -> np.ndarray:
        """Places of the readouts that calibrate an image: of its frame, else of the first that has any."""
        found = np.flatnonzero(self.calibration & (self.table["slice"] == self.slices[slice]))
        frames = np.stack([self.table[name][found] for name in _FRAME], axis=-1)
        own = found[(frames == self.frames[frame]).all(axis=1)]
        return own if len(own) else found[(frames == frames[:1]).all(axis=1)]

    def _in(self, slice: int, frame: int) -> np.ndarray:
        keep = self.table["slice"] == self.slices[slice]
        for name, value in zip(_FRAME, self.frames[frame], strict=True):
            keep &= self.table[name] == value
        return keep

    def middle(self, number: int, n: int) -> int:
        """Counter of the zero frequency on an encoded axis of n entries, as the header states it."""
        limit = self.encoding.limits.get(f"kspace_encoding_step_{number}")
        return n // 2 if limit is None else limit.center

    def step(self, number: int, n: int, middle: int | None = None) -> np.ndarray:
        """Place of each readout on an encoded axis of n entries, by its counter; n // 2 is the middle."""
        middle = self.middle(number, n) if middle is None else middle
        return self.table[f"kspace_encode_step_{number}"] + (n // 2 - middle)

    @cached_property
    def noise(self) -> tuple[torch.Tensor | None, tuple[str, ...]]:
        """Covariance of the noise of a sample, None without a noise scan; and remarks."""
        if not self.has_noise:
            return None, ()
        samples: list[np.ndarray] = []
        for readout in self.table.read(np.flatnonzero(self._noise)):
            samples.append(readout.samples)
            if sum(block.size for block in samples) > _MAX_NOISE:
                break
        noise, ratio = torch.from_numpy(np.concatenate(samples, axis=1)), self._bandwidth_ratio()
        try:
            covariance = noise_covariance(noise, bandwidth_ratio=ratio)
        except DataError as error:
            return None, (f"the noise scan is of no use: {error}",)
        remark = f"noise of {noise.shape[1]} samples of each coil"
        return covariance, (
            remark + ("" if ratio == 1 else f", its variance times {ratio:.3g} for the image's bandwidth"),
        )

    def _bandwidth_ratio(self) -> float:
        """Bandwidth of the image's receiver over the noise-equivalent one of the noise scan."""
        noise, image = (float(np.median(self.table.dwell[rows])) for rows in (self._noise, self.imaging))
        ratio = noise / image if min(noise, image) > 0 and np.isfinite([noise, image]).all() else 1.0
        return ratio / (self._bandwidth or 1.0)
