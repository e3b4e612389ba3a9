"""What solvers of partial Fourier MRI share: the half that is sampled, and the phase of its middle."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from invgen.core.errors import CapabilityError
from invgen.operators.mri import MRI
from invgen.operators.mri.calibration import calibrated
from invgen.operators.mri.partial_fourier import Extent, extents, partial_axes
from invgen.problem import Problem
from invgen.reconstruction import Reconstruction
from invgen.solvers.base import Solver
from invgen.solvers.direct.coil_images import ZeroFilling, cartesian
from invgen.solvers.run import Run

__all__ = ["PartialFourierSolver", "Prepared"]

#: Width of the smallest middle of k-space, along an axis that is partial, that has a phase.
_NARROWEST = 3


class Prepared(NamedTuple):
    """What the data say before the first step.

    Attributes
    ----------
    operator : MRI
    partial : tuple of Extent
        Of each axis that is partial.
    complete : bool
        Whether every entry within the extents is sampled.
    phase : complex tensor, shape (*batch, *image)
        ``exp(i phi)``, zero where the image of low resolution is.
    filling : ZeroFilling
    """

    operator: MRI
    partial: tuple[Extent, ...]
    complete: bool
    phase: torch.Tensor
    filling: ZeroFilling


@dataclass(frozen=True, kw_only=True)
class PartialFourierSolver(Solver):
    """Base of solvers of k-space that is sampled further on one side of its origin.

    The k-space of a real image is Hermitian, so that half of it is enough. That of an image of slowly varying
    phase is Hermitian once the phase is removed, and the phase is seen in the middle of k-space, where both
    sides are sampled. Without maps of its sensitivity, each coil has a phase of its own: as a batch to an
    operator of a single coil.
    """

    def prepare(self, problem: Problem) -> Prepared:
        """Find the half and the phase.

        Raises
        ------
        CapabilityError
            For other than Cartesian k-space, for one that is symmetric, and without a middle that is.
        """
        A = cartesian(problem, self)
        sampled = A.mask > 0
        every, partial = extents(sampled), partial_axes(sampled)
        if not partial:
            raise CapabilityError(
                f"{self.name} fills the half of k-space that is not sampled; this k-space is symmetric about "
                "its origin, and there is nothing to fill. Use ZeroFilled, CG or PDHG (command line: "
                "zero-filled, cg-sense, tv). If it is partial, its zero frequency is not in the middle of "
                "the operator's mask (command line: --kspace-center)."
            )
        box = calibrated(sampled)
        if any(box[extent.axis] < _NARROWEST for extent in partial):
            raise CapabilityError(
                f"{self.name} takes the phase from the middle of k-space, sampled on both sides of its "
                f"origin; it has {' x '.join(map(str, box))} entries here. Use CG or PDHG (command line: "
                "cg-sense, tv)."
            )
        within = sampled[tuple(slice(extent.start, extent.stop) for extent in every)]
        y, filling = problem.measurement, ZeroFilling(A, problem.measurement)
        low = filling(_window(every, box).to(y) * y)
        return Prepared(A, partial, bool(within.all()), torch.sgn(low), filling)

    def collected(self, problem: Problem, runs: list[Run], samples: int, seed: int) -> Reconstruction:
        """Add `partial_fourier` to the statistics: the extent of each axis that is partial."""
        found = super().collected(problem, runs, samples, seed)
        partial = partial_axes(cartesian(problem, self).mask > 0)
        return replace(found, stats={**found.stats, "partial_fourier": partial})


def _window(every: tuple[Extent, ...], box: tuple[int, ...]) -> torch.Tensor:
    """Hann window on the calibrated box, along each axis that it does not cover; float64.

    Symmetric about the origin, so that of a real image it leaves a real one.
    """
    window = torch.ones(())
    for extent, width in zip(every, box, strict=True):
        if width < extent.stop - extent.start:
            half = (width - 1) // 2 + 1
            k = extent.frequencies
            window = window * torch.where(k.abs() < half, torch.cos(math.pi / 2 * k / half) ** 2, 0)
    return window
