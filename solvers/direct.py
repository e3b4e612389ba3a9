"""Direct reconstruction: filtered backprojection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from invgen.errors import CapabilityError, ParameterError
from invgen.operators.tomography import Radon
from invgen.problem import Problem
from invgen.solvers.base import Solver, State

__all__ = ["FBP", "ramp_filter"]

#: Windows on the ramp, as functions of the frequency over the Nyquist frequency.
WINDOWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "ram-lak": torch.ones_like,
    "shepp-logan": lambda f: torch.sinc(f / 2),
    "cosine": lambda f: torch.cos(torch.pi * f / 2),
    "hamming": lambda f: 0.54 + 0.46 * torch.cos(torch.pi * f),
    "hann": lambda f: 0.5 + 0.5 * torch.cos(torch.pi * f),
}


def ramp_filter(n: int, spacing: float) -> torch.Tensor:
    """Frequency response of the band-limited ramp, Kak and Slaney (1988), chapter 3, eq. 61.

    Sampled in space and then transformed: sampling the ramp in frequency instead sets its mean to zero,
    which shifts and tilts the image.

    Parameters
    ----------
    n : int
        Length of the padded detector row, at least twice the detector.
    spacing : float
        Width of a bin.

    Returns
    -------
    tensor, float64 (n // 2 + 1,)
        In 1/length, for the frequencies of ``torch.fft.rfft``.
    """
    index = torch.arange(n)
    index = torch.minimum(index, n - index)
    response = torch.zeros(n, dtype=torch.float64)
    odd = index % 2 == 1
    response[odd] = -1 / (torch.pi * index[odd].double() * spacing) ** 2
    response[0] = 1 / (4 * spacing**2)
    return torch.fft.rfft(response).real * spacing


@dataclass(frozen=True)
class FBP(Solver):
    """Filtered backprojection of parallel-beam data, Kak and Slaney (1988), chapter 3.

    Filters each view by the band-limited ramp, then evaluates the filtered projections at the pixels'
    centers by trigonometric interpolation: as an adjoint non-uniform FFT, exactly and for all views at once.
    Views need not be equispaced (see `ParallelBeam.view_weights`). Noise and weights play no role.

    Parameters
    ----------
    window : {"ram-lak", "shepp-logan", "cosine", "hamming", "hann"}
        Window on the ramp: from the sharpest to the smoothest.
    cutoff : float
        Fraction of the Nyquist frequency beyond which nothing is kept, in (0, 1].
    """

    window: str = "hann"
    cutoff: float = 1.0

    def __post_init__(self) -> None:
        if self.window not in WINDOWS:
            raise ParameterError(f"window is one of {', '.join(WINDOWS)}; got {self.window!r}.")
        if not 0 < self.cutoff <= 1:
            raise ParameterError(f"cutoff is a fraction of the Nyquist frequency; got {self.cutoff}.")

    def iterate(self, problem: Problem, x0: State | torch.Tensor) -> Iterator[State]:
        """Yield the one image; `x0` is not looked at."""
        A = problem.operator
        if not isinstance(A, Radon):
            raise CapabilityError(
                f"FBP needs parallel-beam projections (Radon); {A.name} has none. Use CG or SIRT."
            )
        g = A.geometry
        rows, batch = A.range.flatten(problem.measurement)
        slices = A.padded_slices
        sigma = slices.sigma * 2 * g.detector_spacing / self.cutoff  # in units of the cutoff
        response = ramp_filter(slices.n, g.detector_spacing)[: len(sigma)] * torch.where(
            sigma <= 1, WINDOWS[self.window](sigma), 0
        )
        response = response * g.detector_spacing * g.view_weights()[:, None]
        # from_detector gives the coefficients of the trigonometric polynomial through the samples
        image = slices.backproject(slices.from_detector(rows) * response.to(rows))
        yield State(A.restrict(image.reshape(*batch, *A.domain.shape)))
