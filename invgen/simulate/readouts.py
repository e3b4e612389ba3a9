"""The samples of k-space that a simulated scan takes, readout by readout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from invgen.core.checks import as_count
from invgen.core.errors import ParameterError
from invgen.simulate import ismrmrd
from invgen.simulate.signal import Signal

__all__ = ["Readouts", "Sampling", "half_cycles", "plan"]

Sampling = Literal["equispaced", "random", "gaussian", "radial", "spiral"]

_TURNS = 8  # of a spiral
_POWER = 2.0  # its turns are closest in the middle, from which coil maps are estimated


@dataclass(frozen=True, eq=False)
class Readouts:
    """The readouts of a slice, oversampled twice along their way.

    Attributes
    ----------
    shape : (int, int)
        Of the image.
    trajectory : {"cartesian", "radial", "spiral"}
    lines : int64 Tensor, shape (readouts,)
        First encoding step of each readout.
    steps, center : int
        Number of first encoding steps, and the one at the center of k-space.
    k : float64 Tensor, shape (readouts, samples, 2), or None
        (ky, kx) in cycles per pixel; None for lines of a grid.
    calibration : bool Tensor, shape (readouts,)
        Which lines belong to the middle that is all sampled.
    """

    shape: tuple[int, int]
    trajectory: str
    lines: Tensor
    steps: int
    center: int
    k: Tensor | None
    calibration: Tensor

    @property
    def samples(self) -> int:
        """Number of samples of each readout."""
        return 2 * self.shape[1] if self.k is None else self.k.shape[1]

    @property
    def center_sample(self) -> int:
        """The sample in the middle of k-space."""
        return 0 if self.trajectory == "spiral" else self.samples // 2

    @property
    def encoded(self) -> tuple[int, int]:
        """Matrix of k-space."""
        height, width = self.shape
        return (height, 2 * width) if self.k is None else self.shape

    @property
    def flags(self) -> np.ndarray:
        """Bits of each readout's header."""
        flags = np.where(self.calibration.numpy(), ismrmrd.CALIBRATION_AND_IMAGING, 0).astype(np.uint64)
        flags[0] |= np.uint64(ismrmrd.FIRST_IN_SLICE)
        flags[-1] |= np.uint64(ismrmrd.LAST_IN_SLICE)
        return flags

    def measure(self, signal: Signal, weights: Tensor) -> Tensor:
        """Samples (readouts, coils, samples), in the scale of a unitary transform of the encoded matrix."""
        height, width = self.shape
        if self.k is None:
            data = signal.on_grid(weights, half_cycles(height)[self.lines], torch.arange(-width, width))
        else:
            data = signal.at(weights, self.k.reshape(-1, 2)).unflatten(1, self.k.shape[:2])
        return data.transpose(0, 1) / math.sqrt(math.prod(self.encoded))


def half_cycles(n: int) -> Tensor:
    """Places of the n samples of a full scan along an axis, in half cycles per field of view."""
    return 2 * (torch.arange(n) - n // 2)


def plan(
    sampling: Sampling,
    shape: tuple[int, int],
    acceleration: float,
    calibration: int,
    seed: int,
    partial_fourier: float = 1.0,
) -> Readouts:
    """Choose the readouts of a scan: parameters as of `simulate_mri`.

    Raises
    ------
    ParameterError
        When the sampling is not known, or a number does not fit.
    """
    if sampling not in get_args(Sampling):
        raise ParameterError(f"The sampling is one of {', '.join(get_args(Sampling))}; got {sampling!r}.")
    if not (acceleration >= 1 and math.isfinite(acceleration)):
        raise ParameterError(f"acceleration is a number of at least 1; got {acceleration}.")
    if not 0.5 < partial_fourier <= 1:
        raise ParameterError(
            f"partial_fourier is a part of k-space above 1/2, at most 1; got {partial_fourier}."
        )
    if sampling in ("radial", "spiral"):
        if partial_fourier < 1:
            raise ParameterError(f"partial_fourier is for lines; {sampling} sampling has none.")
        k = _curves(sampling, max(shape), acceleration)
        index = torch.arange(len(k))
        return Readouts(shape, sampling, index, len(k), 0, k, torch.zeros(len(k), dtype=torch.bool))
    height = shape[0]
    calibration = as_count(calibration, "calibration", least=0, most=height)
    lines = _lines(sampling, height, acceleration, calibration, seed)
    lines = lines[lines >= round((1 - partial_fourier) * height)]
    start = (height - calibration + 1) // 2  # as the masks place it
    middle = (lines >= start) & (lines < start + calibration)
    return Readouts(shape, "cartesian", lines, height, height // 2, None, middle)


def _lines(sampling: str, height: int, acceleration: float, calibration: int, seed: int) -> Tensor:
    from invgen.operators import sampling as masks

    draw = {
        "equispaced": masks.equispaced_lines,
        "random": masks.random_lines,
        "gaussian": masks.gaussian,
    }[sampling]
    return draw((height,), acceleration, calibration / height, seed=seed).nonzero().flatten()


def _curves(sampling: str, n: int, acceleration: float) -> Tensor:
    """Spokes or spirals through the k-space of n x n pixels."""
    from invgen.operators.mri import trajectories

    if sampling == "radial":
        k = trajectories.radial(max(1, round(math.pi / 2 * n / acceleration)), 2 * n)
    else:
        # outermost turns 1 / N apart alias the object by N pixels, into the corners of the image; these are
        # denser by a fifth
        full = math.ceil(1.2 * _POWER * n / (2 * _TURNS))
        # a turn at radius r is 2 pi r long: in all, samples 1 / 2N apart along the way
        samples = math.ceil(2 * n * math.pi * _TURNS / (_POWER + 1))
        k = trajectories.spiral(max(1, round(full / acceleration)), samples, _TURNS, power=_POWER)
    return k.float().double()  # what the file holds
