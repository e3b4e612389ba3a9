"""Projections onto convex sets in partial Fourier MRI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from invgen.core.errors import CapabilityError
from invgen.core.krylov import conjugate_gradients
from invgen.problem import Problem
from invgen.solvers.partial_fourier.base import PartialFourierSolver, Prepared
from invgen.solvers.state import State

__all__ = ["POCS"]


@dataclass(frozen=True, kw_only=True)
class POCS(PartialFourierSolver):
    """Iterations between the samples and a known phase, Haacke, Lindskog and Lin (1991), Liang et al. (1992).

    The image takes the phase of the symmetric middle of k-space (Hann window), ``|x| p``; then its k-space
    takes the samples where there are any, that of each coil before they are combined by their sensitivities.
    The first iterate is the zero-filled image. With a single coil, or sensitivities of constant root sum of
    squares, no iteration leads away from an image that has the phase and the samples, and each halves what is
    missing of a real one. Any number of axes may be partial.

    Where samples are missing in the half, too (parallel imaging), the image takes those that there are by
    conjugate gradients instead: a few steps towards the nearest image that has them. As in POCSENSE, Samsonov
    et al. (2004), phase and sensitivities unfold it together. Noise grows with the steps, as of CG.

    doi:10.1016/0022-2364(91)90253-P; Liang et al., Constrained reconstruction methods in MR imaging, Reviews
    of Magnetic Resonance in Medicine 4.

    Parameters
    ----------
    iterations, tolerance
        It stops when the relative change of the image is down to `tolerance`.
    cg_steps : int
        Conjugate gradient steps of an iteration, where samples are missing.

    Raises
    ------
    CapabilityError
        When called: see `PartialFourierSolver`; and where samples are missing and there is a single coil.
    """

    iterations: int = 10
    tolerance: float = 1e-3
    cg_steps: int = 3

    counts: ClassVar[dict[str, int]] = {"cg_steps": 1}

    def prepare(self, problem: Problem) -> Prepared:
        """Find the half and the phase."""
        found = super().prepare(problem)
        if not found.complete and (found.operator.coil_count or 1) == 1:
            raise CapabilityError(
                "Samples are missing in the half of k-space, and a single coil cannot fill them: use PDHG "
                "with total variation (command line: tv)."
            )
        return found

    def steps(self, problem: Problem, prepared: Prepared, state: State) -> Iterator[State]:
        """Yield the iterates of the algorithm."""
        A, _, complete, phase, filling = prepared
        x, y = state.x, problem.measurement
        while True:
            x = x.abs() * phase
            r = y - A(x)
            if complete:
                x = x + filling(r)
            else:
                x = x + conjugate_gradients(A.gram, A.H(r), A.domain, iterations=self.cg_steps)
            yield State(x=x)
