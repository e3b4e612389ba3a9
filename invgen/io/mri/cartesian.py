"""Readouts of an ISMRMRD file as lines of Cartesian k-space."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from invgen.core.errors import DataError, InvgenError
from invgen.io.mri import acquisitions as flags
from invgen.io.mri.contents import KSpace, check_size, samples_of
from invgen.io.mri.measurement import Measurement
from invgen.io.mri.origin import contradicted, given_center
from invgen.io.mri.oversampling import remove_oversampling, sampled_throughout

__all__ = ["Lines"]

#: Readouts from which it is seen where the energy lies.
_ENOUGH = 4096


class Lines:
    """Cartesian k-space of a measurement.

    A readout is placed by its ``center_sample``: a partial echo leaves a part of its line empty. Reversed
    readouts, of echo-planar imaging, are first put in order; their ``center_sample`` is counted in that
    order, as vendors' converters write it.

    Parameters
    ----------
    measurement : Measurement
    grid : tuple of int
        (D, H, W) or (H, W).
    width : int
        Width to which the oversampled W is cropped.
    kspace_center : sequence of int, optional
        Encoding steps of the zero frequency, and the sample of a readout; by default as the header states,
        or as the energy of the middle slice has it where that contradicts the header.

    Raises
    ------
    DataError
        When a readout lies outside of the grid.
    """

    def __init__(
        self, measurement: Measurement, grid: tuple[int, ...], width: int, kspace_center: Any = None
    ):
        self._measurement, self._grid, self._width = measurement, grid, width
        table = self._table = measurement.table
        check_size(measurement.coils, math.prod(grid), f"{table.what}: the header")
        used = measurement.imaging | measurement.calibration
        n, center = table["number_of_samples"], table["center_sample"]
        self.notes: tuple[str, ...] = ()
        if not center[used].any() and (n[used] == grid[-1]).all():
            center = n // 2
            self.notes += ("center_sample is not stated; it is taken as the middle of the readouts",)
        if measurement.encoding.trajectory == "epi":
            self.notes += (
                "echo-planar lines are taken as sampled evenly, and their phase as correct: expect ghosts",
            )
        middles = [measurement.middle(len(grid) - 1 - i, size) for i, size in enumerate(grid[:-1])]
        self.found: tuple[str, ...] = ()
        if kspace_center is not None:
            given = given_center(kspace_center, grid)
            assert given is not None, "it is given"
            *middles, sample = given
            center = np.full_like(center, sample)
        else:
            middles, center = self._as_measured(middles, center)
        self._start = grid[-1] // 2 - center + table["discard_pre"]
        self._stop = grid[-1] // 2 - center + n - table["discard_post"]
        self._rows = [
            measurement.step(len(grid) - 1 - i, grid[i], middle) for i, middle in enumerate(middles)
        ]
        self._check(used)

    def _as_measured(self, middles: list[int], center: np.ndarray) -> tuple[list[int], np.ndarray]:
        """Encoding steps and samples of the zero frequency, where the energy contradicts those stated."""
        measurement, table = self._measurement, self._table
        lines = measurement.of(len(measurement.slices) // 2, 0)
        lines = lines[:: 1 + 2 * (len(lines) // (2 * _ENOUGH))]  # an odd stride meets both senses
        try:
            energies = {
                readout.index: np.square(np.abs(readout.samples)).sum(0, dtype=np.float64)
                for readout in table.read(lines)
            }
        except InvgenError:  # it is said where the slice is used
            return middles, center
        whole = np.array([energies[i].sum() for i in lines.tolist()])
        for i, size in enumerate(self._grid[:-1]):
            name = f"kspace_encode_step_{len(self._grid) - 1 - i}"
            steps = table[name][lines]
            count = max(size, int(steps.max()) + 1)
            times = np.bincount(steps, minlength=count)
            profile = np.bincount(steps, weights=whole, minlength=count) / np.maximum(times, 1)
            peak = contradicted(profile, middles[i])
            if peak is not None:
                self.found += (
                    f"the header states that {name} is {middles[i]} in the middle of k-space, and the "
                    f"energy peaks at {peak}, which is taken; kspace_center=... (command line: "
                    "--kspace-center) says otherwise",
                )
                middles[i] = peak
        reverse, center = table.flagged(flags.REVERSE), center.copy()
        for backwards in (False, True):
            group = [i for i in lines.tolist() if reverse[i] == backwards]
            lengths = {(len(energies[i]), int(center[i]), int(table["discard_pre"][i])) for i in group}
            if len(lengths) != 1:  # none, or of several kinds
                continue
            ((_, stated, skipped),) = lengths
            profile = np.sum([energies[i] for i in group], axis=0)
            # counted as `_fill` places them
            profile = profile[::-1] if backwards else profile
            peak = contradicted(profile, stated - skipped)
            if peak is not None:
                peak += skipped
                kind = "reversed readouts" if backwards else "readouts"
                self.found += (
                    f"center_sample of {kind} is {stated}, and their energy peaks at sample {peak}, which is "
                    "taken; kspace_center=... (command line: --kspace-center) says otherwise",
                )
                center[reverse == backwards] = peak
        return middles, center

    def _check(self, used: np.ndarray) -> None:
        outside = used & ((self._start < 0) | (self._stop > self._grid[-1]) | (self._start >= self._stop))
        for place, size in zip(self._rows, self._grid, strict=False):
            outside |= used & ((place < 0) | (place >= size))
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            names = "zyx"[-len(self._grid) :]
            places = [str(row[i]) for row in self._rows] + [f"{self._start[i]} to {self._stop[i] - 1}"]
            where = ", ".join(f"{name} {place}" for name, place in zip(names, places, strict=True))
            raise DataError(
                f"{self._table.what}: readout {i} lies at {where} of k-space, which has the matrix "
                f"{' x '.join(map(str, self._grid))} ({' x '.join(names)}). Its counters, center_sample or "
                "number of samples do not fit the header's encodedSpace and encodingLimits."
            )

    def read(self, slice: int, frame: int) -> KSpace:
        """k-space of an image, with repeated readouts averaged and the oversampling of readouts removed."""
        lines = self._measurement.of(slice, frame)
        data, counts = self._fill(lines)
        mask = counts > 0
        report = [f"{len(lines)} readouts on {int(mask.any(dim=-1).sum())} lines"]
        calibration, throughout = None, sampled_throughout(mask, -1)
        others = self._measurement.calibrating(slice, frame)
        if len(others):
            calibration, calibrated = self._fill(others)
            throughout &= sampled_throughout(calibrated > 0, -1)
            report.append(f"{len(others)} readouts calibrate the coils")
        most = int(counts.max())
        if most > 1:
            report.append(f"averages: up to {most} readouts of a line")
        covariance, remarks = self._measurement.noise
        kspace = KSpace(
            data,
            self._grid,
            mask=mask,
            calibration=calibration,
            covariance=covariance,
            averages=counts if most > 1 else None,
            report=(*report, *remarks),
        )
        if self._width == self._grid[-1]:
            return kspace
        if not throughout:
            return kspace.reported("partial echo: readout oversampling stays, the image is cropped")
        return remove_oversampling(kspace, -1, self._width)

    def _fill(self, lines: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean of the readouts on the grid, and their number at each sample."""
        data = np.zeros((self._measurement.coils, *self._grid), dtype=np.complex64)
        counts = np.zeros(self._grid, dtype=np.float32)
        reverse = self._table.flagged(flags.REVERSE)
        for readout in self._table.read(lines):
            i = readout.index
            samples = readout.samples[:, ::-1] if reverse[i] else readout.samples
            place = (*(row[i] for row in self._rows), np.s_[self._start[i] : self._stop[i]])
            data[(slice(None), *place)] += samples
            counts[place] += 1
        with np.errstate(over="ignore", invalid="ignore"):
            data /= np.maximum(counts, 1)
        names = ("coil", *("kz", "ky", "kx")[-len(self._grid) :])
        return samples_of(data, self._table.what, names), torch.from_numpy(counts)
